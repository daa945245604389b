"""The benchmark measures what it says, briefly."""

import ast
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from processes import OPTIMISED

from benchmarks import convolutions, hlo, plain, problems, table
from oplstm_jax import build
from oplstm_jax.losses import cross_entropy
from oplstm_jax.meta import task_outputs
from oplstm_jax.nets.conv import plain_conv3x3

ROOT = Path(__file__).parents[1]
FIELDS = (
    "learner problem meta_batch tasks_per_second limit_tasks_per_second plain_tasks_per_second compile_seconds "
    "peak_bytes matmul_gflops platform"
).split()


def _run(*words, module="throughput", env=OPTIMISED):
    command = [sys.executable, "-m", f"benchmarks.{module}", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=env)


PROGRAM = """HloModule step

%body (p: (s32[], f32[1000,1000])) -> (s32[], f32[1000,1000]) {
  %p = (s32[], f32[1000,1000]{1,0}) parameter(0)
  %x = f32[1000,1000]{1,0} get-tuple-element(%p), index=1
  %input_transpose_fusion.1 = f32[1000,1000]{1,0} fusion(%x), kind=kInput, calls=%turned
  ROOT %out = (s32[], f32[1000,1000]{1,0}) tuple(%n, %input_transpose_fusion.1)
}

ENTRY %main (a: bf16[1000,1000]) -> f32[] {
  %a = bf16[1000,1000]{1,0} parameter(0)
  %wide = f32[1000,1000]{1,0} fusion(%a), kind=kLoop, calls=%convert
  %loop = (s32[], f32[1000,1000]{1,0}) while(%start), body=%body, backend_config={"known_trip_count":{"n":"3"}}
  %small_transpose = f32[2,2]{1,0} fusion(%b), kind=kLoop, calls=%turned
  ROOT %sum = f32[] reduce(%wide), to_apply=%add
}
"""


def test_kernels_bytes_and_transposes_of_a_program_are_counted():
    found = hlo.count(PROGRAM)
    assert found.kernels == 1 + 3 + 1 + 1
    assert found.moved_bytes == 6_000_000 + 3 * 8_000_000 + 16 + 4_000_004
    assert (found.transposes, found.transposed_bytes) == (3, 24_000_000)


def test_what_jax_compiles_can_be_counted():
    def loop(x):
        return jax.lax.fori_loop(0, 5, lambda _, x: jax.numpy.sin(x) @ x, x)

    once, loops = (hlo.count(jax.jit(f).lower(jax.numpy.ones((8, 8))).compile().as_text()) for f in (jax.numpy.sin, loop))
    assert once == hlo.Count(1, 2 * 8 * 8 * 4, 0, 0)
    assert loops.kernels >= 10


@pytest.mark.skipif(importlib.util.find_spec("jax_cuda12_plugin") is not None, reason="JAX can compile for NVIDIA GPUs here")
def test_compiling_for_a_gpu_says_what_it_takes():
    done = _run("--row=2", module="compiled")
    assert (done.returncode, done.stdout) == (2, "")
    assert all(name in done.stderr.splitlines()[-1] for name in ("jax-cuda12-plugin", "jax-cuda12-pjrt", "nvidia-cuda-nvcc"))


@pytest.mark.parametrize("way", convolutions.WAYS)
def test_all_ways_to_convolve_are_one(way):
    keys = jax.random.split(jax.random.key(0))
    x, kernels = jax.random.normal(keys[0], (2, 3, 5, 6, 4)), jax.random.normal(keys[1], (2, 3, 3, 4, 7))

    def result(convolve):
        return jax.jit(jax.value_and_grad(lambda x, k: jax.numpy.sum(convolve(x, k) ** 3), (0, 1)))(x, kernels)

    expected = result(lambda x, k: jax.numpy.stack([plain_conv3x3(*pair) for pair in zip(x, k, strict=True)]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-2), result(convolutions.WAYS[way]), expected)


def test_a_row_holds_all_fields_also_where_devices_share_the_tasks(tmp_path):
    words = ("--problem=sine_5shot", "--learner=pi_lstm", "--meta_batch=2", "--seconds=0.1", "--cpu_devices=2")
    (row,), printed = _rows(tmp_path, *words, env=None)  # unoptimised: what is there matters, not how fast it is
    assert set(FIELDS) <= set(row)
    assert (row["learner"], row["problem"], row["meta_batch"]) == ("pi_lstm", "sine_5shot", 2)
    assert all(row[name] > 0 for name in FIELDS if name.endswith("_second") or name.startswith("peak"))
    assert row["hardware"].startswith(table.TWO_DEVICES)
    assert "pi_lstm" in printed


