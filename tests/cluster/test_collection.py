"""The garbage collector rests while a process starts, and never longer."""

import gc

import pytest

from service.cluster.collection import collection_paused, resume_collection


def test_it_rests_inside_and_works_afterwards() -> None:
    with collection_paused():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_the_first_step_ends_the_rest() -> None:
    with collection_paused():
        resume_collection()
        assert gc.isenabled()
    assert gc.isenabled()


def test_an_error_ends_the_rest() -> None:
    with pytest.raises(ValueError, match="bad"), collection_paused():
        raise ValueError("bad")
    assert gc.isenabled()
