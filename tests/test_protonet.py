"""ProtoNet against a few lines of numpy, and the reference's scale of its loss."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learner_table import blobs

from oplstm_jax.learners import make
from oplstm_jax.learners.protonet import protonet
from oplstm_jax.losses import cross_entropy, mean_squared_error
from oplstm_jax.meta import task_objective, task_outputs
from oplstm_jax.nets.mlp import MLP
from oplstm_jax.types import Split


def test_logits_are_minus_squared_distances_to_class_means():
    episode = blobs(jax.random.key(0))
    learner = protonet(None)
    outputs = task_outputs(learner, learner.init(jax.random.key(1), episode), episode)
    support, query = (np.asarray(split.x).reshape(len(split.x), -1) for split in episode)
    labels = np.argmax(episode.support.y, axis=1)
    for q, example in enumerate(query):
        for label in range(3):
            prototype = support[labels == label].mean(0)
            np.testing.assert_allclose(outputs[q, label], -((example - prototype) ** 2).sum(), rtol=1e-4)


def test_classes_may_have_different_numbers_of_examples():
    x = jnp.array([[0.0], [2.0], [10.0]])
    y = jnp.eye(2)[jnp.array([0, 0, 1])]
    fast, info = protonet(None).adapt({}, Split(x, y))
    np.testing.assert_array_equal(fast["prototypes"], [[1.0], [10.0]])
    assert info == {}


def test_a_class_without_examples_is_never_predicted():
    episode = blobs(jax.random.key(0))
    learner = protonet(None)
    with_fourth = jax.tree.map(lambda a: a, episode)._replace(
        support=Split(episode.support.x, jnp.pad(episode.support.y, ((0, 0), (0, 1)))),
        query=Split(episode.query.x, jnp.pad(episode.query.y, ((0, 0), (0, 1)))),
    )
    three, four = (task_outputs(learner, {}, e) for e in (episode, with_fourth))
    np.testing.assert_array_equal(four[:, :3], three)
    np.testing.assert_array_equal(jnp.argmax(four, 1), jnp.argmax(three, 1))
    loss, gradient = jax.value_and_grad(cross_entropy)(four, with_fourth.query.y)
    assert np.isfinite(loss) and np.isfinite(gradient).all()


@pytest.mark.parametrize(("scaled", "factor"), [(True, 3 * 12), (False, 1)])
def test_the_loss_is_divided_by_ways_and_queries(scaled, factor):
    episode = blobs(jax.random.key(0))
    learner = make("protonet", MLP((8, 7), 3), cross_entropy, 0, {"loss_scale": scaled})
    params = learner.init(jax.random.key(1), episode)
    assert set(params) == {"features"} and "out" not in params["features"]
    loss, outputs = task_objective(learner, cross_entropy)(params, episode)
    np.testing.assert_allclose(loss, cross_entropy(outputs, episode.query.y) / factor, rtol=1e-6)
    np.testing.assert_allclose(outputs, task_outputs(learner, params, episode), rtol=1e-6)


def test_regression_is_refused():
    with pytest.raises(ValueError, match="protonet classifies"):
        make("protonet", MLP((8,), 1), mean_squared_error, 0, {})


def test_any_loss_of_classes_and_any_module_will_do():
    learner = make("protonet", nn.Dense(4), lambda outputs, targets: cross_entropy(outputs, targets), 0, {})
    assert set(learner.init(jax.random.key(0), blobs(jax.random.key(1)))["features"]) == {"kernel", "bias"}
    with pytest.raises(ValueError, match="loss is 'cross_entropy': expected a function"):
        make("protonet", MLP((8,), 1), "cross_entropy", 0, {})