@pytest.mark.slow
def test_growth_fits_an_exponent_to_every_size(tmp_path):
    rows, printed = _rows(tmp_path, "--problem=sine_5shot", "--learner=lstm", "--seconds=0.3", "--growth")
    exponents = {row["varied"]: row["exponent"] for row in rows}
    assert set(exponents) == {"meta_batch", "train_shot", "passes", "sizes"}
    assert printed.count("to the power") == len(exponents)
    assert exponents["meta_batch"] < 0.3 < exponents["passes"] < 1.3  # passes follow one another, tasks need not


def _rows(folder, *words, **options):
    file = folder / "rows.json"
    done = _run(*words, f"--json={file}", **options)
    assert done.returncode == 0, done.stderr
    return json.loads(file.read_text()), done.stdout


def test_the_table_is_that_of_its_rows():
    folder = ROOT / "results" / "speed"
    expected = table.tables(*(json.loads((folder / f"{name}.json").read_text()) for name in ("quiet", "before", "after")))
    assert (folder / "table.md").read_text() == expected
    document = (ROOT / "benchmarks" / "README.md").read_text()
    assert document.split("<!-- results/speed/table.md -->\n")[1].split("<!-- end -->")[0] == expected


@pytest.mark.parametrize("name", ["convolutions", "convolutions_gpu"])
def test_the_table_of_convolutions_is_that_of_its_rows(name):
    expected = convolutions.table(json.loads((ROOT / "results" / "speed" / f"{name}.json").read_text()))
    assert f"\n\n{expected}\n\n" in (ROOT / "benchmarks" / "README.md").read_text()


def test_the_tables_of_a_gpu_are_those_of_its_rows():
    document = (ROOT / "benchmarks" / "README.md").read_text()
    for name, expected in table.gpu_tables(ROOT / "results" / "speed").items():
        assert document.split(f"<!-- results/speed/{name}.json -->\n")[1].split("<!-- end -->")[0] == expected


@pytest.mark.parametrize(("flag", "words"), [
    ("--problem=sin", "expected one of sine_5shot"),
    ("--learner=gpt", "'gpt'"),
    ("--meta_batch=0", "--meta_batch=0"),
    ("--json=missing/rows.json", "missing"),
])
def test_bad_names(flag, words):
    done = _run(flag)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and words in done.stderr


@pytest.mark.parametrize(("problem", "learner"), [
    ("omniglot_mlp_1shot", "op_lstm"),
    pytest.param("omniglot_conv4_1shot", "protonet", marks=pytest.mark.slow),
])
def test_the_plain_version_computes_the_same(problem, learner):
    config = {**problems.workloads()[problem].config(learner), "filters": 4, "query": 2, "hidden": [9, 8]}
    sample_key, init_key = jax.random.split(jax.random.key(0))
    episode = build.build_sampler(config, "train")(sample_key)

    def gradient():
        made = build.build_learner(config, config["passes"])
        params = made.init(jax.random.clone(init_key), episode)

        def loss(params):
            return cross_entropy(task_outputs(made, params, episode), episode.query.y)

        return str(jax.make_jaxpr(jax.grad(loss))(params)), jax.jit(jax.value_and_grad(loss))(params)

    fast_program, fast = gradient()
    with plain.plain():
        slow_program, slow = gradient()
    assert fast_program != slow_program
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4), fast, slow)


@pytest.mark.parametrize(("module", "flag", "words"), [
    ("accelerator", "--row=99", "flag --row is 99: expected at most 21"),
    ("idle", "--tasks=0", "--tasks"),
    ("idle", "--seconds=0.5", "there is nothing to profile: expected a GPU, not cpu"),
    ("accelerator", "--json=missing/rows.json", "missing"),
])
def test_bad_flags_of_what_is_for_accelerators(module, flag, words):
    done = _run(flag, module=module)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and words in done.stderr


def test_rests_lie_between_spans_of_work():
    code = "from benchmarks import idle; print(idle.rest([(5e6, 6e6), (0, 1e6), (0.5e6, 2e6), (9e6, 10e6)]))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT)
    assert ast.literal_eval(done.stdout) == {"seconds": 0.01, "busy": 0.4, "longest_rests_ms": [3.0, 3.0]}
