"""The documentation's examples run as they stand, and every learner has its page."""

import re
from pathlib import Path

import pytest

import oplstm_jax
from docs import docstrings, equations
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


def test_every_equation_becomes_mathml():
    written = "".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
    found = re.findall(r"\\[(\[](.*?)\\[)\]]", written, re.DOTALL)
    assert len(found) > 40
    for tex in found:
        assert equations.on_page_content(f'<span class="arithmatex">\\({tex}\\)</span>').startswith("<math"), tex


ODD = [(r"x \frca y", "no such command: .frca"), (r"x^a^b", "cannot be converted")]


@pytest.mark.parametrize(("tex", "reason"), ODD)
def test_an_equation_that_cannot_be_drawn_is_named(tex, reason):
    with pytest.raises(ValueError, match=f"equation .*: {reason}"):
        equations.on_page_content(rf'<div class="arithmatex">\[{tex}\]</div>')


def test_docstrings_list_their_arguments_and_keep_columns():
    opened, closed = '<div class="doc doc-contents first">', "</div> </div>"
    written = "<p>x, y: inputs,\n    and targets.\nz: more.</p><p>Some\nprose: x</p>"
    shown = docstrings.on_page_content(f"{opened}{written}{closed}")
    assert shown == (
        f"{opened}<ul><li><b>x, y</b>: inputs, and targets.</li><li><b>z</b>: more.</li></ul>"
        f"<p>Some\nprose: x</p>{closed}"
    )
    assert docstrings.on_page_content(f"{opened}<p>a.json    one\nb.json</p>{closed}").count("<pre><code>") == 1
    assert docstrings.on_page_content("<p>x: not of a docstring\ny: either</p>").startswith("<p>")


def test_every_public_name_is_in_the_reference():
    pages = "".join(page.read_text(encoding="utf-8") for page in (DOCS / "api").glob("*.md"))
    described = set(re.findall(r"^::: (\S+)$", pages, re.MULTILINE))
    for name in oplstm_jax.__all__:
        found = getattr(oplstm_jax, name)
        module = found.__name__ if name == "zoo" else found.__module__
        assert {module, f"{module}.{name}"} & described, name
