"""The documentation's examples run as they stand, and every learner has its page."""

import re
from pathlib import Path

import pytest

from oplstm_jax import learners

DOCS = Path(__file__).parents[1] / "docs"
EXAMPLES = {
    page.relative_to(DOCS).as_posix(): blocks
    for page in sorted(DOCS.rglob("*.md"))
    if (blocks := re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
}

# What these pages show is in the README and in a notebook too, which the default suite runs.
SHOWN_ELSEWHERE = ("quickstart.md", "devices.md")
PAGES = [pytest.param(p, marks=[pytest.mark.slow] if p in SHOWN_ELSEWHERE else []) for p in EXAMPLES]


@pytest.mark.parametrize("page", PAGES)
def test_examples_of_a_page_run_in_order(page):
    names: dict = {"__name__": page}
    for number, block in enumerate(EXAMPLES[page]):
        exec(compile(block, f"{page}, example {number}", "exec"), names)
    if "state" in names:
        assert names["state"].step > 0


def test_extensions_are_shown_by_examples():
    assert {f"extend/{name}.md" for name in ("learner", "base_learner", "dataset")} <= set(EXAMPLES)


def test_every_learner_has_a_page():
    pages = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "learners").glob("*.md"))
    titles = re.findall(r"^# .*$|^\* \*\*`.*$", pages, re.MULTILINE)
    assert all(any(f"`{name}`" in title for title in titles) for name in learners.NAMES)
