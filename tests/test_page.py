"""The report is one page that loads nothing, says how each cell stands to the published one, and fits a phone."""

import base64
import html
import html.parser
import json
import re
import shutil
import subprocess

import pytest
from processes import ROOT

from experiments.report import write_report
from oplstm_jax import page, tabular
from oplstm_jax import report as report_of

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "chromium-headless-shell")
VOID = {"meta", "link", "img", "br"}


class Reader(html.parser.HTMLParser):
    """Collects tags, and what is not closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.wrong = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of results/."""
    file = tmp_path_factory.mktemp("report") / "report.html"
    write_report(ROOT / "results", file)
    return file


def test_the_page_is_well_formed_and_loads_nothing(report):
    text = report.read_text()
    read = Reader(text)
    assert read.open == [] and read.wrong == []
    links = [attrs.get("src") or attrs["href"] for _, attrs in read.tags if "src" in attrs or "href" in attrs]
    assert all(link.startswith(("data:", "#")) for link in links)
    ids = {attrs["id"] for _, attrs in read.tags if "id" in attrs}
    assert {link[1:] for link in links if link.startswith("#")} <= ids
    assert "script" not in {tag for tag, _ in read.tags} and "url(" not in text and "@import" not in text
    images = [attrs for tag, attrs in read.tags if tag == "img"]
    assert len(images) == len(list((ROOT / "results").glob("*/*.png"))) and all(image["alt"] for image in images)
    for image in images:
        assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")


def test_every_cell_of_the_results_is_on_the_page(report):
    text = report.read_text()
    for file in (ROOT / "results").glob("*/table.json"):
        table = json.loads(file.read_text())
        section = text.split(f">{html.escape(table['title'])}</h2>")[1].split("<h2")[0]
        for cell in table["cells"]:
            row = f"<tr[^>]*><td data-label=.cell.>{re.escape(html.escape(page.cell_name(cell)))}</td>.*?</tr>"
            (line,) = re.findall(row, section)
            if cell["seeds"]:
                assert page.value(cell["over_tasks"]["mean"], cell["over_tasks"]["interval"], cell["metric"]) in line
            if cell["published"]:
                assert page.number(cell["published"]["mean"], cell["metric"]) in line


def _cell(**changes):
    seeds = {
        str(seed): {"score": 0.8, "interval": 0.01, "wall_seconds": 60.0, "command": "python -m x"} for seed in range(3)
    }
    cell = {
        "learner": "maml",
        "shot": 1,
        "protocol": "",
        "metric": "accuracy",
        "published": {"mean": 0.84, "interval": 0.01},
        "seeds": seeds,
        "missing_seeds": [],
        "comparison": {"difference": -0.04, "interval": 0.02, "p": 0.01, "assumed": False},
        "over_tasks": {"mean": 0.8, "interval": 0.01, "count": 300},
        "over_seeds": {"mean": 0.8, "interval": 0.02, "count": 3},
        "published_seconds": 74580.0,
        **{"norm": "none", "test_query": 1, "data": "d", "hardware": "h", "versions": "v", "commits": ["c"]},
        **{"train_tasks": 10, "wall_seconds": 180.0},
    }
    return {**cell, **changes}


def _table(*cells, **changes):
    return {
        "name": "sine",
        "title": "A & B <script>",
        "fraction": 1.0,
        "stand_in": False,
        "cells": list(cells),
        **changes,
    }


BETTER = {"difference": 0.04, "interval": 0.02, "p": 0.0001, "assumed": True}
VERDICTS = {
    "worse": (_cell(), {}, ("worse", "▼ worse (p = 0.010)")),
    "better": (_cell(comparison=BETTER), {}, ("better", "▲ better (p < 0.001)")),
    "a lower error is better": (_cell(metric="mse"), {}, ("better", "▲ better (p = 0.010)")),
    "equal": (_cell(comparison={**BETTER, "p": 0.3}), {}, ("equal", "= no significant difference (p = 0.300)")),
    "neither is better": (_cell(metric="cosine"), {}, ("worse", "≠ differs (p = 0.010)")),
    "reduced": (_cell(), {"fraction": 0.1}, ("worse", "▼ worse (p = 0.010) with 0.1 of the training tasks")),
    "reduced more": (_cell(fraction=0.64), {}, ("worse", "▼ worse (p = 0.010) with 0.64 of the training tasks")),
    "stand-in": (_cell(), {"stand_in": True}, ("untested", "stand-in: not compared")),
    "one seed": (_cell(comparison=None), {}, ("untested", "one seed: not tested")),
    "unpublished": (_cell(published=None, comparison=None), {}, ("untested", "nothing published")),
    "missing": (_cell(seeds={}, comparison=None), {}, ("missing", "missing")),
}


