"""Pictures in a tree of folders."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from service.config.errors import ConfigurationError
from service.data.folder import list_folder
from service.data.pictures import digest


def write(path: Path, content: bytes = b"picture") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_classes_and_pictures_are_sorted(tmp_path: Path) -> None:
    for name in ("dog/b.JPEG", "dog/a.png", "cat/deep/er/z.webp", "cat/x.jpg", "dog/notes.txt"):
        write(tmp_path / name, name.encode())
    pictures = list_folder(tmp_path)
    assert pictures.classes == ("cat", "dog")
    assert pictures.labels.tolist() == [0, 0, 1, 1]
    assert pictures.labels.dtype == np.int64
    names = [pictures.name(index) for index in range(len(pictures))]
    assert names == ["cat/deep/er/z.webp", "cat/x.jpg", "dog/a.png", "dog/b.JPEG"]
    assert [pictures.read(index).decode() for index in range(4)] == names
    assert pictures.size(1) == len("cat/x.jpg")
    assert pictures.source == str(tmp_path)


def test_hidden_files_are_no_pictures(tmp_path: Path) -> None:
    for name in ("cat/._x.jpg", "cat/.cache/y.jpg", ".hidden/z.jpg", "cat/x.jpg"):
        write(tmp_path / name)
    pictures = list_folder(tmp_path)
    assert pictures.classes == ("cat",)
    assert len(pictures) == 1


def test_evaluation_keeps_the_labels_of_training_where_classes_are_missing(tmp_path: Path) -> None:
    write(tmp_path / "dog/a.jpg")
    pictures = list_folder(tmp_path, ("cat", "dog", "fish"))
    assert pictures.classes == ("cat", "dog", "fish")
    assert pictures.labels.tolist() == [1]
    assert pictures.name(0) == "dog/a.jpg"


def test_a_class_that_training_lacks_is_named(tmp_path: Path) -> None:
    write(tmp_path / "wolf/a.jpg")
    with pytest.raises(ConfigurationError, match="'wolf', which the training pictures lack"):
        list_folder(tmp_path, ("cat", "dog"))


def test_a_missing_folder_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent \(No such file .*expected train/<class>"):
        list_folder(tmp_path / "absent")


def test_a_folder_without_classes_says_what_was_expected(tmp_path: Path) -> None:
    write(tmp_path / "a.jpg")
    with pytest.raises(ConfigurationError, match=r"no class folders .*expected <class>"):
        list_folder(tmp_path)


def test_a_folder_of_shards_says_how_to_read_them(tmp_path: Path) -> None:
    write(tmp_path / "000.tar")
    with pytest.raises(ConfigurationError, match=r"add data\.kind=shards"):
        list_folder(tmp_path)


def test_an_empty_class_is_named(tmp_path: Path) -> None:
    write(tmp_path / "cat/x.jpg")
    write(tmp_path / "dog/readme.txt")
    with pytest.raises(ConfigurationError, match=r"no pictures \(\.jpg, .*\) in .*dog"):
        list_folder(tmp_path)
    (tmp_path / "cat/x.jpg").unlink()
    with pytest.raises(ConfigurationError, match="no pictures"):
        list_folder(tmp_path, ("cat", "dog"))


def test_linked_folders_are_followed_and_loops_end(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere/x.jpg")
    write(tmp_path / "set/dog/y.jpg")
    (tmp_path / "set/cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "set/dog/again").symlink_to(tmp_path / "set/dog")
    pictures = list_folder(tmp_path / "set")
    assert [pictures.name(index) for index in range(len(pictures))] == ["cat/x.jpg", "dog/y.jpg"]
    assert pictures.read(0) == b"picture"


def test_a_dangling_link_is_not_lost_in_silence(tmp_path: Path) -> None:
    write(tmp_path / "cat/x.jpg")
    (tmp_path / "cat/y.jpg").symlink_to(tmp_path / "gone.jpg")
    pictures = list_folder(tmp_path)
    assert pictures.name(1) == "cat/y.jpg"
    with pytest.raises(FileNotFoundError):
        pictures.read(1)
    (tmp_path / "dog").symlink_to(tmp_path / "gone")
    with pytest.raises(ConfigurationError, match=r"cannot list .*dog"):
        list_folder(tmp_path)


def test_names_that_are_not_utf8_are_read(tmp_path: Path) -> None:
    write(tmp_path / "cat" / os.fsdecode(b"caf\xe9.jpg"))
    pictures = list_folder(tmp_path)
    assert pictures.read(0) == b"picture"
    assert len(digest(pictures)) == 32


def test_a_pickled_set_reads_the_same(tmp_path: Path) -> None:
    write(tmp_path / "cat/x.jpg", b"content")
    again = pickle.loads(pickle.dumps(list_folder(tmp_path)))  # noqa: S301  # our own bytes
    assert again.read(0) == b"content"


def test_the_digest_tells_sets_apart_and_ignores_where_they_are(tmp_path: Path) -> None:
    for root in ("one", "two"):
        write(tmp_path / root / "cat/x.jpg")
        write(tmp_path / root / "dog/y.jpg")
    first = digest(list_folder(tmp_path / "one"))
    assert digest(list_folder(tmp_path / "two")) == first
    assert len(first) <= 36

    write(tmp_path / "two/dog/y.jpg", b"other size")
    other_size = digest(list_folder(tmp_path / "two"))
    (tmp_path / "one/dog/y.jpg").rename(tmp_path / "one/dog/z.jpg")
    other_name = digest(list_folder(tmp_path / "one"))
    other_classes = digest(list_folder(tmp_path / "one", ("cat", "dog", "fish")))
    assert len({first, other_size, other_name, other_classes}) == 4
