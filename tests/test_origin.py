"""Results say where they come from: the commit of this code, not of what it is installed in, and the command."""

import os
import shutil
import subprocess
import sys

from processes import ROOT

SCRIPT = """
from oplstm_jax import origin
found = origin.facts()
print(found["commit"], found["command"], sep="\\n")
"""


def test_a_copy_inside_another_repository_has_no_commit_of_that_one(tmp_path):
    place = tmp_path / "theirs/lib"
    shutil.copytree(ROOT / "oplstm_jax", place / "oplstm_jax", ignore=shutil.ignore_patterns("__pycache__", "zoo"))
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@y"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "theirs"]):
        subprocess.run([*git, *words], cwd=tmp_path / "theirs", check=True)
    (tmp_path / "own.py").write_text(SCRIPT)
    environment = {name: value for name, value in os.environ.items() if name != "OPLSTM_COMMIT"}
    words = [sys.executable, str(tmp_path / "own.py"), "--to=/a/long/way"]
    done = subprocess.run(
        words, env=environment | {"PYTHONPATH": str(place)}, capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout.splitlines() == ["unknown", "python own.py --to=long/way"]
