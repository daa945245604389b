"""Commands answer bad input with one clear line on stderr and exit code 2, and leave nothing behind."""

import json

import pytest
from processes import write_pack

from oplstm_jax.trained import score_trained

TRAIN = ["experiments.train", "--workdir=WORKDIR"]
PI = "--config=experiments/configs/sine.py:pi_lstm"
TINY = [
    "--config.train_tasks=40",
    "--config.validate_every=20",
    "--config.log_every=20",
    "--config.validation_tasks=10",
    "--config.test_tasks=10",
]


BAD = {
    "no such configuration": ([*TRAIN, "--config=nope.py"], "no file 'nope.py'; expected your own or one of exp"),
    "unknown learner": ([*TRAIN, "--config=experiments/configs/sine.py:op_lstn"], "did you mean 'op_lstm'?"),
    "misspelt field": ([*TRAIN, PI, "--config.shoot=5"], "unknown field 'shoot'; did you mean 'shot'?; fields: aug"),
    "option that is not there": ([*TRAIN, PI, "--config.options.gamma=1"], "fields of options: first_pass_targets, po"),
    "field of a field": ([*TRAIN, PI, "--config.shot.most=5"], "'shot.most': shot is 5 and has no fields"),
    "no number": ([*TRAIN, PI, "--config.shot=None"], "shot is None: expected a number above 0"),
    "no filters": ([*TRAIN, "--config=experiments/configs/glyphs.py:maml,filters=None"], "filters is None: expected"),
    "a configuration that is none": ([*TRAIN, "--config=README.md"], "no configuration file (unterminated"),
    "a folder as configuration": ([*TRAIN, "--config=docs"], "no configuration file (Configuration is not"),
    "no seeds": ([*TRAIN, PI, "--config.num_seeds=None"], "num_seeds is None: expected a whole number"),
    "misspelt field after the colon": ([*TRAIN, f"{PI},shoot=5"], "did you mean 'shot'?"),
    "missing config file": ([*TRAIN, "--config=experiments/configs/cosine.py"], "cosine.py"),
    "no config": (TRAIN, "--config"),
    "wrong type": ([*TRAIN, PI, "--config.shot=many"], "many"),
    "negative size": ([*TRAIN, PI, "--config.shot=-1"], "shot is -1: expected a number above 0"),
    "tasks at once": ([*TRAIN, f"{PI},tasks_at_once=3,meta_batch=4"], "tasks_at_once is 3: expected a divisor"),
    "too many seeds": ([*TRAIN, PI, "--config.num_seeds=2000000"], "expected a whole number from 1 to 500"),
    "classes of waves": ([*TRAIN, PI, "--config.way=3"], "way is 3: tasks of sine have no classes: expected 1"),
    "norm of nothing": ([*TRAIN, PI, "--config.norm=layer"], "norm is layer: base none has nothing to normalise"),
    "features of no run": ([*TRAIN, f"{PI},features_from=docs"], "features_from docs: no params.npz"),
    "zero tasks": ([*TRAIN, PI, "--config.train_tasks=0"], "train_tasks is 0"),
    "unknown norm": ([*TRAIN, PI, "--config.norm=batch"], "expected one of transductive, support, layer, none"),
    "unknown data": ([*TRAIN, PI, "--config.data=cosine"], "sine"),
    "unknown flag": ([*TRAIN, PI, "--wrokdir=x"], "wrokdir"),
    "address of processes": ([*TRAIN, PI, "--distributed=nonsense,1,0"], "expected auto or ADDRESS:PORT,PROCESSES"),
    "place among processes": ([*TRAIN, PI, "--distributed=host:1,2,2"], "expected auto or ADDRESS:PORT,PROCESSES"),
    "stray argument": ([*TRAIN, PI, "more"], "more"),
    "unknown table": (["experiments.reproduce", "cosine", "--workdir=WORKDIR"], "expected one of"),
    "fraction": (["experiments.reproduce", "sine", "--workdir=WORKDIR", "--fraction=2"], "expected above 0 and at"),
    "fields of flags": (["experiments.reproduce", "sine", "--workdir=WORKDIR", "--fields=seed=7"], "seed is not free"),
    "fields of tables": (
        ["experiments.reproduce", "without_norm", "--workdir=WORKDIR", "--fields=norm=layer"],
        "norm is not free in this table",
    ),
    "passes of ProtoNet": (
        ["experiments.evaluate", "--workdir=results/omniglot/runs/protonet-1shot-seed0", "--passes=5"],
        "protonet takes no passes",
    ),
    "a seed too large": (
        ["experiments.reproduce", "sine", "--workdir=WORKDIR", "--seeds=99999999999"],
        "seed is 99999999999: expected a whole number, 0 or more and below",
    ),
    "no learners": (["experiments.reproduce", "sine", "--workdir=WORKDIR", "--learners="], "flag --learners is empty"),
    "no shots": (["experiments.reproduce", "sine", "--workdir=WORKDIR", "--shots="], "flag --shots is empty"),
    "parts of one": (["experiments.reproduce", "sine", "--workdir=WORKDIR", "--parts=x"], "the table is of one part"),
    "no tasks of a sweep": (["experiments.sweep", "widths", "--workdir=WORKDIR", "--train_tasks=0"], "train_tasks"),
    "an unknown entry": (
        ["experiments.orderings", "--to=WORKDIR", "--entries=sine-5shot-lstm,sine-5shot-lstn"],
        "unknown entry 'sine-5shot-lstn'",
    ),
    "no such folder of runs": (
        ["experiments.stability", "--to=WORKDIR", "results/sine/runs", "nosuchfolder"],
        "nosuchfolder: no such folder",
    ),
    "images as waves": (
        ["experiments.reproduce", "sine", "--workdir=WORKDIR", "--data=docs"],
        "flag --data is docs: table sine is of sine waves",
    ),
    "parameters of another norm": (
        ["experiments.evaluate", "--workdir=results/sine/runs/op_lstm-5shot-seed0", "--norm=layer"],
        "norm layer, but the run was trained with norm none",
    ),
    "nothing to measure": (["experiments.orderings", "--to=WORKDIR", "--entries="], "expected --entries or --workdirs"),
    "a file as folder": (
        ["experiments.merge", "--workdir=README.md", "results/pooling"],
        "is a file, or is below one: expected a folder",
    ),
    "a page in no folder": (["experiments.report", "--to=WORKDIR/report.html"], "there is no folder"),
    "a result in no folder": (
        ["experiments.evaluate", "--workdir=results/sine/runs/maml-5shot-seed0", "--json=WORKDIR/result.json"],
        "there is no folder",
    ),
    "seeds": (["experiments.reproduce", "sine", "--workdir=WORKDIR", "--seeds=0,x"], "--seeds"),
    "no run": (["experiments.evaluate", "--workdir=WORKDIR"], "config.json"),
    "a folder of runs": (["experiments.evaluate", "--workdir=results/sine/runs"], "such as lstm-10shot-seed0 in it"),
}


