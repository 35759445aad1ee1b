"""Data sets that somebody prepared to do harm: to read elsewhere, to hang, to take all memory."""

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.config.errors import ConfigurationError
from service.data.folder import list_folder
from service.data.parquet import read_parquet
from service.data.shard_index import INDEX_FILE, ShardIndex
from service.data.shards import ShardPictures, open_shards

properties = settings(deadline=None, database=None, derandomize=True)


def tar(members: dict[str, bytes], **options: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **options) as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def refused(open_it: Callable[[Path], object], path: Path) -> str:
    with pytest.raises(ConfigurationError) as caught:
        open_it(path)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < len(str(path)) + 600
    return message


SAMPLE = {"x.jpg": b"picture", "x.cls": b"1"}


@pytest.mark.parametrize("label", [b"1000000", b"999999999999", b"9" * 32])
def test_a_label_for_which_no_names_could_be_made_is_refused(tmp_path: Path, label: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(tar(SAMPLE | {"x.cls": label}))
    assert "'x.cls' holds no label" in refused(open_shards, tmp_path)


def test_a_shard_that_leads_back_to_itself_ends(tmp_path: Path) -> None:
    """A member of a negative size, which older versions of Python follow for ever."""
    archive = bytearray(tar({"x.txt": b"", "y.txt": b""}))
    forged = bytearray(tarfile.TarInfo("y.txt").tobuf(tarfile.GNU_FORMAT))
    forged[124:136] = tarfile.itn(-512, 12, tarfile.GNU_FORMAT)
    forged[148:156] = b" " * 8
    forged[148:156] = b"%06o\0 " % sum(forged)
    archive[512:1024] = forged
    (tmp_path / "a.tar").write_bytes(archive)
    assert "the shard is damaged" in refused(open_shards, tmp_path)


def test_a_long_row_of_headers_for_one_member_ends(tmp_path: Path) -> None:
    name = tarfile.TarInfo("././@LongLink")
    name.type, name.size = tarfile.GNUTYPE_LONGNAME, 8
    one = name.tobuf(tarfile.GNU_FORMAT) + b"name.jpg".ljust(512, b"\0")
    (tmp_path / "a.tar").write_bytes(one * 3000 + tar(SAMPLE))
    assert "the shard is damaged" in refused(open_shards, tmp_path)


def test_a_file_with_holes_is_refused(tmp_path: Path) -> None:
    """Its size in the archive is another than the one it claims."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("x.jpg")
        member.size = 7
        member.pax_headers = {
            "GNU.sparse.major": "0",
            "GNU.sparse.minor": "1",
            "GNU.sparse.size": "1000000000",
            "GNU.sparse.map": "0,7",
        }
        archive.addfile(member, io.BytesIO(b"picture"))
    (tmp_path / "a.tar").write_bytes(buffer.getvalue())
    assert "is neither a plain file" in refused(open_shards, tmp_path)


@settings(properties, max_examples=150)
@given(
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=12))),
    st.one_of(st.none(), st.floats(0, 1)),
    st.sampled_from([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]),
)
def test_a_changed_shard_opens_or_is_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory,
    changes: list[tuple[float, bytes]],
    kept: float | None,
    form: int,
) -> None:
    folder = tmp_path_factory.getbasetemp() / "changed"
    folder.mkdir(exist_ok=True)
    content = bytearray(
        tar({f"{'ü' * 30}{'y' * 60}/{n}": d for n, d in SAMPLE.items()}, format=form)
    )
    for place, written in changes:
        start = int(place * len(content))
        content[start : start + len(written)] = written
    (folder / INDEX_FILE).unlink(missing_ok=True)
    (folder / "a.tar").write_bytes(content[: None if kept is None else int(kept * len(content))])
    try:
        pictures = open_shards(folder)
    except ConfigurationError as error:
        message = str(error)
        assert message.isprintable()
        return
    for index in range(len(pictures)):
        pictures.read(index)


def opened(folder: Path) -> ShardPictures:
    folder.mkdir()
    (folder / "a.tar").write_bytes(tar(SAMPLE))
    return open_shards(folder)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pictures", np.array([[0, 512, 7, 10**12]])),
        ("pictures", np.array([[0, 2**62, 2**62, 1]])),
        ("pictures", np.array([[5, 512, 7, 1]])),
        ("pictures", np.array([[0, -1, 7, 1]])),
        ("pictures", np.array([["a", "b", "c", "d"]])),
        ("pictures", np.array(3)),
        ("pictures", np.zeros((1, 4, 2), np.int64)),
        ("stamps", np.array(["x"])),
        ("member_ends", np.array([[1]])),
        ("shard_text", np.array([{}], object)),
        ("format", np.array("x")),
    ],
)
def test_a_forged_index_is_made_again(tmp_path: Path, field: str, value: np.ndarray) -> None:
    """It lies beside the shards: whoever writes them can write it."""
    sound = opened(tmp_path / "set")
    path = tmp_path / "set" / INDEX_FILE
    with np.load(path) as saved:
        arrays = dict(saved)
    np.savez(path, **(arrays | {field: value}))
    again = open_shards(tmp_path / "set")
    assert again.index.pictures.tolist() == sound.index.pictures.tolist()
    assert ShardIndex.load(path).pictures.tolist() == sound.index.pictures.tolist()


def test_an_index_that_claims_to_be_huge_is_made_again(tmp_path: Path) -> None:
    sound = opened(tmp_path / "set")
    path = tmp_path / "set" / INDEX_FILE
    parts = {}
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    header = parts["pictures.npy"]
    parts["pictures.npy"] = header.replace(
        b"(1, 4), }       ", b"(10**17, 4), }  ".replace(b"10**17", b"99999999")
    )
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    assert open_shards(tmp_path / "set").read(0) == sound.read(0)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("classes.txt", b"\xff\xfe"),
        ("classes.json", b"\xff\xfe"),
        ("classes.json", b"{"),
        ("classes.json", b"[" * 100_000),
        ("classes.json", b'["\\ud800", "b"]'),
        ("classes.json", b"9" * 5000),
    ],
)
def test_names_of_classes_that_cannot_be_read_are_named(
    tmp_path: Path, name: str, content: bytes
) -> None:
    (tmp_path / "a.tar").write_bytes(tar(SAMPLE))
    (tmp_path / name).write_bytes(content)
    assert refused(open_shards, tmp_path).startswith(f"{tmp_path / name}: ")


def picture() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def parquet(root: Path, rows: list[dict[str, object]], metadata: str = "{}") -> None:
    struct = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    columns = {"img": pa.array(rows, struct), "label": pa.array([0] * len(rows), pa.int64())}
    table = pa.table(columns).replace_schema_metadata({"huggingface": metadata})
    for split in ("train", "test"):
        pq.write_table(table, root / f"{split}-00000-of-00001.parquet")


def test_a_path_in_parquet_is_never_opened(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "secret.png").write_bytes(picture())
    for path in (str(tmp_path / "secret.png"), "../secret.png"):
        parquet(tmp_path / "set", [{"bytes": None, "path": path}])
        assert "row 0 cannot be used: it has no bytes" in refused(read_parquet, tmp_path / "set")


@pytest.mark.parametrize("names", [5, "ab", {"a": 1}, [1], ["\ud800"], [[[]]]])
def test_names_in_parquet_that_are_no_texts_are_refused(tmp_path: Path, names: object) -> None:
    described = {"info": {"features": {"label": {"names": names}}}}
    parquet(tmp_path, [{"bytes": picture(), "path": "a"}], json.dumps(described))
    assert "names of its classes are no texts" in refused(read_parquet, tmp_path)


@pytest.mark.parametrize("rows", [2, 4, 60])
def test_parquet_that_declares_other_rows_than_it_holds_is_refused(
    tmp_path: Path, rows: int
) -> None:
    """What it lacks would be whatever was in memory."""
    parquet(tmp_path, [{"bytes": picture(), "path": "a"}] * 3)
    file = tmp_path / "train-00000-of-00001.parquet"
    # The footer, in Thrift's compact protocol: first the field num_rows, then the row groups.
    content = file.read_bytes()
    start = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    footer = content[start:].replace(b"\x16\x06\x19", b"\x16" + bytes([2 * rows]) + b"\x19", 1)
    assert footer != content[start:]
    file.write_bytes(content[:start] + footer)
    refused(read_parquet, tmp_path)


def test_class_folders_and_pictures_may_be_links(tmp_path: Path) -> None:
    """Clusters keep ImageNet so; a tree of folders holds no paths that its owner did not make."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.png").write_bytes(picture())
    (tmp_path / "set/cat").mkdir(parents=True)
    (tmp_path / "set/cat/b.png").symlink_to(tmp_path / "elsewhere/a.png")
    (tmp_path / "set/dog").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root").symlink_to(tmp_path / "set")
    pictures = list_folder(tmp_path / "root")
    assert [pictures.read(index) for index in range(2)] == [picture()] * 2
