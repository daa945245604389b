"""Published numbers are those of the specification, digit by digit."""

import re

import pytest

from oplstm_jax import published

LEARNERS = {
    "OP-LSTM": "op_lstm",
    "MAML": "maml",
    "ProtoNet": "protonet",
    "SAP": "sap",
    "Warp-MAML": "warp_maml",
    "plain LSTM (mean-pooled)": "pi_lstm",
}
COLUMNS = (published.OMNIGLOT, *(published.NATURAL[pair] for pair in (
    ("mini", "mini"), ("cub", "cub"), ("mini", "cub"), ("cub", "mini"))))  # fmt: skip


@pytest.fixture
def section(shared):
    return (shared / "SPEC.md").read_text().split("\n## 8.")[1].split("\n## 9.")[0]


def _lines(section, fields):
    """Rows of learners with so many fields: (learner, its fields)."""
    rows = [[text.strip() for text in line.strip("|").split("|")] for line in section.splitlines() if "|" in line]
    return [(LEARNERS[row[0]], row[1:]) for row in rows if row[0] in LEARNERS and len(row) == fields + 1]


def _given(texts, scale):
    return [tuple(float(number) / scale for number in text.split("±")) for text in texts.split("/") if "±" in text]


def _close(found, mean, interval=None):
    assert found.mean == pytest.approx(mean)
    assert found.interval == (None if interval is None else pytest.approx(interval))


def test_accuracies(section):
    count = 0
    for learner, texts in _lines(section, len(COLUMNS)):
        for known, text in zip(COLUMNS, texts, strict=True):
            name = f"{learner}_head" if learner == "op_lstm" and known is not published.OMNIGLOT else learner
            given = _given(text, 100)
            assert [(name, shot) in known for shot in (1, 5)] == [bool(given)] * 2
            for shot, values in zip((1, 5), given, strict=False):
                _close(known[name, shot], *values)
                count += 1
    assert count == 52 == sum(len(known) for known in COLUMNS) - 2  # the sequential LSTM is in a table of its own


def test_errors_on_sine(section):
    for learner, (texts,) in _lines(section, 1):
        for shot, values in zip((5, 10, 20), _given(texts, 1), strict=True):
            _close(published.SINE[learner, shot], *values)
    assert {learner for learner, _ in _lines(section, 1)} == {"pi_lstm", "op_lstm", "maml"}


@pytest.mark.parametrize(
    ("start", "known", "scale"),
    [("sine, k", published.INVARIANCE_SINE, 1), ("Omniglot 5-way, k", published.INVARIANCE_OMNIGLOT, 100)],
)
def test_permutation_invariance(section, start, known, scale):
    (line,) = (line for line in section.splitlines() if line.startswith(f"| {start}"))
    shots, means = line.strip("| ").split("|")
    for learner, texts in zip(("pi_lstm", "lstm"), means.split("vs"), strict=True):
        given = [float(text) / scale for text in texts.split()]
        expected = [known[learner, int(shot)].mean for shot in re.findall(r"\d+", shots.split("=")[1])]
        assert given == pytest.approx(expected)


def test_without_normalisation(section):
    (line,) = (line for line in section.splitlines() if line.startswith("Without batch normalisation"))
    found = re.findall(r"([A-Z][A-Za-z-]+) ([\d.]+) / (\d+\.\d)", line)
    assert len(found) == 3
    for name, *means in found:
        for shot, mean in zip((1, 5), means, strict=True):
            _close(published.WITHOUT_NORM[LEARNERS[name], shot], float(mean) / 100)
