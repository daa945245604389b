"""Whatever stands behind a command: it ends well, or with one line and exit code 2, and then nothing has been written.

Every case is a process of its own (see faults.py); the slow tests try many more.
"""

import collections
import os
import re
import shutil
from pathlib import Path

import pytest
from data_files import png
from fuzzing import fuzz
from hypothesis import strategies as st
from processes import write_pack
from test_faults import TRAIN

from experiments.configs import glyphs, sine
from oplstm_jax.data import glyphs as drawings

pytestmark = pytest.mark.xdist_group("commands")
ROOT = Path(__file__).parents[1]
FAULTS = {"seconds": 40, "memory": 8 * 2**30}  # one that is at work for longer is stopped as by the system
SEVERAL = ("oplstm_jax.compat",)  # says a line of every file
FLAG = re.compile(r'(?:flags\.DEFINE_\w+\(\s*|add_argument\()"(?:--)?([a-z_-]+)"')
FIELDS = sorted({*sine.get_config("op_lstm"), *glyphs.get_config("protonet"), "options.sizes", "augment.flip", "shoot"})
SINE = f"--config={ROOT}/experiments/configs/sine.py"

# What works behind a command, in a folder like that of `template`; the first word is never left out.
WORKS = {
    "experiments.train": [f"{SINE}:{TRAIN[1].partition(':')[2]}", TRAIN[2], "--workdir=new"],
    "experiments.evaluate": ["--workdir=run", "--test_tasks=3"],
    "experiments.predict": ["--workdir=guesses", "--support=images", "--query=images/a", "--out=new"],
    "experiments.reproduce": ["sine", "--workdir=table", "--learners=pi_lstm", "--shots=5", "--seeds=0", "--notrain"],
    "experiments.merge": ["--workdir=new", "table"],
    "experiments.report": ["--results=table", "--to=report.html"],
    "experiments.tensorboard": ["--workdir=table"],
    "experiments.publish": ["--workdir=table", "--to=kept", "--pages=README.md"],
    "experiments.publish_zoo": ["--to=zoo", "--workdir=table"],
    "oplstm_jax.data show": ["show", "images", "--out=new.png", "--way=1", "--query=1", "--split=all"],
    "oplstm_jax.data pack": ["pack", "pack.npz", "new.npz", "--per-split", "2", "2", "2"],
    "oplstm_jax.data prepare": ["prepare", "mine", "--from=images", "--image-size=8", "--channels=1"],
    "oplstm_jax.compat": ["golden.npz"],
    "benchmarks.throughput": ["--problem=sine_5shot", "--learner=pi_lstm", "--seconds=0.1", "--noplain"],
}
NUMBERS = "0 1 -1 2 5 0.5 -0.0 1e-9 1e30 nan inf -inf 2147483647 2147483648 9223372036854775808 1_000 0x10".split()
WORDS = "sine glyphs op_lstm protonet none auto True None x ( () (1, [1,2] {} , ,, = 0,1,2 1,1 localhost:0,1,0".split()
PATHS = ["", ".", "..", "run", "table", "images", "images/a", "a file", "a file/below", "nowhere", "run/result.json"]
PATHS += ["golden.npz", "pack.npz", "/proc/self/mem", "/dev/null", str(ROOT / "experiments/cli.py"), "~", "*", "new"]
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
BYTES = st.binary(min_size=1, max_size=4).filter(lambda value: b"\0" not in value).map(os.fsdecode)
VALUES = st.one_of(st.sampled_from(NUMBERS), st.sampled_from(WORDS), st.sampled_from(PATHS), TEXTS, BYTES)


def flags_of(command):
    """Names of the flags in the file of a command, and a misspelt one."""
    file = ROOT / command.partition(" ")[0].replace(".", "/")
    text = "".join(path.read_text() for path in (file.with_suffix(".py"), file / "__main__.py") if path.exists())
    return sorted({*FLAG.findall(text), "wrokdir", "compilation_cache"})


def words_after(command):
    """A strategy: what works behind a command, with some of it left out, and one to three odd words."""
    names = st.sampled_from(flags_of(command))
    if command == "experiments.train":
        names = st.one_of(names, st.sampled_from([f"config.{field}" for field in FIELDS]))
    valued = st.builds("--{}={}".format, names, VALUES)
    odd = st.one_of(valued, valued, valued, st.builds("--{}".format, names), st.builds("--no{}".format, names), VALUES)
    first, *others = WORKS[command]
    kept = st.one_of(st.just(others), st.just(others), st.permutations(others).map(lambda words: words[1:]))
    return st.builds(lambda kept, odd: [first, *kept, *odd], kept, st.lists(odd, min_size=1, max_size=3))


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A folder with runs on sine and on images, a table, images, a pack, a golden case, and a file that is nothing."""
    place = tmp_path_factory.mktemp("template")
    (place / "a file").write_bytes(b"\x80\0")
    for number, image in enumerate(drawings.load_glyphs(classes=2, drawings=4, seed=0).images):
        (place / "images" / "ab"[number // 4]).mkdir(parents=True, exist_ok=True)
        (place / "images" / "ab"[number // 4] / f"{number}.png").write_bytes(png(image[..., 0]))
    write_pack(place)
    shutil.copy(ROOT / "tests/golden/maml_sine_5shot_T5_second.npz", place / "golden.npz")
    sine_run = ROOT / "results/sine/runs/pi_lstm-5shot-seed0"
    shutil.copytree(sine_run, place / "run")
    shutil.copytree(sine_run, place / "table" / sine_run.name)
    for name in ("table.md", "table.json"):
        shutil.copy(ROOT / "results/sine" / name, place / "table" / name)
    shutil.copytree(ROOT / "results/omniglot/runs/random-1shot-seed0", place / "guesses")
    return place


def contents(place):
    """File or folder -> its bytes, its link or nothing; but for locks and folders, which are nobody's work."""
    found = (path for path in place.rglob("*") if path.name != ".lock")
    return {str(path): path.read_bytes() for path in found if path.is_file()}


def check(commands, template, command, words):
    """Runs a case and says how it ended. Fails for a traceback, a hang, more than a line, or files left behind."""
    place = template.parent / "place"
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(template, place)
    module, *first = command.split(" ")[:1]
    before = contents(place)
    ended = commands(module, *first, *words, folder=str(place), **FAULTS)
    code, output = ended.code, ended.output
    about = f"{command} {words} -> {code}: {output}"
    assert "Traceback" not in output and code in (0, 1, 2, 143, -15), about
    if code in (1, 2):
        *others, line = output.removesuffix("\n").split("\n")
        assert line.startswith("error: ") or command in SEVERAL, about
    if code == 2:
        assert not others or command in SEVERAL, about
        assert contents(place) == before, about
    return code


@pytest.mark.parametrize("cases", [3, pytest.param(300, marks=pytest.mark.slow)])
def test_words_after_commands(commands, template, cases):
    ends = collections.Counter()

    def case(drawn):
        ends[check(commands, template, *drawn)] += 1

    drawn = st.sampled_from(sorted(WORKS)).flatmap(lambda command: st.tuples(st.just(command), words_after(command)))
    fuzz(cases, cases, drawn)(case)(cases)
    print(f"{ends.total()} cases ended with exit code: {dict(ends)}")
    assert ends[2] > cases / 2


def test_memory_that_does_not_suffice_is_one_line(commands, template):
    words = [f"--workdir={template / 'run'}", "--shot=100000000"]
    ended = commands("experiments.evaluate", *words, memory=FAULTS["memory"])
    assert ended.code == 1, ended.output
    assert ended.output.startswith("error: out of memory (") and ended.output.count("\n") == 1
