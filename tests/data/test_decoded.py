"""Decoded pictures: what they check, reduced sets, and the cache on disk."""

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from service.config.errors import ConfigurationError
from service.data.decoded import DecodedPictures, balanced_subset
from service.data.decoded_cache import DecodedSplits, decoded_once
from service.data.pictures import digest


def never() -> DecodedSplits:
    raise AssertionError("decoded though the cache has it")


def same(first: DecodedPictures, second: DecodedPictures) -> bool:
    return (
        np.array_equal(first.pictures, second.pictures)
        and np.array_equal(first.labels, second.labels)
        and (first.classes, first.source) == (second.classes, second.source)
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "set.parquet"
    path.write_bytes(b"content")
    return path


@pytest.fixture
def splits(decoded: DecodedPictures) -> DecodedSplits:
    return decoded, replace(decoded, pictures=decoded.pictures[:5], labels=decoded.labels[:5])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pictures": np.zeros((41, 32, 32, 3), np.uint8)}, "32×32×3 uint8, not 3×32×32 uint8"),
        ({"pictures": np.zeros((41, 3, 32, 32))}, "3×32×32 float64"),
        ({"pictures": np.zeros((0, 3, 32, 32), np.uint8)}, "holds no pictures"),
        ({"labels": np.zeros(40, np.int64)}, "41 pictures have 40 labels"),
        ({"labels": np.arange(41)}, "picture 3 has label 3, but there are 3 classes"),
        ({"labels": np.arange(41) - 1}, "picture 0 has label -1"),
    ],
)
def test_parts_that_do_not_fit_are_refused(
    decoded: DecodedPictures, change: dict[str, np.ndarray], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"^set/train: .*{message}"):
        replace(decoded, **change)


def test_the_digest_covers_pixels_labels_and_classes(decoded: DecodedPictures) -> None:
    pixels, labels = decoded.pictures.copy(), decoded.labels.copy()
    pixels[7, 1, 2, 3] ^= 1
    labels[7] = (labels[7] + 1) % 3
    others = [
        replace(decoded, pictures=pixels),
        replace(decoded, labels=labels),
        replace(decoded, classes=("cat", "dog", "bird")),
        balanced_subset(decoded, 40, 0),
    ]
    digests = {digest(pictures) for pictures in (decoded, *others)}
    assert len(digests) == 5
    assert all(len(value) == 32 for value in digests)
    moved = replace(decoded, pictures=decoded.pictures.copy(), source="elsewhere/train")
    assert digest(moved) == digest(decoded)


def test_a_reduced_set_is_balanced_and_fixed(decoded: DecodedPictures) -> None:
    reduced = balanced_subset(decoded, 12, seed=0)
    assert np.bincount(reduced.labels).tolist() == [4, 4, 4]
    assert same(reduced, balanced_subset(decoded, 12, seed=0))
    assert reduced.digest() != balanced_subset(decoded, 12, seed=1).digest()
    # Each picture with its own label, and none twice.
    places = [
        int((decoded.pictures == picture).all((1, 2, 3)).argmax()) for picture in reduced.pictures
    ]
    assert places == sorted(set(places))
    assert decoded.labels[places].tolist() == reduced.labels.tolist()


def test_a_smaller_set_lies_in_a_larger_one_of_the_same_seed(decoded: DecodedPictures) -> None:
    small, large = (
        {picture.tobytes() for picture in balanced_subset(decoded, count, 3).pictures}
        for count in (6, 21)
    )
    assert small < large


def test_the_choice_is_the_same_on_every_version(decoded: DecodedPictures) -> None:
    """A run that resumes under a later NumPy must go on with the same pictures."""
    numbered = replace(
        decoded,
        pictures=np.broadcast_to(
            np.arange(41, dtype=np.uint8)[:, None, None, None], (41, 3, 32, 32)
        ),
    )
    assert balanced_subset(numbered, 6, seed=0).pictures[:, 0, 0, 0].tolist() == [
        0,
        10,
        11,
        14,
        24,
        40,
    ]


def test_classes_that_do_not_divide_the_count_differ_by_one(decoded: DecodedPictures) -> None:
    assert np.bincount(balanced_subset(decoded, 14, 0).labels).tolist() == [5, 5, 4]
    assert balanced_subset(decoded, 41, 0) is decoded


def test_a_reduced_set_larger_than_the_set_is_refused(decoded: DecodedPictures) -> None:
    with pytest.raises(ConfigurationError, match=r"^data\.train_pictures: 42 .* the 41 there are"):
        balanced_subset(decoded, 42, 0)
    lopsided = replace(decoded, labels=np.minimum(np.arange(41), 2))
    with pytest.raises(
        ConfigurationError, match=r"^data\.train_pictures: asks for 2 .* 'cat', which has 1"
    ):
        balanced_subset(lopsided, 6, 0)


def test_files_are_decoded_once(file: Path, splits: DecodedSplits, tmp_path: Path) -> None:
    cache = tmp_path / "a/cache"
    decoded_once("set", [file], cache, lambda: splits)
    again = decoded_once("set", [file], cache, never)
    assert all(map(same, splits, again))
    assert len(list(cache.iterdir())) == 1


def test_changed_files_are_decoded_again(file: Path, splits: DecodedSplits, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    decoded_once("set", [file], cache, lambda: splits)
    file.write_bytes(b"other content")
    swapped = splits[1], splits[0]
    assert same(decoded_once("set", [file], cache, lambda: swapped)[0], splits[1])
    assert same(decoded_once("set", [file], cache, never)[0], splits[1])


@pytest.mark.parametrize("damage", ["truncated", "one bit", "empty", "pickle"])
def test_a_damaged_cache_is_made_again(
    file: Path,
    splits: DecodedSplits,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: str,
) -> None:
    cache = tmp_path / "cache"
    decoded_once("set", [file], cache, lambda: splits)
    (path,) = cache.iterdir()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == "pickle":
        np.savez(path, format=np.array({}, object))
    else:
        parts = {"truncated": content[:50_000], "one bit": content, "empty": b""}
        path.write_bytes(parts[damage])
    with caplog.at_level(logging.WARNING):
        again = decoded_once("set", [file], cache, lambda: splits)
    assert all(map(same, splits, again))
    assert "is made again" in caplog.text
    assert all(map(same, splits, decoded_once("set", [file], cache, never)))
    assert list(cache.iterdir()) == [path]


def test_a_cache_that_cannot_be_written_costs_only_time(
    file: Path, splits: DecodedSplits, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(b"no folder")
    assert decoded_once("set", [file], blocked, lambda: splits) is splits


def test_a_file_that_is_gone_is_named(file: Path, splits: DecodedSplits, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^data\.root: .*absent: No such file"):
        decoded_once("set", [file, tmp_path / "absent"], tmp_path, lambda: splits)
