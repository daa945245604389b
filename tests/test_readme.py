"""The README's examples run as they stand, and the tables that it and the site show are those of the results."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
PAGES = {page: page.read_text() for page in (ROOT / "README.md", *sorted((ROOT / "docs/results").glob("*.md")))}
SHOWN = [(page, name) for page, text in PAGES.items() for name in re.findall(r"<!-- (results/\S+) -->", text)]


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


@pytest.mark.parametrize(("page", "name"), SHOWN, ids=[name for _, name in SHOWN])
def test_tables_are_those_of_the_results(page, name):
    block = PAGES[page].split(f"<!-- {name} -->\n")[1].split("<!-- end -->")[0]
    assert block.strip() == (ROOT / name).read_text().strip()


def test_every_table_is_shown_once():
    tables = [file.relative_to(ROOT) for file in (ROOT / "results").glob("*/table.md") if file.parent.name != "speed"]
    assert sorted(name for _, name in SHOWN) == sorted(file.as_posix() for file in tables)


def test_every_finding_is_listed():
    listed = (ROOT / "docs/results/beyond.md").read_text()
    for finding in (ROOT / "results/beyond").glob("*/finding.md"):
        title = finding.read_text().partition("\n")[0].removeprefix("# ")
        assert f"* `{finding.parent.name}`: {title}\n" in listed
