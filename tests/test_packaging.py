"""The wheel and the source distribution hold the whole library, and it works where the repository is not."""

import os
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from processes import OPTIMISED

ROOT = Path(__file__).parents[1]
DATA = ("py.typed", "data/splits/cub.csv", "data/splits/miniimagenet.csv", "data/splits/omniglot.csv")
TEXTS = ("LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "MANIFEST.in", "pyproject.toml")
GOLDEN = ROOT / "tests" / "golden" / "lstm_mean_sine_5shot_T4.npz"
USES = (
    "import sys; from oplstm_jax import compat, zoo;"
    "from oplstm_jax.data import class_splits; from oplstm_jax.data.glyphs import load_glyphs;"
    "print(compat.__file__); learner, params = compat.load(sys.argv[1]); print(sorted(params));"
    "print(len(class_splits.published('omniglot')), load_glyphs(classes=5, drawings=2).images.shape);"
    "print(sorted(zoo.load('sine-5shot-maml')[1]))"
)
VERSIONS = [("3.11", "oldest"), ("3.11", "newest"), ("3.12", "newest"), ("3.13", "newest")]


def run(*words, **options):
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The folder of the wheel and the sdist of a copy of the sources, with files such as a zoo has."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    shutil.copytree(ROOT / "oplstm_jax", source / "oplstm_jax", ignore=shutil.ignore_patterns("__pycache__"))
    (source / "oplstm_jax" / "zoo").mkdir(exist_ok=True)
    for name in ("packaged.npz", "packaged.json"):
        (source / "oplstm_jax" / "zoo" / name).write_bytes(b"")
    for name in TEXTS:
        shutil.copy(ROOT / name, source)
    run(sys.executable, "-m", "build", "--no-isolation", f"--outdir={out}", str(source), cwd=out)
    return out


def test_wheel_and_sdist_hold_every_file(built):
    (wheel,), (sdist,) = built.glob("*.whl"), built.glob("*.tar.gz")
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "oplstm_jax").rglob("*.py")}
    wanted = modules | {f"oplstm_jax/{name}" for name in (*DATA, "zoo/packaged.npz", "zoo/packaged.json")}
    in_wheel = zipfile.ZipFile(wheel).namelist()
    assert wanted <= set(in_wheel)
    assert {name.split("/")[0] for name in in_wheel} == {"oplstm_jax", wheel.name.rsplit("-", 3)[0] + ".dist-info"}
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    assert wanted | set(TEXTS) <= in_sdist
    assert not any(name.startswith("tests") for name in in_sdist)


def check_library(python, folder, environment):
    """Library, weights of the original, data and zoo, in `folder`, which is outside the repository."""
    place, *found = run(python, "-c", USES, str(GOLDEN), cwd=folder, env=environment).splitlines()
    assert not Path(place).is_relative_to(ROOT)
    assert found == ["['lstm', 'readout']", "1623 (10, 28, 28, 1)", "['dense_0', 'dense_1', 'dense_2', 'out']"]


def test_wheel_works_outside_the_repository(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    check_library(sys.executable, tmp_path, {**os.environ, "PYTHONPATH": str(tmp_path / "site")})


def interpreter(version):
    """A Python of this version with pip, on the path or of pyenv; the test is skipped where there is none."""
    on_path = (shutil.which(f"python{version}", path=folder) for folder in os.get_exec_path())
    of_pyenv = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))
    for candidate in (*filter(None, on_path), *of_pyenv):
        if not subprocess.run([candidate, "-c", "import pip"], capture_output=True, check=False).returncode:
            return str(candidate)
    pytest.skip(f"needs a Python {version} with pip")


def floors():
    """Requirements of exactly the oldest versions that pyproject.toml allows."""
    dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    return [dependency.replace(">=", "==") for dependency in dependencies]


@pytest.mark.slow
@pytest.mark.parametrize(("version", "dependencies"), VERSIONS)
def test_wheel_works_in_an_empty_environment(built, tmp_path, version, dependencies):
    (wheel,) = built.glob("*.whl")
    # Its own pip, as that of an old Python fails in a new one.
    base, python = interpreter(version), str(tmp_path / "env" / "bin" / "python")
    run(base, "-m", "venv", "--without-pip", str(tmp_path / "env"))
    wanted = [str(wheel), *(floors() if dependencies == "oldest" else ())]
    run(base, "-m", "pip", "--python", python, "install", "-q", *wanted, cwd=tmp_path)
    alone = {name: value for name, value in OPTIMISED.items() if name != "PYTHONPATH"}  # another XLA, other flags
    check_library(python, tmp_path, alone)
    assert "ok" in run(python, "-m", "oplstm_jax.compat", str(GOLDEN), cwd=tmp_path, env=alone)
    run(python, "-m", "oplstm_jax.data", "show", "glyphs", "--episodes=1", cwd=tmp_path, env=alone)
    assert (tmp_path / "glyphs.png").stat().st_size > 1000
