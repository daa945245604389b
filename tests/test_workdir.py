"""The folder of a run belongs to one process, and to one list of test tasks, and names all that had a share in it."""

import contextlib

import pytest

from oplstm_jax.workdir import InUse, Workdir


def test_a_run_does_not_go_on_with_other_images(tmp_path):
    with contextlib.closing(Workdir(tmp_path, {})) as workdir:
        workdir.claim_tasks("then")
        workdir.claim_tasks("then")
        with pytest.raises(ValueError, match="its data has other images, or JAX other settings, than when it started"):
            workdir.claim_tasks("now")


def test_a_run_names_every_machine_that_trained_it(tmp_path):
    first, second = ({"hardware": kind, "versions": "jax 1", "date": "today"} for kind in ("1 x gpu", "1 x cpu"))
    with contextlib.closing(Workdir(tmp_path, {})) as workdir:
        for facts in (first, second, first):
            named = workdir.claim_machine(facts)
    assert named == {"hardware": "1 x gpu; 1 x cpu", "versions": "jax 1"}


def test_a_workdir_in_use_is_refused(tmp_path):
    first = Workdir(tmp_path, {"a": 1})
    with pytest.raises(InUse, match="in use by another process"):
        Workdir(tmp_path, {"a": 1})
    first.close()
    Workdir(tmp_path, {"a": 1}).close()


def test_a_folder_of_something_else_is_refused_and_left_as_it_was(tmp_path):
    (tmp_path / "notes").touch()
    with pytest.raises(ValueError, match="holds notes and no run: expected a new or empty folder"):
        Workdir(tmp_path, {})
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]
