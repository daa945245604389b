"""The tables of the paper are made of the right runs and tests, and are kept where they should be."""

import dataclasses
import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import cells, table_figures
from experiments.configs import convolutions, op_lstm_best
from experiments.run import plain
from experiments.tables import GROUPS, TABLES, make_table
from oplstm_jax import bases, build, tabular
from oplstm_jax.learners import FACTORIES, NAMES
from oplstm_jax.learners.lstm import POOLS
from oplstm_jax.nets.chain import chain
from oplstm_jax.report import LABELS, Cell

ROOT = Path(__file__).parents[1]
SETS = {"within": ("tiny", "cub127"), "cross": ("mini", "cub"), "updates": ("mini",)}


@pytest.mark.parametrize("name", TABLES)
def test_every_learner_of_a_table_has_a_configuration(name):
    table = make_table(name, SETS.get(name, ()))
    for part in table.parts:
        for learner in table.learners:
            config = part.get_config(f"{learner},shot={table.shots[0]}")
            assert config.learner in NAMES and config.learner in FACTORIES
            assert learner in (config.learner, *convolutions.VARIANTS) and learner in LABELS


def test_what_no_seed_changes_has_one_run_and_lacks_none(tmp_path):
    table = dataclasses.replace(make_table("omniglot", ()), learners=("protonet", "random", "scratch"), shots=(1,))
    names = [run.folder.name for run in cells.runs(table, tmp_path, (3, 4), 1)]
    assert names == ["protonet-1shot-seed3", "random-1shot-seed3", "scratch-1shot-seed3", "protonet-1shot-seed4"]
    missing = {row["learner"]: row["missing_seeds"] for row in cells.summaries(table, tmp_path, (3, 4))}
    assert missing == {"protonet": [3, 4], "random": [3], "scratch": [3]}


@pytest.mark.parametrize("name", TABLES)
def test_tasks_of_omniglot_need_no_more_drawings_than_there_are(name):
    table = make_table(name, SETS.get(name, ()))
    for part, shot in itertools.product(table.parts, table.shots):
        config = part.configure(table.learners[0], shot)
        tested = [{**config, **test.changes(shot)}["test_query"] for test in part.tests]
        if config.data == "omniglot":
            assert shot + max(config.query, *tested) <= 20


def _row(learner, norm, protocol=""):
    return {"learner": learner, "norm": norm, "protocol": protocol}


def test_tables_say_whose_norm_is_whose():
    one, several = [_row("maml", "none"), _row("lstm", "none")], [_row("maml", "layer"), _row("lstm", "none")]
    assert tabular._norms(one) == "none"
    assert tabular._norms(several) == "layer (MAML), none (plain LSTM (sequential))"
    by_column = [_row("maml", "layer", "glyphs, vit"), _row("maml", "none", "glyphs, mlp")]
    assert tabular._norms(by_column) == 'layer ("glyphs, vit"), none ("glyphs, mlp")'


def test_every_table_of_the_paper_that_classifies_has_its_floor():
    updates = {"updates", "updates_mlp", "invariance_omniglot"}  # of what one learner does, and of order
    for name in {*GROUPS["all"], "glyphs"} - updates:
        learners = make_table(name, SETS.get(name, ())).learners
        assert {"scratch", "random"} <= set(learners) or name == "invariance_sine", name


def test_groups_are_made_of_tables():
    assert {*GROUPS["all"], *GROUPS["beyond"], "glyphs"} == set(TABLES)
    assert not set(GROUPS) & set(TABLES) and set(GROUPS["invariance"]) < set(GROUPS["all"])


def test_data_is_the_papers_own_where_the_paper_has_it():
    own = {"omniglot": ("omniglot",), "sine": ("sine",), "within": ("mini", "cub"), "cross": ("miniimagenet", "cub")}
    others = {"omniglot": ("cub",), "within": ("tiny",), "cross": ("mini", "omniglot")}
    assert not any(make_table(name, data).stand_in for name, data in own.items())
    assert all(make_table(name, data).stand_in for name, data in others.items())
    with pytest.raises(ValueError, match="flag --data is omniglot: table sine is of sine waves: expected no such flag"):
        make_table("sine", ("omniglot",))


def test_miniimagenet_is_mini():
    for name, others in (("within", ()), ("cross", ("cub",)), ("updates", ())):
        short, full = make_table(name, ("mini", *others)), make_table(name, ("miniimagenet", *others))
        assert full.title == short.title
        assert [[test.published for test in part.tests] for part in full.parts] == [
            [test.published for test in part.tests] for part in short.parts
        ]
        assert any(test.published for part in full.parts for test in part.tests)


def test_layers_that_move_are_compared_at_equal_tasks_and_at_equal_time():
    parts = make_table("convolutions", ("glyphs",)).parts
    tasks = [[part.configure(variant, 1).train_tasks for variant in convolutions.VARIANTS] for part in parts]
    frozen = [parts[0].configure(variant, 1).options.frozen for variant in convolutions.VARIANTS]
    assert tasks[0] == [2000, 2000, 2000] and frozen == [4, 3, 0]
    seconds = [n / convolutions.RATES[variant] for n, variant in zip(tasks[1], convolutions.VARIANTS, strict=True)]
    assert tasks[1][-1] == 2000 and max(seconds) - min(seconds) < 0.01 * max(seconds)


