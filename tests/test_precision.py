"""In which precision learners compute: float32, float64 in JAX's x64 mode, bfloat16 where Conv-4 is told to."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learner_table import ROWS
from processes import small_sine
from tiny import line_problem, run, sample_line

from experiments.run import plain
from oplstm_jax import build

OF_ALL = {(row.name.split("-")[0], row.name.split("-")[1]): row for row in ROWS if not row.slow}
FAST = [("op_lstm", "sine"), ("maml", "sine"), ("protonet", "images")]
EACH = [pytest.param(row, id=row.name, marks=[pytest.mark.slow] * (pair not in FAST)) for pair, row in OF_ALL.items()]


def kinds(tree):
    return {leaf.dtype.name for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)}


def traced(row):
    """Kinds of parameters, of outputs, of their gradient, as they come out of a row's learner; nothing is computed."""
    learner = row.make(2)

    def loss(params, episode):
        fast, _ = learner.adapt(params, episode.support, key=jax.random.key(2))
        outputs = learner.predict(params, fast, episode.query.x)
        return jnp.sum(outputs), outputs

    def everything(key):
        episode = row.sample(key)
        params = learner.init(jax.random.key(1), episode)
        return params, *jax.grad(loss, has_aux=True)(params, episode)

    return [kinds(tree) for tree in jax.eval_shape(everything, jax.random.key(0))]


@pytest.mark.parametrize("row", EACH)
def test_learners_compute_in_float32_and_in_x64_mode_in_float64(row):
    trees = len(traced(row))
    assert all(found <= {"float32"} for found in traced(row))
    with jax.enable_x64(True):
        assert [found - {"float64"} for found in traced(row)] == [set()] * trees


def test_float64_of_numpy_is_float32_outside_x64_mode():
    row = OF_ALL["maml", "sine"]
    episode = jax.tree.map(lambda a: np.asarray(a, np.float64), row.sample(jax.random.key(0)))
    assert kinds(row.make(1).init(jax.random.key(1), episode)) == {"float32"}


def sample_same(key):
    """The same points in both modes: JAX draws other numbers in float64."""
    with jax.enable_x64(False):
        episode = sample_line(key)
    return jax.tree.map(lambda a: a.astype(float), episode)


def test_a_run_in_x64_mode_is_the_run_in_float32_but_for_rounding(tmp_path):
    problem = line_problem(lambda split: jax.tree_util.Partial(sample_same))
    start = problem.learner._replace(init=lambda key, episode: {"shift": jnp.zeros(1), "slope": jnp.zeros(1)})
    single = run(tmp_path / "single", problem._replace(learner=start))
    with jax.enable_x64(True):
        double = run(tmp_path / "double", problem._replace(learner=start))
    assert kinds(double.params) == {"float64"} and double.scores.dtype == np.float64
    np.testing.assert_allclose(double.scores, single.scores, rtol=1e-3)
    for name, array in double.params.items():
        np.testing.assert_allclose(array, single.params[name], rtol=1e-3)


def test_bfloat16_is_refused_where_there_is_none():
    with pytest.raises(ValueError, match="precision is bfloat16: base mlp only has float32"):
        build.build_problem({**plain(small_sine("maml")), "precision": "bfloat16"})
