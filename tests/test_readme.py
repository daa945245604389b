"""The README's examples run as they stand."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("number", range(2))
def test_example(number, capsys):
    names = {}
    exec(compile(EXAMPLES[number], f"README example {number}", "exec"), names)
    if number == 0:
        assert names["outputs"].shape == (10, 1)
        assert capsys.readouterr().out.startswith("(10, 1) ((9, 1, 91), (9, 91, 91)")
    else:
        assert names["loss"] > 0


def test_every_example_is_tested():
    assert len(EXAMPLES) == 2


@pytest.mark.parametrize("name", re.findall(r"<!-- (results/\S+) -->", README))
def test_tables_are_those_of_the_results(name):
    block = README.split(f"<!-- {name} -->\n")[1].split("<!-- end -->")[0]
    assert block.strip() == (Path(__file__).parents[1] / name).read_text().strip()
