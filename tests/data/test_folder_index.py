"""A listing that is kept: true, or made again."""

import logging
import os
from pathlib import Path

import numpy as np
import pytest

from service.data.folder import FolderPictures, list_folder
from service.data.folder_index import listed_once


def tree(root: Path) -> Path:
    """Returns a set whose folders were last changed an hour ago."""
    for name in ("cat/a.jpg", "cat/deep/er/b.png", "dog/c.jpg"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())
    settle(root)
    return root


def settle(root: Path) -> None:
    for folder in (root, *(path for path in root.rglob("*") if path.is_dir())):
        before = folder.stat().st_mtime
        os.utime(folder, (before - 3600, before - 3600))


def names(pictures: FolderPictures) -> list[tuple[str, int]]:
    return [
        (pictures.name(index), int(label)) for index, label in enumerate(pictures.labels.tolist())
    ]


def listings(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.npz"))


@pytest.fixture
def unwalked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A walk is an error."""

    def walk(folder: Path) -> None:
        raise AssertionError(f"{folder} was walked")

    monkeypatch.setattr("service.data.folder_index.walk", walk)


def test_the_second_listing_reads_no_class_folder(
    tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    root, cache = tree(tmp_path / "set"), tmp_path / "cache"
    first = listed_once(root, cache)
    request.getfixturevalue("unwalked")
    second = listed_once(root, cache)
    assert names(second) == names(first) == names(list_folder(root))
    assert second.classes == ("cat", "dog")
    assert second.read(1) == b"cat/deep/er/b.png"
    labels = listed_once(root, cache, ("cat", "cow", "dog")).labels
    assert labels.tolist() == [0, 0, 2]


@pytest.mark.parametrize("change", ["a file", "a nested file", "one fewer", "a class", "a name"])
def test_what_has_changed_is_listed_again(tmp_path: Path, change: str) -> None:
    root, cache = tree(tmp_path / "set"), tmp_path / "cache"
    before = names(listed_once(root, cache))
    match change:
        case "a file":
            (root / "dog/d.jpg").touch()
        case "a nested file":
            (root / "cat/deep/er/d.jpg").touch()
        case "one fewer":
            (root / "cat/a.jpg").unlink()
        case "a class":
            (root / "emu").mkdir()
            (root / "emu/d.jpg").touch()
        case "a name":
            (root / "dog/c.jpg").rename(root / "dog/e.jpg")
    after = names(listed_once(root, cache))
    assert after == names(list_folder(root)) != before
    settle(root)
    listed_once(root, cache)
    assert len(listings(cache)) == 1


def test_what_was_changed_just_now_is_not_kept(tmp_path: Path) -> None:
    """The next change might come within the same tick of the file system's clock."""
    root, cache = tree(tmp_path / "set"), tmp_path / "cache"
    (root / "dog/d.jpg").touch()
    listed_once(root, cache)
    assert not listings(cache)


@pytest.mark.parametrize("damage", ["cut", "text", "counts", "format"])
def test_a_damaged_listing_is_made_again_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    root, cache = tree(tmp_path / "set"), tmp_path / "cache"
    expected = names(listed_once(root, cache))
    (path,) = listings(cache)
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "text":
        path.write_bytes(b"nonsense")
    else:
        with np.load(path) as saved:
            arrays = dict(saved)
        arrays[damage] = arrays[damage] + 1
        np.savez(path, **arrays)
    with caplog.at_level(logging.WARNING):
        assert names(listed_once(root, cache)) == expected
    assert "cannot be used and is made again" in caplog.text
    caplog.clear()
    assert names(listed_once(root, cache)) == expected
    assert not caplog.text


def test_two_sets_keep_two_listings(tmp_path: Path) -> None:
    one, two = tree(tmp_path / "one"), tree(tmp_path / "two")
    (two / "dog/d.jpg").touch()
    settle(two)
    for _ in range(2):
        assert len(listed_once(one, tmp_path / "cache")) == 3
        assert len(listed_once(two, tmp_path / "cache")) == 4
    assert len(listings(tmp_path / "cache")) == 2


def test_where_nothing_can_be_kept_the_set_is_listed_all_the_same(tmp_path: Path) -> None:
    root = tree(tmp_path / "set")
    (tmp_path / "cache").write_text("in the way")
    assert len(listed_once(root, tmp_path / "cache")) == 3
