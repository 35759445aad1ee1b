"""Whatever an annotation file holds: a sound set, or one line that says what is wrong."""

import copy
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.config.errors import ConfigurationError
from service.data.detection.coco import DetectionSet
from service.data.detection.reading import read_detection_set
from service.data.detection.segmentations import masks_of

properties = settings(deadline=None, database=None, derandomize=True)
Document = dict[str, Any]

NUMBERS = [0, 1, -1, 7, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, 10**400, 0.5, -0.0, 1e-9]
NUMBERS += [1e308, -1e308, float("nan"), float("inf"), float("-inf"), True, False]
TEXTS = [
    "",
    "x",
    "a\nb",
    "\ud800",
    "\x00",
    "../x",
    "/etc/passwd",
    "a/",
    ".",
    "x" * 300,
    "000001.jpg",
]
RUNS = [
    {"size": [10**9, 10**9], "counts": [10**18]},
    {"size": [10**9, 10**9], "counts": "0" * 50},
    {"size": [64.0, 48.0], "counts": [48 * 64]},
    {"size": [True, True], "counts": [1]},
    {"size": "a\nb", "counts": []},
    {"size": [[]] * 50, "counts": 5},
    {"size": [64, 48], "counts": [0] * 2000},
    {"size": [64, 48], "counts": [48 * 64, 0, 0, 0]},
    {"size": [64, 48], "counts": [2**40]},
    {"size": [64, 48], "counts": "PPP`0oooooo0"},
    {"size": [64, 48], "counts": {"a": 1}},
    {"counts": [1]},
    {},
]
POLYGONS = [
    [[]],
    [[1, 2]],
    [[0, 0, 9, 0, 9, 9]],
    [[0, 0, 1e308, 0, 1e308, 1e308]],
    [[-1e300, -1e300, 1e300, -1e300, 1e300, 1e300]],
    [[float("nan")] * 6],
    [["a"] * 6],
    [1, 2, 3, 4, 5, 6],
    [[[1, 2], [3, 4], [5, 6]]],
    [[0, 0] * 3000],
    [[0, 0, 1e9, 1e9] * 2000],
]
NESTED = "a list nested too deeply"

anything = st.one_of(
    st.sampled_from([None, [], {}, *NUMBERS, *TEXTS, *RUNS, *POLYGONS, NESTED]),
    st.integers(),
    st.floats(),
    st.text(max_size=4),
    st.lists(st.one_of(st.integers(-5, 70), st.floats(), st.none()), max_size=8),
)


def places(document: Document) -> Iterator[tuple[Any, Any]]:
    """Yields every container of a document with each of its keys or places."""
    waiting: list[Any] = [document]
    while waiting:
        container = waiting.pop()
        keys = container if isinstance(container, dict) else range(len(container))
        for key in keys:
            yield container, key
            if isinstance(container[key], dict | list):
                waiting.append(container[key])


@st.composite
def changed(draw: st.DrawFn, sound: Document) -> Document:
    """A document with a few of its values replaced, removed, doubled or exchanged."""
    document = copy.deepcopy(sound)
    for _ in range(draw(st.integers(1, 4))):
        everywhere = list(places(document))
        if not everywhere:
            break
        container, key = everywhere[draw(st.integers(0, len(everywhere) - 1))]
        match draw(st.sampled_from(["replace", "replace", "remove", "double", "exchange"])):
            case "replace":
                container[key] = draw(anything)
            case "remove":
                del container[key]
            case "double" if isinstance(container, list):
                container.append(copy.deepcopy(container[key]))
            case _:
                other, place = everywhere[draw(st.integers(0, len(everywhere) - 1))]
                container[key] = copy.deepcopy(other[place])
    return document


def read(root: Path, document: object, *, masks: bool = True) -> DetectionSet | str:
    """Returns the set, or the line that refuses it."""
    file = root / "annotations/any.json"
    text = json.dumps(document).replace(json.dumps(NESTED), "[" * 900 + "]" * 900)
    file.write_text(text)
    try:
        return read_detection_set(file, root / "train2017", masks=masks, most_missing=0.5)
    except ConfigurationError as error:
        message = str(error)
        assert message.startswith(f"{file}: ")
        assert message.isprintable()
        assert len(message) < len(str(root)) + 1500
        return message


