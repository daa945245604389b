"""The original's golden cases, as a library user and as the command sees them."""

import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from oplstm_jax import compat
from oplstm_jax.compat.networks import channels_last
from oplstm_jax.meta import task_outputs
from oplstm_jax.nets.conv4 import Conv4

GOLDEN = Path(__file__).parent / "golden"
SMALL = sorted(GOLDEN.glob("*.npz"))


@pytest.mark.parametrize("path", SMALL, ids=lambda path: path.stem)
def test_small_golden_case(path, capsys):
    assert compat.main([str(path)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    name, prediction, gradient, word = line.split(" ")
    assert (name, word) == (path.stem, "ok")
    assert float(prediction) < 1e-9
    assert float(gradient) < 1e-6


LARGE = (
    "lstm_mean_conv4_1shot_T3 lstm_mean_conv4_5shot_T3 lstm_mean_omniglot_1shot_T3 lstm_sequential_omniglot_1shot_T3 "
    "maml_conv4_1shot_T2_first maml_omniglot_1shot_T3_second op_lstm_head_conv4_1shot_T1_nogamma "
    "op_lstm_head_conv4_1shot_T2_bias op_lstm_head_conv4_1shot_T2_full op_lstm_head_conv4_1shot_T2_steplr "
    "op_lstm_head_conv4_1shot_T2_targetonly op_lstm_head_conv4_1shot_T3_gamma op_lstm_head_conv4_5shot_T3_gamma "
    "op_lstm_omniglot_1shot_T1 op_lstm_omniglot_5shot_T2_firstorder_bias op_lstm_omniglot_5shot_T3_gamma "
    "op_lstm_omniglot_nobn_1shot_T2_gamma_bias op_lstm_omniglot_nobn_1shot_T2_gamma_firstorder protonet_conv4_1shot "
    "protonet_omniglot_5shot sap_conv4_1shot_T2 sap_conv4_1shot_T2_clip warp_maml_conv4_1shot_T2"
).split()


# Whole families, but for the longest case, which another one contains but for the bound on its gradients.
LONGEST = "sap_conv4_1shot_T2"
FAMILIES = ["lstm", "maml", "op_lstm_head", "op_lstm_omniglot", "protonet", "sap", "warp_maml"]


@pytest.mark.parametrize("family", [*FAMILIES, pytest.param(LONGEST, marks=pytest.mark.slow)])
def test_golden_cases_of_the_shared_folder(family, shared, capsys):
    """With the small ones above, all 32."""
    names = [name for name in LARGE if name.startswith(family) and name != LONGEST]
    names = [LONGEST] if family == LONGEST else names
    assert compat.main([str(shared / "golden" / f"{name}.npz") for name in names]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" ")[0] for line in lines if line.endswith(" ok")] == names


def test_no_golden_case_is_forgotten(shared):
    found = {path.stem for path in (shared / "golden").glob("*.npz")}
    assert found == {*LARGE, *(path.stem for path in SMALL)}
    assert len(found) == 32


def test_load_gives_learner_and_parameters_in_float32():
    path = GOLDEN / "op_lstm_sine_5shot_T9_gamma.npz"
    learner, params = compat.load(path)
    assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {np.dtype(np.float32)}
    with np.load(path) as file:
        x, y, query = (file[f"task/{name}"] for name in ("support_x", "support_y", "query_x"))
        reference = file["out/query_prediction"]
    episode = compat.Episode(compat.Split(x, y), compat.Split(query, None))
    np.testing.assert_allclose(task_outputs(learner, params, episode), reference, atol=1e-4)


def test_features_are_read_in_the_order_of_the_original(tmp_path):
    """Images that leave 2x3 pixels: the golden cases leave one, for which every order is the same."""
    draw = np.random.default_rng(0).normal
    shapes = {"model.out.weight": (3, 12), "model.out.bias": (3,)}
    for block, channels in enumerate((1, 2, 2, 2)):
        name = f"model.features.conv_block{block}"
        shapes |= {f"{name}.cl.weight": (2, channels, 3, 3), f"{name}.cl.bias": (2,)}
        shapes |= {f"{name}.bn.weight": (2,), f"{name}.bn.bias": (2,)}
    arrays = {f"param/{name}": draw(size=shape).astype(np.float32) for name, shape in shapes.items()}
    meta = {"learner": "maml", "base": "conv4", "T": 0, "inner_lr": 0.1, "second_order": False}
    np.savez(tmp_path / "weights.npz", meta=json.dumps(meta), **arrays)
    learner, params = compat.load(tmp_path / "weights.npz")
    x = draw(size=(4, 33, 50, 1)).astype(np.float32)
    split = compat.Split(x, np.eye(4, 3))
    maps = Conv4(filters=2).apply({"params": params}, x).reshape(4, 2, 3, 2)
    flat = np.moveaxis(np.asarray(maps), 3, 1).reshape(4, 12)
    expected = flat @ arrays["param/model.out.weight"].T + arrays["param/model.out.bias"]
    np.testing.assert_allclose(task_outputs(learner, params, compat.Episode(split, split)), expected, atol=1e-4)


def test_an_lstm_reads_reordered_features_and_then_the_target():
    weight = np.arange(2 * 8).reshape(2, 8)  # two maps of 3 pixels, and two targets
    expected = [[0, 3, 1, 4, 2, 5, 6, 7], [8, 11, 9, 12, 10, 13, 14, 15]]
    np.testing.assert_array_equal(channels_last(weight, maps=2, features=6), expected)


def _changed(tmp_path, name="changed.npz", meta=None, **arrays):
    """A copy of a small case with other meta entries or arrays (None: left out)."""
    with np.load(GOLDEN / "maml_sine_5shot_T5_second.npz") as file:
        content = dict(file)
    content |= arrays
    changed = {**json.loads(str(content["meta"])), "name": Path(name).stem, **(meta or {})}
    content["meta"] = np.array(json.dumps(changed))
    np.savez(tmp_path / name, **{key: value for key, value in content.items() if value is not None})
    return str(tmp_path / name)


def test_a_wrong_number_fails(tmp_path, capsys):
    with np.load(GOLDEN / "maml_sine_5shot_T5_second.npz") as file:
        off = file["out/query_prediction"] * (1 + 1e-5)
    assert compat.main([_changed(tmp_path, **{"out/query_prediction": off})]) == 1
    assert capsys.readouterr().out.endswith(" FAIL\n")


def test_other_hyper_parameters_are_read_from_meta(tmp_path, capsys):
    assert compat.main([_changed(tmp_path, meta={"inner_lr": 0.02})]) == 1
    assert capsys.readouterr().out.split()[-1] == "FAIL"


def test_without_gradients_the_prediction_decides(tmp_path, capsys):
    with np.load(GOLDEN / "maml_sine_5shot_T5_second.npz") as file:
        gradients = {key: None for key in file.files if key.startswith("grad/")}
    assert compat.main([_changed(tmp_path, **gradients)]) == 0
    assert capsys.readouterr().out.split()[2:] == ["-", "ok"]


@pytest.mark.parametrize(
    "meta", [{"learner": "warp_drive"}, {"base": "resnet"}, {"learner": "sap"}, {"learner": "warp_maml"}]
)
def test_unknown_kinds_are_unsupported(tmp_path, capsys, meta):
    assert compat.main([_changed(tmp_path, meta=meta)]) == 1
    assert capsys.readouterr().out == "changed - - unsupported\n"


def test_unreadable_files_are_reported_and_the_rest_still_runs(tmp_path, capsys):
    (tmp_path / "text.npz").write_text("no archive")
    with open(GOLDEN / "maml_sine_5shot_T5_second.npz", "rb") as file:
        (tmp_path / "cut.npz").write_bytes(file.read()[:5000])
    np.savez(tmp_path / "no_meta.npz", a=np.zeros(3))
    incomplete = _changed(tmp_path, "incomplete.npz", **{"task/query_x": None})
    shutil.copy(GOLDEN / "maml_sine_5shot_T5_second.npz", tmp_path / "good.npz")
    bad = [str(tmp_path / name) for name in ("absent.npz", "text.npz", "cut.npz", "no_meta.npz")] + [incomplete]
    assert compat.main([*bad, str(tmp_path / "good.npz")]) == 2
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0].endswith(" ok") and len(printed.out.splitlines()) == 1
    errors = printed.err.splitlines()
    assert len(errors) == len(bad)
    for path, line in zip(bad, errors, strict=True):
        assert line.startswith("error: ") and path in line
