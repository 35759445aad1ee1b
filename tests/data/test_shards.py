"""Pictures in tar shards: round trip, index, damage."""

import io
import json
import os
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from service.config.errors import ConfigurationError
from service.data.folder import FolderPictures, list_folder
from service.data.pictures import digest
from service.data.shard_index import INDEX_FILE, ShardIndex
from service.data.shards import open_shards, write_shards


@pytest.fixture
def folder_pictures(drawn: Path) -> FolderPictures:
    return list_folder(drawn / "train")


@pytest.fixture
def shards(folder_pictures: FolderPictures, tmp_path: Path) -> Path:
    """Five shards of 41 pictures."""
    write_shards(folder_pictures, tmp_path / "train", pictures_per_shard=9)
    return tmp_path / "train"


def write_tar(path: Path, members: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_a_round_trip_gives_the_same_pictures(
    folder_pictures: FolderPictures, shards: Path
) -> None:
    pictures = open_shards(shards)
    assert sorted(path.name for path in shards.glob("*.tar"))[-1] == "000004.tar"
    assert pictures.classes == folder_pictures.classes
    assert pictures.labels.tolist() == folder_pictures.labels.tolist()
    for index in np.random.default_rng(0).permutation(len(pictures)).tolist():
        assert pictures.read(index) == folder_pictures.read(index)
        assert pictures.size(index) == folder_pictures.size(index)
    assert pictures.name(9) == "000001.tar/00000009.jpg"


def test_the_same_pictures_give_the_same_shards(
    folder_pictures: FolderPictures, shards: Path, tmp_path: Path
) -> None:
    write_shards(folder_pictures, tmp_path / "again", pictures_per_shard=9)
    for shard in shards.glob("*.tar"):
        assert shard.read_bytes() == (tmp_path / "again" / shard.name).read_bytes()
    with pytest.raises(ConfigurationError, match="exists; remove it"):
        write_shards(folder_pictures, tmp_path / "again")


def test_a_pickled_set_and_a_forked_process_read_the_same(shards: Path) -> None:
    pictures = open_shards(shards)
    content = pictures.read(0)
    assert pickle.loads(pickle.dumps(pictures)).read(0) == content  # noqa: S301  # our own bytes
    child = os.fork()
    if child == 0:
        os._exit(0 if pictures.read(0) == content and len(pictures.read(40)) else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert pictures.read(0) == content


def test_more_shards_than_may_be_open_are_read(
    folder_pictures: FolderPictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.data.open_files.MOST_OPEN", 2)
    write_shards(folder_pictures, tmp_path / "many", pictures_per_shard=5)
    pictures = open_shards(tmp_path / "many")
    opened = len(os.listdir("/proc/self/fd"))
    for index in (0, 7, 0, 13, 30, 40, 7):
        assert pictures.read(index) == folder_pictures.read(index)
    assert len(os.listdir("/proc/self/fd")) == opened + 2
    del pictures
    assert len(os.listdir("/proc/self/fd")) == opened


def test_the_index_is_made_once_and_used_again(shards: Path) -> None:
    open_shards(shards)
    made = (shards / INDEX_FILE).stat().st_mtime_ns
    open_shards(shards)
    assert (shards / INDEX_FILE).stat().st_mtime_ns == made
    assert sorted(os.listdir(shards)) == sorted(
        [*(f"{number:06d}.tar" for number in range(5)), "classes.json", INDEX_FILE]
    )


@pytest.mark.parametrize("change", ["removed", "renamed", "rewritten", "touched"])
def test_changed_shards_are_indexed_again(shards: Path, change: str) -> None:
    before = digest(open_shards(shards))
    old = ShardIndex.load(shards / INDEX_FILE)
    if change == "removed":
        (shards / "000004.tar").unlink()
    elif change == "renamed":
        (shards / "000004.tar").rename(shards / "000005.tar")
    elif change == "rewritten":
        write_tar(shards / "000004.tar", {"x.jpg": b"picture", "x.cls": b"2\n"})
    else:
        os.utime(shards / "000004.tar", ns=(1, 1))
    pictures = open_shards(shards)
    new = ShardIndex.load(shards / INDEX_FILE)
    assert new.shards != old.shards or not np.array_equal(new.stamps, old.stamps)
    assert (digest(pictures) == before) == (change == "touched")
    assert len(pictures) == {"removed": 36, "rewritten": 37}.get(change, 41)
    assert len(pictures.read(len(pictures) - 1)) == pictures.size(len(pictures) - 1)


@pytest.mark.parametrize("damage", ["truncated", "empty", "text", "other format", "out of range"])
def test_a_damaged_index_is_made_again(shards: Path, damage: str) -> None:
    pictures = open_shards(shards)
    path = shards / INDEX_FILE
    whole = path.read_bytes()
    index = ShardIndex.load(path)
    if damage == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "text":
        path.write_bytes(b"not an index")
    elif damage == "other format":
        np.savez(path, format=np.array(99))
    else:
        index.pictures[3, 1] = 10**12
        index.save(path)
    assert digest(open_shards(shards)) == digest(pictures)
    assert path.read_bytes() == whole


def test_a_folder_that_cannot_be_written_keeps_its_index_in_memory(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root may write anywhere, so the refusal is simulated where the file would be made.
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(ShardIndex, "save", refuse)
    assert len(open_shards(shards)) == 41
    assert not (shards / INDEX_FILE).exists()


def test_foreign_shards_are_read(tmp_path: Path) -> None:
    """Folders, other members, subfolders, upper case and any order inside a sample are fine."""
    write_tar(
        tmp_path / "a.tar",
        {
            "./n01/0001.cls": b"4\n",
            "./n01/0001.JPEG": b"first",
            "./n01/0001.json": b"{}",
            "./n02/0001.json": b"{}",
            "./n02/0001.png": b"second",
            "./n02/0001.cls": b" 0 ",
        },
    )
    pictures = open_shards(tmp_path)
    assert [pictures.read(index) for index in range(2)] == [b"first", b"second"]
    assert pictures.labels.tolist() == [4, 0]
    assert pictures.classes == ("0", "1", "2", "3", "4")


@pytest.mark.parametrize(
    ("name", "content"),
    [("classes.txt", "cat\ndog\n"), ("classes.json", json.dumps(["cat", "dog"]))],
)
@pytest.mark.parametrize("place", [".", ".."])
def test_class_names_are_found(tmp_path: Path, name: str, content: str, place: str) -> None:
    write_tar(tmp_path / "train/a.tar", {"x.jpg": b"picture", "x.cls": b"1"})
    (tmp_path / "train" / place / name).write_text(content)
    assert open_shards(tmp_path / "train").classes == ("cat", "dog")
    assert open_shards(tmp_path / "train", ("a", "b", "c")).classes == ("a", "b", "c")


def test_a_label_without_a_class_is_named(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"x.jpg": b"picture", "x.cls": b"2"})
    with pytest.raises(ConfigurationError, match=r"a\.tar: 'x\.jpg' has label 2.*2 classes"):
        open_shards(tmp_path, ("cat", "dog"))


def test_class_names_of_another_form_are_refused(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"x.jpg": b"picture", "x.cls": b"0"})
    (tmp_path / "classes.json").write_text('{"0": "cat"}')
    with pytest.raises(ConfigurationError, match=r"classes\.json: expected a list"):
        open_shards(tmp_path)


@pytest.mark.parametrize(
    ("members", "complaint"),
    [
        ({"x.jpg": b"p"}, "sample './x' has no .cls file"),
        ({"x.cls": b"0"}, "sample './x' has no picture"),
        ({"x.jpg": b"p", "x.png": b"p", "x.cls": b"0"}, "sample './x' has two pictures"),
        ({"x.jpg": b"p", "x.cls": b"cat"}, "'x.cls' holds no label"),
        ({"x.jpg": b"p", "x.cls": b"-1"}, "'x.cls' holds no label"),
        ({"x.jpg": b"p", "x.cls": b"1" * 1000}, "'x.cls' holds no label"),
        ({}, "no pictures in the shards"),
    ],
)
def test_a_shard_of_another_layout_is_named(
    tmp_path: Path, members: dict[str, bytes], complaint: str
) -> None:
    write_tar(tmp_path / "odd.tar", members)
    with pytest.raises(ConfigurationError, match=complaint):
        open_shards(tmp_path)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, kind: bytes) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        member = tarfile.TarInfo("x.jpg")
        member.type, member.linkname = kind, "../../secret"
        archive.addfile(member)
    with pytest.raises(ConfigurationError, match=r"a\.tar: 'x\.jpg' is neither a plain file"):
        open_shards(tmp_path)


def test_member_names_are_never_paths(tmp_path: Path) -> None:
    write_tar(tmp_path / "set/a.tar", {"../../evil.jpg": b"picture", "../../evil.cls": b"0"})
    pictures = open_shards(tmp_path / "set")
    assert pictures.read(0) == b"picture"
    assert not (tmp_path.parent / "evil.jpg").exists()


@pytest.mark.parametrize("damage", ["in a file", "in a header", "between files", "header", "empty"])
def test_a_damaged_shard_is_named(shards: Path, damage: str) -> None:
    shard = shards / "000002.tar"
    content = bytearray(shard.read_bytes())
    with tarfile.open(shard) as archive:
        third = archive.getmembers()[4]
    if damage == "in a file":
        del content[third.offset_data + 100 :]
    elif damage == "in a header":
        del content[third.offset + 100 :]
    elif damage == "between files":
        del content[third.offset :]
    elif damage == "header":
        content[third.offset + 20] ^= 0xFF
    else:
        content.clear()
    shard.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"000002\.tar: the shard is damaged"):
        open_shards(shards)


def test_a_shard_cut_after_it_was_indexed_is_an_error_of_reading(shards: Path) -> None:
    pictures = open_shards(shards)
    with (shards / "000000.tar").open("r+b") as file:
        file.truncate(600)
    with pytest.raises(OSError, match="bytes too early"):
        pictures.read(0)


def test_a_folder_without_shards_says_what_was_expected(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        with pytest.raises(
            ConfigurationError, match=r"no \*\.tar files in .*expected train/\*\.tar"
        ):
            open_shards(folder)