def test_the_figure_of_learning_shows_runs_that_began(tmp_path):
    runs = ROOT / "results/omniglot_conv4/runs"
    folders = {0: runs / "op_lstm_head-1shot-seed0", 1: tmp_path / "missing"}
    table_figures.learning(tmp_path, [Cell("op_lstm_head", 1, {1: tmp_path / "missing"}, None, "glyphs")])
    assert not (tmp_path / "figure.png").exists()
    table_figures.learning(tmp_path, [Cell("op_lstm_head", 1, folders, None, "omniglot")])
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("part", make_table("base_learners", ()).parts, ids=lambda part: part.name)
def test_every_base_learner_has_a_configuration_that_can_be_built(part):
    config = plain(part.configure("op_lstm_general", 1))
    assert build.build_settings(config).meta_batch == 4
    assert len(chain(bases.build_base(config))) > 2


def test_similarity_of_updates_is_measured_while_the_runs_of_its_table_train():
    table = make_table("updates", ("tiny", "mini"))
    assert [(part.name, part.data, part.gradient_step) for part in table.parts] == [
        ("omniglot", "", 0.4),
        ("tiny", "tiny", 0.01),
        ("mini", "miniimagenet", 0.01),
    ]
    published = [{test.folder: test.published for test in part.tests if test.published} for part in table.parts]
    assert published[:2] == [{}, {}]
    means = {name: values["op_lstm_head", 1].mean for name, values in published[2].items()}
    assert means == {"gradient_cosine": 0.94, "prototype_cosine": 0.74}


def test_without_normalisation_nothing_else_differs():
    with_norm, without = (
        make_table(name, ()).parts[0].configure("op_lstm", 5) for name in ("omniglot", "without_norm")
    )
    different = {name for name in with_norm if with_norm[name] != without[name]}
    assert different == {"norm"} and without.norm == "none"


def test_parts_of_tables_beyond_the_paper_differ_in_what_they_compare():
    pooled = [part.configure("pi_lstm", 5) for part in make_table("pooling", ()).parts]
    assert [config.options.pool for config in pooled] == list(POOLS)
    parts = {part.name: part.configure("lstm", 10) for part in make_table("order", ()).parts}
    latest = parts["latest_position"]
    assert (latest.data, latest.position, latest.way, latest.shot, latest.train_shot) == ("latest", True, 5, 2, 2)
    assert (parts["drift"].way, parts["drift"].shot, parts["drift"].position) == (1, 10, False)
    assert all(config.way * config.shot == 10 and config.way * config.query == 20 for config in parts.values())


@pytest.mark.parametrize("problem", op_lstm_best.PROBLEMS)
def test_the_better_default_differs_in_what_it_says_and_needs_no_more_tasks(problem):
    table = make_table(f"best_{problem}", ())
    authors, best = (part.configure(table.learners[0], table.shots[0], seed=3) for part in table.parts)
    changes = op_lstm_best.PROBLEMS[problem][2]
    flat = []
    for config in map(plain, (authors, best)):
        options = {f"options.{name}": value for name, value in config.pop("options").items()}
        flat.append({**config, **options})
    assert {name for name in flat[1] if flat[0].get(name) != flat[1][name]} == set(changes)
    assert best.train_tasks <= authors.train_tasks and best.seed == authors.seed == 3
    with pytest.raises(ValueError, match="unknown problem 'sin': expected one of sine"):
        op_lstm_best.get_config("sin")


def test_other_data_is_a_stand_in():
    assert make_table("omniglot", ("glyphs",)).title.endswith("(stand-in: on glyphs)")
    assert make_table("omniglot", ("glyphs",)).stand_in and not make_table("omniglot", ()).stand_in


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


def test_publishing_copies_results_and_puts_the_table_into_its_page(tmp_path):
    page, target = tmp_path / "pages/one.md", tmp_path / "kept"
    page.parent.mkdir()
    page.write_text(f"before\n<!-- {target}/table.md -->\nold\n<!-- end -->\nafter\n")
    earlier = target / "runs/runs/lstm-5shot-seed0/params.npz"
    earlier.parent.mkdir(parents=True)
    earlier.write_bytes(b"of an earlier run")
    words = [
        "experiments.publish",
        "--workdir=results/sine",
        f"--to={target}",
        f"--pages={page.parent}",
        "--largest_params=1",
    ]
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    table = (ROOT / "results/sine/table.md").read_text()
    assert page.read_text() == f"before\n<!-- {target}/table.md -->\n{table}<!-- end -->\nafter\n"
    assert (target / "runs/runs/lstm-5shot-seed0/result.json").exists()
    assert not list(target.rglob("params.npz"))


def test_a_folder_without_a_table_is_refused(tmp_path):
    words = ["experiments.publish", f"--workdir={tmp_path}", f"--to={tmp_path / 'kept'}"]
    done = subprocess.run([sys.executable, "-m", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and "expected table.md and finished runs" in done.stderr
    assert not (tmp_path / "kept").exists()