@pytest.mark.xdist_group("commands")
@pytest.mark.parametrize("case", BAD)
def test_bad_input(commands, case, tmp_path):
    arguments, words = BAD[case]
    ended = commands(*(word.replace("WORKDIR", str(tmp_path / "run")) for word in arguments))
    assert ended.code == 2, ended.output
    (line,) = ended.output.splitlines()
    assert line.startswith("error: ") and words in line
    assert not (tmp_path / "run").exists()


@pytest.mark.xdist_group("commands")
def test_train_evaluate_and_refuse_another_config(commands, tmp_path):
    small = [PI, *TINY, "--config.options.sizes=(8,8)"]
    workdir = f"--workdir={tmp_path}"
    done = commands("experiments.train", workdir, *small)
    assert done.code == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    assert f"{result['score']:.4f}" in done.stdout

    again = commands("experiments.evaluate", workdir)
    assert again.code == 0 and f"{result['score']:.4f} ± {result['interval']:.4f}" in again.output, again.output
    more_passes = commands("experiments.evaluate", workdir, "--passes=6")
    assert more_passes.code == 0 and more_passes.output != again.output

    other = commands("experiments.train", workdir, *small, "--config.seed=3")
    assert other.code == 2
    assert other.output.count("\n") == 1 and "seed is 0 there, 3 asked" in other.output


