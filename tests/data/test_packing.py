"""Strings in arrays."""

import os
import pickle

from hypothesis import given, settings
from hypothesis import strategies as st

from service.data.packing import PackedStrings


@settings(deadline=None, database=None)
@given(st.lists(st.binary(max_size=20).map(os.fsdecode), max_size=20))
def test_strings_come_back_as_they_went_in(strings: list[str]) -> None:
    """Also names that are not valid UTF-8, which file systems have."""
    packed = PackedStrings.pack(strings)
    assert [packed[index] for index in range(len(packed))] == strings
    assert pickle.loads(pickle.dumps(packed)) == packed  # noqa: S301  # our own bytes


def test_where_strings_end_matters() -> None:
    assert PackedStrings.pack(["ab", "c"]) != PackedStrings.pack(["a", "bc"])
    assert PackedStrings.pack(["ab", "c"]) != ["ab", "c"]