@pytest.mark.parametrize("case", VERDICTS)
def test_verdict(case):
    cell, changes, expected = VERDICTS[case]
    assert report_of.verdict(cell, _table(**changes)) == expected


def test_what_is_missing_reduced_or_a_stand_in_is_said():
    cells = _cell(), _cell(seeds={}, missing_seeds=[0, 1], shot=5, comparison=None), _cell(shot=8, comparison=BETTER)
    table = _table(*cells, fraction=0.5, stand_in=False)
    text = page.render("Title", [page.Section(table, {}), page.Section(_table(stand_in=True), {})], ["within"])
    for words in (
        "Table not run: within.",
        "A &amp; B &lt;script&gt;: 0.5 of the full training tasks",
        "MAML, 5-shot: seeds 0, 1 missing",
        "the data stands in for the paper&#x27;s",
        "2 run, 1 missing. 2 results are compared with a published number: 0 show no significant difference, ",
        "difference, better: 1, worse or different: 1.",
        "20:43:00",
        "4.00 ± 2.00 *",
    ):
        assert words in text, words
    assert "<script>" not in text


def test_cells_with_other_budgets_are_named():
    cells = _cell(fraction=1.0), _cell(shot=5, fraction=0.98321), _cell(learner="scratch", train_tasks=1)
    listed = page.render("Title", [page.Section(_table(*cells), {})]).split("</details>")[0]
    assert "<li>A &amp; B &lt;script&gt;: MAML, 5-shot: 0.983 of the full training tasks.</li>" in listed
    assert listed.count("<li>") == 2  # and the table's place in the list of tables
    notes = " ".join(tabular.facts(list(cells)))
    assert "Training tasks: 10 (MAML); 10 = 0.983 of the full number (MAML)." in notes


TABLES = (
    ("empty", None, "no table.json"),
    ("damaged", "{", "cannot be read as a table"),
    ("untitled", '{"name": "sine", "cells": [], "fraction": 1}', "cannot be read as a table: it has no 'title'"),
    ("odd", '{"name": "sine", "title": "t", "cells": [{}], "fraction": 1}', "it has no 'learner'"),
)


def test_the_command_writes_the_page_or_says_what_is_wrong(commands, tmp_path):
    done = commands("experiments.report", "--results=results", f"--to={tmp_path / 'report.html'}")
    assert done.code == 0 and done.stdout.endswith(f"tables -> {tmp_path / 'report.html'}\n"), done.stderr
    assert (tmp_path / "report.html").stat().st_size > 10_000
    for folder, text, words in TABLES:
        (tmp_path / folder).mkdir()
        if text:
            (tmp_path / folder / "table.json").write_text(text)
        with pytest.raises(ValueError, match=words):
            write_report(tmp_path / folder, tmp_path / "none.html")
    assert not (tmp_path / "none.html").exists()


MEASURE = """<script>
addEventListener("load", () => {
  const root = document.documentElement, images = [...document.images], head = document.querySelector("thead");
  document.title = JSON.stringify({
    width: root.clientWidth, needed: root.scrollWidth, images: images.length,
    broken: images.filter(image => !image.naturalWidth).length, headLeft: head.getBoundingClientRect().left,
  });
});
</script></body>"""


@pytest.mark.parametrize("width", [1280, 500, 390])
def test_a_browser_shows_it_without_errors_and_without_scrolling_sideways(report, tmp_path, width):
    browser = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"needs one of the browsers {', '.join(BROWSERS)} on the PATH")
    file = tmp_path / "measured.html"
    file.write_text(report.read_text().replace("</body>", MEASURE))
    flags = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--enable-logging=stderr",
        f"--user-data-dir={tmp_path / 'profile'}",
    ]
    words = [browser, *flags, f"--window-size={width},900", "--dump-dom", file.as_uri()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=True)
    assert "CONSOLE" not in done.stderr
    found = json.loads(html.unescape(re.search("<title>(.*?)</title>", done.stdout)[1]))
    assert found["needed"] <= found["width"] <= max(width, 500)
    assert found["images"] and not found["broken"]
    assert (found["headLeft"] < 0) == (found["width"] < 768)  # narrow pages show cells as cards
