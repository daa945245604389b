"""Several devices give the results of one. Run by test_sharding.py in a process that has four."""

import functools

import flax.jax_utils
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import tiny
from as_gpu import take_for_gpu
from jax.sharding import PartitionSpec
from jax.tree_util import Partial
from learner_table import ROWS, blobs
from test_train import small_config

from experiments.run import run_config
from oplstm_jax.evaluate import make_evaluate, task_keys
from oplstm_jax.learners.op_lstm_head import op_lstm_head
from oplstm_jax.learners.protonet import protonet
from oplstm_jax.losses import accuracy, cross_entropy
from oplstm_jax.meta import init_state, make_chunk, make_pmap_chunk, make_step, meta_loss
from oplstm_jax.nets.conv4 import Conv4
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.records import read_metrics
from oplstm_jax.sharding import TASKS, axis_of, replicate, task_mesh

LEARNER = protonet(MLP((6, 5), 3, "transductive"))
SAMPLE = Partial(blobs)


def _trained(mesh, chunk_of=make_chunk, at_once=2):
    """The state and log after three meta-steps on meta-batches of four."""
    optimiser = optax.sgd(0.1)
    state = init_state(LEARNER, optimiser, jax.random.key(0), blobs(jax.random.key(1)))
    step = make_step(LEARNER, cross_entropy, accuracy, optimiser, 4, at_once, axis_of(mesh))
    return chunk_of(step, mesh)(replicate(state, mesh), jax.random.key(2), 3, SAMPLE)


@functools.cache
def _alone():
    """The same without a mesh."""
    return _trained(None)


def _row(name):
    return next(row for row in ROWS if row.name == name)


def _four_tasks(learner, row):
    """Parameters, episodes and keys of four tasks."""
    params = learner.init(jax.random.key(0), row.sample(jax.random.key(1)))
    episodes = jax.vmap(row.sample)(jax.random.split(jax.random.key(2), 4))
    return params, episodes, jax.random.split(jax.random.key(3), 4)


def _close(one, other):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), one, other)


@pytest.mark.parametrize("devices", [2, 4])
def test_a_meta_batch_is_shared_by_devices(devices):
    _close(_trained(task_mesh(4, jax.devices()[:devices])), _alone())


@pytest.mark.parametrize("checks", [True, False])
def test_a_step_inside_somebody_elses_shard_map_is_that_of_one_device(checks):
    """By plain gradient descent: Adam would hide a gradient that is a multiple."""

    def chunk_of(step, mesh):
        whole = PartitionSpec()
        shared = jax.shard_map(
            lambda *of: step(*of, SAMPLE), mesh=mesh, in_specs=whole, out_specs=whole, check_vma=checks
        )
        return make_chunk(lambda state, key, sample: shared(state, key))

    with jax.debug_key_reuse(False):  # it counts casts to what varies as uses
        state, _ = _trained(task_mesh(2, jax.devices()[:2]), chunk_of, at_once=1)
    _close(state, _alone()[0])


def test_keys_of_the_old_kind_are_shared_too():
    step = make_step(LEARNER, cross_entropy, accuracy, optax.sgd(0.1), 4, axis=TASKS)
    state = init_state(LEARNER, optax.sgd(0.1), jax.random.PRNGKey(0), blobs(jax.random.key(1)))
    assert make_chunk(step, task_mesh(4))(state, jax.random.PRNGKey(2), 1, SAMPLE)[0].step == 1


@pytest.mark.parametrize(
    "name", ["op_lstm_head-sine-none", pytest.param("pi_lstm-sine-none-pool", marks=pytest.mark.slow)]
)
def test_tasks_of_an_explicit_mesh_stay_where_they_are(name):
    row = _row(name)
    learner = row.make(2)
    params, episodes, keys = _four_tasks(learner, row)
    alone = jax.grad(meta_loss(learner, row.loss, row.loss), has_aux=True)(params, episodes, jax.random.clone(keys))[0]
    gradient = jax.jit(jax.grad(meta_loss(row.make(2), row.loss, row.loss), has_aux=True))
    with jax.set_mesh(jax.make_mesh((4,), (TASKS,), (jax.sharding.AxisType.Explicit,))):
        where = functools.partial(jax.NamedSharding, jax.sharding.get_mesh())
        apart = jax.device_put((episodes, keys), where(PartitionSpec(TASKS)))
        found = gradient(jax.device_put(params, where(PartitionSpec())), *apart)[0]
    _close(found, alone)


def test_pmap_takes_the_same_steps():
    def chunk_of(step, mesh):
        chunk = make_pmap_chunk(step, TASKS)
        return lambda state, *rest: chunk(flax.jax_utils.replicate(state, list(mesh.devices)), *rest)

    state, log = _trained(task_mesh(4, jax.devices()[:2]), chunk_of)
    _close((flax.jax_utils.unreplicate(state), log), _alone())


