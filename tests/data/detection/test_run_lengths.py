"""Compressed run lengths, checked before pycocotools decodes them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from service.data.detection.run_lengths import covers


def encoded(mask: np.ndarray) -> str:
    return str(coco_mask.encode(np.asfortranarray(mask))["counts"], "ascii")


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    height, width = draw(st.tuples(st.integers(1, 40), st.integers(1, 40)))
    bits = draw(st.binary(min_size=height * width, max_size=height * width))
    threshold = draw(st.sampled_from([1, 20, 128, 255]))
    return (np.frombuffer(bits, np.uint8) < threshold).astype(np.uint8).reshape(height, width)


@settings(max_examples=60, deadline=None)
@given(st.lists(masks(), min_size=1, max_size=5))
def test_what_pycocotools_encodes_is_sound(drawn: list[np.ndarray]) -> None:
    texts = [encoded(mask) for mask in drawn]
    areas = np.array([mask.size for mask in drawn])
    assert covers(texts, areas).all()
    assert not covers(texts, areas + 1).any()
    assert not covers(texts, areas - 1).any()


@settings(max_examples=60, deadline=None)
@given(masks(), st.data())
def test_a_changed_text_is_found_or_still_fills_the_picture(
    drawn: np.ndarray, data: st.DataObject
) -> None:
    """What passes has runs that add up; its neighbours are judged on their own."""
    text = encoded(drawn)
    place = data.draw(st.integers(0, len(text) - 1))
    changed = text[:place] + chr(data.draw(st.integers(0, 127))) + text[place + 1 :]
    verdict = covers([text, changed, text], np.full(3, drawn.size))
    assert verdict[0]
    assert verdict[2]
    if verdict[1]:
        size = list(drawn.shape)
        again = coco_mask.decode([{"size": size, "counts": changed}])
        assert set(np.unique(again).tolist()) <= {0, 1}
        assert runs_of(changed) == drawn.size


def runs_of(text: str) -> int:
    """The sum of the runs, number by number as rleFrString in maskApi.c reads them."""
    runs: list[int] = []
    place = 0
    while place < len(text):
        value, shift, more = 0, 0, True
        while more:
            group = ord(text[place]) - 48
            value |= (group & 31) << shift
            shift += 5
            more = bool(group & 32)
            place += 1
            if not more and group & 16:
                value |= -1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    assert min(runs) >= 0
    return sum(runs)


test_a_changed_text_is_found_or_still_fills_the_picture = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)(test_a_changed_text_is_found_or_still_fills_the_picture)


@pytest.mark.parametrize("text", ["", "o", "1o", "\x00", "~", "0oooooooooo0", "o" * 1000])
def test_malformed_texts_are_refused(text: str) -> None:
    assert covers([text], np.array([1])).tolist() == [False]
    assert covers(["1", text, "01"], np.array([1, 1, 1])).tolist() == [True, False, True]


def test_nothing_is_checked_for_nothing() -> None:
    assert covers([], np.array([], np.int64)).shape == (0,)


def test_large_pictures_fit() -> None:
    """64 megapixels, in one run and in two."""
    area = 64 * 1024 * 1024
    height = 8192
    for counts in ([area], [5, area - 5]):
        text = coco_mask.frPyObjects(
            {"size": [height, area // height], "counts": counts}, height, area // height
        )["counts"]
        assert covers([str(text, "ascii")], np.array([area])).all()
