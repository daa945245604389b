"""Imports go one way, and importing the library stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# A package may import those above it, and its own modules unless it is `learners` (a learner knows no other learner).
LAYERS = {
    "types": 0,
    "varying": 1,
    "hints": 0,
    "files": 0,
    "parser": 0,
    "losses": 1,
    "nets": 2,
    "data": 2,
    "learners": 3,
    "params": 3,
    "statistics": 3,
    "published": 3,
    "seeds": 3,
    "sharding": 3,
    "meta": 4,
    "contract": 5,
    "compat": 5,
    "analysis": 5,
    "evaluate": 5,
    "finite": 5,
    "task_lists": 6,
    "checkpoint": 5,
    "seals": 4,
    "check": 6,
    "progress": 5,
    "records": 4,
    "workdir": 5,
    "problem": 5,
    "origin": 0,
    "signals": 5,
    "optimiser": 6,
    "program": 7,
    "runs": 6,
    "report": 6,
    "comparison": 7,
    "train": 8,
    "tabular": 7,
    "incomplete": 7,
    "page": 8,
    "fields": 0,
    "bases": 5,
    "build": 7,
    "drawing": 6,
    "figures": 7,
    "figures_beyond": 7,
    "trained": 8,
    "zoo": 9,
}
SHARED_BY_LEARNERS = {"rules", "features", "descent", "fast_weights", "inner_loop", "arguments", "misfits", "op_pass"}
FILES = sorted(path.relative_to(ROOT) for path in (ROOT / "oplstm_jax").rglob("*.py"))


def _imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module}
    return names


def _layer(path: Path) -> str:
    return path.parts[1].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_go_one_way(path):
    here = _layer(path)
    if here == "__init__":
        return
    for name in _imported(path):
        parts = name.split(".")
        if parts[0] == "oplstm_jax" and len(parts) > 1 and parts[1] != here:
            assert LAYERS[parts[1]] < LAYERS[here], f"{path} imports {name}"
        knows_a_learner = parts[:2] == ["oplstm_jax", "learners"] and len(parts) > 2
        if knows_a_learner and here == "learners" and path.name != "__init__.py":
            assert parts[2] in SHARED_BY_LEARNERS, f"{path} imports the learner {name}"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_only_experiments_know_flags_and_configs(path):
    assert not {name.split(".")[0] for name in _imported(path)} & {"absl", "ml_collections", "experiments"}


def test_import_is_light():
    code = (
        "import sys, oplstm_jax, oplstm_jax.build, oplstm_jax.report, oplstm_jax.figures, oplstm_jax.data;"
        "print([m for m in ('tensorflow', 'tensorflow_datasets', 'matplotlib', 'ml_collections') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_import_is_quick():
    """Beside JAX, Flax, Optax and Chex, which take most of a second, the library takes 0.05 s of a quiet core."""
    code = (
        "import time, jax, flax.linen, optax, chex; start = time.process_time(); import oplstm_jax;"
        "print(time.process_time() - start)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert float(done.stdout) < 0.5
