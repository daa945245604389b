"""--help teaches: what a command does, an example, every flag with its default, every field of a configuration."""

import ast
import re
from pathlib import Path

import pytest
from test_commands import PI

from experiments import help

ROOT = Path(__file__).parents[1]
COMMANDS = [path.stem for path in (ROOT / "experiments").glob("*.py") if "cli.run(main)" in path.read_text()]


def test_of_a_configuration(commands, tmp_path):
    done = commands("experiments.train", f"{PI},shot=7", "--help")
    assert done.code == 0, done.stderr
    assert done.stdout.startswith("Meta-trains one learner and tests it.\n\n    python -m experiments.train --config=")
    assert "\n  --config.shot=7\n" in done.stdout and "\n  --config.options.sizes=(40, 40)\n" in done.stdout
    assert "normalisation mode of the base-learner" in done.stdout
    assert "--workdir" in done.stdout and "/" + ROOT.name not in done.stdout


def test_configurations_are_listed_with_their_learners():
    listed = help._configurations()
    assert "experiments/configs/sine.py             lstm, pi_lstm, op_lstm, maml, scratch, random\n" in listed
    assert "experiments/configs/op_lstm_best.py     sine, omniglot, omniglot_conv4\n" in listed


def test_benchmarks_behave_as_all_commands_do():
    texts = [path.read_text() for path in (ROOT / "benchmarks").glob("*.py")]
    commands = [text for text in texts if '__name__ == "__main__"' in text]
    assert len(commands) > 5 and all("cli.run(main" in text for text in commands)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example_and_a_line_in_the_documentation(name):
    text = ast.get_docstring(ast.parse((ROOT / "experiments" / f"{name}.py").read_text()))
    assert f"\n    python -m experiments.{name} " in text
    assert f"| `python -m experiments.{name}` |" in (ROOT / "docs" / "commands.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(commands, name, tmp_path):
    done = commands(f"experiments.{name}", "--help")
    assert done.code == 0, done.stderr
    assert "\nFlags:\n" in done.stdout and f"python -m experiments.{name} " in done.stdout
    assert re.search(r"\n  --(workdir|to)\b", done.stdout)


def test_an_unknown_flag_is_still_refused(commands, tmp_path):
    done = commands("experiments.train", "--help", "--wrokdir=x")
    assert done.code == 2 and done.stderr.count("\n") == 1