@pytest.mark.slow
def test_checks_change_no_result_and_name_the_line_of_a_nan(commands, tmp_path):
    small = [PI, *TINY, "--config.options.sizes=(8,8)"]
    shas = []
    for name, more in (("plain", []), ("checked", ["--check"])):
        done = commands("experiments.train", f"--workdir={tmp_path}/{name}", *small, *more)
        assert done.code == 0, done.stderr
        shas.append(json.loads((tmp_path / name / "result.json").read_text())["params_sha256"])
    assert shas[0] == shas[1]
    maml = "--config=experiments/configs/sine.py:maml,passes=1,learning_rate=1e30"
    done = commands("experiments.train", f"--workdir={tmp_path}/bad", maml, *TINY, "--check")
    assert done.code == 1 and done.stderr.count("\n") == 1
    assert "not finite after it: " in done.stderr and "(nan) encountered in" in done.stderr


def test_a_workdir_that_cannot_be_made(commands, tmp_path):
    (tmp_path / "file").write_text("")
    done = commands("experiments.train", f"--workdir={tmp_path}/file/run", PI)
    assert done.code == 2
    assert done.stderr.count("\n") == 1 and "cannot be written" in done.stderr


def test_a_run_on_images_is_tested_on_other_images_and_ways(commands, tmp_path, shared):
    workdir, data = f"--workdir={tmp_path / 'run'}", f"--config.data={shared / 'data' / 'omniglot28.npz'}"
    config = "--config=experiments/configs/glyphs.py:protonet,meta_batch=2,filters=4"
    done = commands("experiments.train", workdir, config, *TINY, data, "--config.augment.flip=True")
    assert done.code == 0, done.output
    changed = ["experiments.evaluate", workdir, "--test_tasks=10"]
    other = f"--data={write_pack(tmp_path, 28)}"
    changes = [other, "--way=8", "--query=2", f"--json={tmp_path}/other.json"]
    done = commands(*changed, *changes)
    assert done.code == 0, done.output
    found = json.loads((tmp_path / "other.json").read_text())
    assert (found["way"], found["test_query"], found["test_tasks"]) == (8, 2, 10)
    assert found["score"] > 0.2
    with pytest.raises(ValueError, match="unknown field 'shots'; did you mean 'shot'"):
        score_trained(tmp_path / "run", shots=2)
    small = commands("experiments.train", f"--workdir={tmp_path / 'small'}", config, data, "--config.image_size=8")
    assert small.code == 2 and "4 poolings need 16x16 or more" in small.output and not (tmp_path / "small").exists()
    done = commands(*changed, f"--data={shared / 'data' / 'cub50_full_84.npz'}")
    assert done.code == 2 and "trained on [28, 28, 1]" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.slow
def test_learners_of_a_fixed_number_of_classes_say_so(commands, tmp_path):
    config = "--config=experiments/configs/glyphs.py:op_lstm_head,filters=2,meta_batch=2"
    assert commands("experiments.train", f"--workdir={tmp_path}", config, *TINY).code == 0
    done = commands("experiments.evaluate", f"--workdir={tmp_path}", "--way=6")
    assert done.code == 2
    reason = "the run was trained with 5 classes and its learner takes no other number"
    assert done.stderr == f"error: 6 classes, but {reason}\n"


@pytest.mark.slow
def test_tables_of_images_show_both_protocols_and_floors(commands, tmp_path):
    words = ["experiments.reproduce", "omniglot", f"--workdir={tmp_path}", "--data=glyphs", "--shots=1", "--seeds=0"]
    fields = "--fields=test_tasks=60,validation_tasks=20"
    done = commands(*words, "--learners=random,finetune", "--fraction=0.0005", fields)
    assert done.code == 0, done.output
    table = (tmp_path / "table.md").read_text()
    assert "| learner | 1-shot, 15 queries | 1-shot, k queries |" in table
    rows = json.loads((tmp_path / "table.json").read_text())["cells"]
    expected = {(name, query) for name in ("random", "finetune") for query in (15, 1)}
    assert {(r["learner"], r["test_query"]) for r in rows} == expected
    scores = {(r["learner"], r["test_query"]): r["over_tasks"]["mean"] for r in rows}
    assert scores["random", 15] < 0.25 < scores["finetune", 15]
