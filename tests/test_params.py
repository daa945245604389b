"""Parameters as plain files, and their digest."""

import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from oplstm_jax import params

TREE = {"b": {"w": jnp.arange(6.0).reshape(2, 3)}, "a": (jnp.ones(2), jnp.zeros((), jnp.int32))}


def test_round_trip(tmp_path):
    params.save(tmp_path / "p.npz", TREE)
    with np.load(tmp_path / "p.npz") as file:
        assert file.files == ["a/0", "a/1", "b/w"]
    back = params.load(tmp_path / "p.npz", jax.eval_shape(lambda: TREE))
    assert jax.tree.structure(back) == jax.tree.structure(TREE)
    jax.tree.map(np.testing.assert_array_equal, back, TREE)
    assert [p.name for p in tmp_path.iterdir()] == ["p.npz"]


def test_digest_is_that_of_the_bytes_in_order_of_path():
    by_hand = b"".join(np.asarray(a).tobytes() for a in (*TREE["a"], TREE["b"]["w"]))
    assert params.sha256(TREE) == hashlib.sha256(by_hand).hexdigest()
    assert params.sha256({**TREE, "b": {"w": TREE["b"]["w"].at[0, 0].set(1e-30)}}) != params.sha256(TREE)


def test_a_folder_that_is_not_there_is_said_to_be_that(tmp_path):
    with pytest.raises(ValueError, match="there is no folder .*nowhere; expected a file in a folder that is there"):
        params.save(tmp_path / "nowhere/own.npz", {"a": np.zeros(2)})


@pytest.mark.parametrize(
    ("like", "message"),
    [
        ({"a": TREE["a"]}, "unexpected array 'b/w'"),
        ({**TREE, "c": jnp.ones(1)}, "missing array 'c'"),
        ({**TREE, "b": {"w": jnp.ones((3, 2))}}, r"'b/w' has shape \(2, 3\), expected \(3, 2\)"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, like, message):
    params.save(tmp_path / "p.npz", TREE)
    with pytest.raises(ValueError, match=message):
        params.load(tmp_path / "p.npz", like)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no archive at all"])
def test_unreadable_files(tmp_path, content):
    (tmp_path / "p.npz").write_bytes(content)
    with pytest.raises(ValueError, match="p.npz: cannot read parameters"):
        params.load(tmp_path / "p.npz", TREE)


def test_pickled_content_is_never_executed(tmp_path):
    np.savez(tmp_path / "p.npz", **{"a/0": np.array([print], dtype=object)})
    with pytest.raises(ValueError, match="cannot read"):
        params.load(tmp_path / "p.npz", TREE)


def test_numbers_that_numpy_has_no_name_for_come_back(tmp_path):
    tree = {"half": jnp.arange(3, dtype=jnp.bfloat16) / 3, "single": jnp.ones(2)}
    params.save(tmp_path / "p.npz", tree)
    back = params.load(tmp_path / "p.npz", tree)
    assert back["half"].dtype == jnp.bfloat16
    jax.tree.map(np.testing.assert_array_equal, back, tree)


def test_an_array_may_have_any_name(tmp_path):
    """Those of the arguments of `numpy.savez` too; its keyword `allow_pickle` was an array to NumPy before 2.2."""
    tree = {"file": jnp.ones(2), "allow_pickle": jnp.zeros(3), "self": jnp.ones(())}
    params.save(tmp_path / "p.npz", tree)
    with np.load(tmp_path / "p.npz") as file:
        assert sorted(file.files) == sorted(tree)
    jax.tree.map(np.testing.assert_array_equal, params.load(tmp_path / "p.npz", tree), tree)


def test_arrays_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match="two arrays are called 'a/b': expected names without '/'"):
        params.save(tmp_path / "p.npz", {"a/b": np.ones(3), "a": {"b": np.zeros(3)}})
    assert not list(tmp_path.iterdir())