@pytest.mark.parametrize(
    "name",
    [
        "op_lstm_head-classes-layer-full",
        pytest.param("op_lstm-classes-support-gamma-adapt_biases", marks=pytest.mark.slow),
        pytest.param("maml-classes-transductive-clip", marks=pytest.mark.slow),
        "protonet-images-layer",
        pytest.param("lstm-sine-none", marks=pytest.mark.slow),
        pytest.param("op_lstm_general-sine-none", marks=pytest.mark.slow),
        pytest.param("maml-classes-support-low_rank", marks=pytest.mark.slow),
        pytest.param("finetune-same_classes-none-classes", marks=pytest.mark.slow),
    ],
)
def test_a_shard_map_that_checks_what_varies_takes_learners_as_they_are(name):
    row = _row(name)
    _check_shard_map(row.make(2), row)


@pytest.mark.slow
def test_a_shard_map_takes_what_is_done_on_gpus_alone(monkeypatch):
    take_for_gpu(monkeypatch)
    row = _row("protonet-images-layer")
    _check_shard_map(op_lstm_head(Conv4(8, None, blocks=2, fused=True), passes=2), row)


def _check_shard_map(learner, row):
    mesh = task_mesh(4)
    params, episodes, keys = _four_tasks(learner, row)
    gradient = jax.grad(meta_loss(learner, row.loss, row.loss), has_aux=True)
    same, share = PartitionSpec(), PartitionSpec(TASKS)
    shared = jax.shard_map(lambda *of: gradient(*of)[0], mesh=mesh, in_specs=(same, share, share), out_specs=same)
    alone = jax.jit(gradient)(params, episodes, keys)[0]
    largest = max(float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(alone))
    found = jax.jit(shared)(params, episodes, keys)  # summed over devices
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * largest), found, alone)


@pytest.mark.parametrize("tasks", [1, 7, 8])
def test_lists_of_tasks_are_shared_by_devices(tasks):
    params, keys = LEARNER.init(jax.random.key(0), blobs(jax.random.key(1))), task_keys("test", tasks)
    mesh = task_mesh(4)
    one = make_evaluate(LEARNER, accuracy, 2)(params, jax.random.clone(keys), SAMPLE)
    shared = make_evaluate(LEARNER, accuracy, 2, mesh)(replicate(params, mesh), keys, SAMPLE)
    assert shared.shape == (tasks,)
    np.testing.assert_allclose(shared, one, atol=1e-6)


def test_a_mesh_takes_the_devices_that_share_the_meta_batch_evenly():
    sizes = {batch: getattr(task_mesh(batch), "size", 1) for batch in (1, 2, 3, 4, 6, 8)}
    assert sizes == {1: 1, 2: 2, 3: 3, 4: 4, 6: 3, 8: 4}


def _losses(folder):
    return [line["loss"] for line in read_metrics(folder)]


def test_any_function_and_numbers_of_python_are_shared_and_a_run_is_that_of_one_device(tmp_path, monkeypatch):
    sample = Partial(tiny.scaled_line, scale=1.5)
    for name, draw in (("any", lambda key: sample(key)), ("four", sample)):
        assert tiny.run(tmp_path / name, tiny.line_problem(lambda split, draw=draw: draw), meta_batch=4).best_step
    monkeypatch.setattr("oplstm_jax.program.task_mesh", lambda meta_batch: None)
    tiny.run(tmp_path / "one", tiny.line_problem(lambda split: sample), meta_batch=4)
    for name in ("any", "four"):
        np.testing.assert_allclose(_losses(tmp_path / name), _losses(tmp_path / "one"), rtol=1e-4)


@pytest.mark.slow
def test_a_run_of_lstms_is_that_of_one_device(tmp_path, monkeypatch):
    shared = run_config(small_config(meta_batch=4), tmp_path / "four")
    assert shared["hardware"].startswith("4 x cpu")
    monkeypatch.setattr("oplstm_jax.program.task_mesh", lambda meta_batch: None)
    alone = run_config(small_config(meta_batch=4), tmp_path / "one")
    np.testing.assert_allclose(_losses(tmp_path / "four"), _losses(tmp_path / "one"), rtol=1e-4)
    assert shared["score"] == pytest.approx(alone["score"], rel=1e-3)


def test_a_share_that_is_not_even_is_refused():
    mesh = task_mesh(4)
    step = make_step(LEARNER, cross_entropy, accuracy, optax.sgd(0.1), 6, axis=axis_of(mesh))
    state = init_state(LEARNER, optax.sgd(0.1), jax.random.key(0), blobs(jax.random.key(1)))
    with pytest.raises(ValueError, match="6 tasks: expected a multiple of the devices, 4"):
        make_chunk(step, mesh)(state, jax.random.key(2), 1, SAMPLE)
