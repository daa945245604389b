"""The tables of the paper are made of the right runs and tests, and are kept where they should be."""

import subprocess
import sys
from pathlib import Path

import pytest

from experiments.tables import TABLES, make_table
from oplstm_jax.learners import FACTORIES, NAMES

ROOT = Path(__file__).parents[1]
SETS = {"within": ("tiny", "cub127"), "cross": ("mini", "cub")}


@pytest.mark.parametrize("name", TABLES)
def test_every_learner_of_a_table_has_a_configuration(name):
    table = make_table(name, SETS.get(name, ()))
    for part in table.parts:
        for learner in table.learners:
            config = part.get_config(f"{learner},shot={table.shots[0]}")
            assert config.learner == learner in NAMES
            assert learner in FACTORIES


def test_across_domains_the_other_set_is_tested():
    table = make_table("cross", ("mini", "cub"))
    assert [(part.name, part.data, part.tests[0].changes(1)) for part in table.parts] == [
        ("mini", "miniimagenet", {"data": "cub"}),
        ("cub", "cub", {"data": "miniimagenet"}),
    ]
    assert table.parts[0].tests[0].published["op_lstm_head", 5].mean == 0.5847
    assert "stand-in" not in table.title


def test_stand_ins_say_so_and_have_no_published_numbers():
    table = make_table("within", ("tiny", "cub127"))
    assert "stand-in" in table.title
    assert not any(test.published for part in table.parts for test in part.tests)


@pytest.mark.parametrize(("name", "data"), [("cross", ("mini",)), ("within", ()), ("sine", ("a", "b"))])
def test_wrong_numbers_of_data_sets(name, data):
    with pytest.raises(ValueError, match=f"table {name} needs"):
        make_table(name, data)


def test_publishing_copies_results_and_puts_the_table_into_the_readme(tmp_path):
    readme, target = tmp_path / "README.md", tmp_path / "kept"
    readme.write_text(f"before\n<!-- {target}/table.md -->\nold\n<!-- end -->\nafter\n")
    words = ["experiments.publish", "--workdir=results/sine", f"--to={target}", f"--readme={readme}", "--largest_params=1"]
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    table = (ROOT / "results/sine/table.md").read_text()
    assert readme.read_text() == f"before\n<!-- {target}/table.md -->\n{table}<!-- end -->\nafter\n"
    assert (target / "runs/runs/lstm-5shot-seed0/result.json").exists()
    assert not list(target.rglob("params.npz"))


def test_a_folder_without_a_table_is_refused(tmp_path):
    words = ["experiments.publish", f"--workdir={tmp_path}", f"--to={tmp_path / 'kept'}"]
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "expected table.md and finished runs" in done.stderr
    assert not (tmp_path / "kept").exists()