def assert_sound(pictures: DetectionSet) -> None:
    """Everything that training and evaluation ask of a set can be had, and is within bounds."""
    truth = pictures.ground_truth()
    assert len(truth["images"]) == len(pictures) > 0
    assert all(line.isprintable() for line in pictures.findings)
    assert len(pictures.digest()) == 32
    for index, entry in enumerate(pictures.pictures):
        boxes, labels, segmentations = pictures.annotations(index)
        limits = (entry.width, entry.height) * 2
        assert np.isfinite(boxes).all()
        assert (boxes >= 0).all()
        assert (boxes <= limits).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        assert set(labels.tolist()) <= set(range(1, len(pictures.categories) + 1))
        if segmentations and entry.width * entry.height <= 2**20:
            masks = masks_of(segmentations, entry.height, entry.width)
            assert masks.shape == (len(boxes), entry.height, entry.width)
            assert set(np.unique(masks).tolist()) <= {0, 1}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, coco_root: Path) -> Path:
    """The small set's pictures, with room for another annotation file."""
    root = tmp_path_factory.mktemp("any")
    (root / "annotations").mkdir()
    (root / "train2017").symlink_to(coco_root / "train2017")
    return root


@pytest.fixture(scope="module")
def sound(coco_root: Path) -> Document:
    """The annotations of the small set's first three pictures: a file that is quickly changed."""
    document: Document = json.loads(
        (coco_root / "annotations/instances_train2017.json").read_text()
    )
    document["images"] = document["images"][:3]
    document["annotations"] = [row for row in document["annotations"] if row["image_id"] < 4]
    return document


@settings(properties, max_examples=400)
@given(data=st.data(), masks=st.booleans())
def test_a_changed_file_is_sound_or_refused_in_one_line(
    root: Path, sound: Document, data: st.DataObject, masks: bool
) -> None:
    outcome = read(root, data.draw(changed(sound)), masks=masks)
    if isinstance(outcome, DetectionSet):
        assert_sound(outcome)


json_values = st.recursive(
    anything,
    lambda parts: st.one_of(
        st.lists(parts, max_size=3),
        st.dictionaries(
            st.sampled_from(
                ["images", "annotations", "categories", "id", "image_id", "bbox", "counts", "size"]
            ),
            parts,
            max_size=4,
        ),
    ),
    max_leaves=10,
)


@settings(properties, max_examples=150)
@given(
    st.one_of(
        json_values,
        st.fixed_dictionaries(
            {"images": json_values, "annotations": json_values, "categories": json_values}
        ),
    )
)
def test_any_json_is_refused_in_one_line(root: Path, document: object) -> None:
    assert isinstance(read(root, document), str)


@settings(properties, max_examples=150)
@given(segmentation=anything, width=st.sampled_from([48, 1, 65_535]))
@example(RUNS[0], 48)
@example(POLYGONS[-1], 65_535)
@example(NESTED, 48)
def test_any_outline_is_drawn_dropped_or_refused(
    root: Path, sound: Document, segmentation: object, width: int
) -> None:
    document = copy.deepcopy(sound)
    document["images"][1]["width"] = width
    for row in document["annotations"]:
        if row["image_id"] == 2:
            row["segmentation"] = segmentation
    outcome = read(root, document)
    if isinstance(outcome, DetectionSet):
        assert_sound(outcome)


@settings(properties, max_examples=150)
@given(st.one_of(st.binary(max_size=60), st.floats(0, 1, exclude_max=True)))
def test_any_bytes_and_any_truncation_are_refused(
    root: Path, sound: Document, content: bytes | float
) -> None:
    whole = json.dumps(sound).encode()
    raw = content if isinstance(content, bytes) else whole[: int(content * len(whole))]
    file = root / "annotations/any.json"
    file.write_bytes(raw)
    with pytest.raises(ConfigurationError) as caught, warnings.catch_warnings():
        read_detection_set(file, root / "train2017", masks=True)
    assert str(caught.value).startswith(f"{file}: ")
    assert str(caught.value).isprintable()


def test_an_outline_far_longer_than_its_picture_is_refused(root: Path, sound: Document) -> None:
    """Drawn, this quarter of a megabyte would take gigabytes."""
    sound = copy.deepcopy(sound)
    sound["images"][1].update(width=60_000, height=60_000)
    sound["annotations"] = [row for row in sound["annotations"] if row["image_id"] == 2][:1]
    sound["annotations"][0]["segmentation"] = [[0, 0, 60_000, 60_000, 0, 59_999] * 10_000]
    message = read(root, sound)
    assert isinstance(message, str)
    assert "edges must not be many times as long" in message


def test_names_that_cannot_be_written_are_refused(root: Path, sound: Document) -> None:
    sound = copy.deepcopy(sound)
    sound["categories"][0]["name"] = "\ud800"
    message = read(root, sound)
    assert isinstance(message, str)
    assert "'name' must be Unicode text" in message
