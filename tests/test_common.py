"""The share of features that examples have in common, against features for which it is known."""

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import common
from experiments.configs import base_learners
from oplstm_jax.analysis.common import make_common_share
from oplstm_jax.types import Episode, Split


class Shifted(nn.Module):
    """Features with a mean that is given."""

    shift: float

    def __call__(self, x):
        return x + self.shift


@pytest.mark.parametrize(("shift", "expected"), [(0.0, 0.0), (3.0, 0.9), (1.0, 0.5)])
def test_of_features_of_variance_one_it_is_the_share_of_their_mean(shift, expected):
    x = jnp.array([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])
    half = Split(x, jnp.eye(4))
    share = make_common_share(Shifted(shift))({"features": {}}, Episode(half, half))
    np.testing.assert_allclose(share, expected, atol=1e-6)


def test_a_table_of_every_base_learner(tmp_path, monkeypatch):
    transformers = {base: fields for base, fields in base_learners.BASES.items() if "vit" in base}
    monkeypatch.setattr(base_learners, "BASES", transformers)
    monkeypatch.setattr(common, "SHOTS", (2,))
    found = common.common(tmp_path, seeds=2, tasks=3)
    shares = {base: share.mean for base, share in found.rows}
    assert 0.9 < shares["vit"] <= 1 and abs(shares["vit, means normalised"]) < 1e-6
    assert all(share.count == 6 for _, share in found.rows)
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")
