"""CIFAR in Parquet files that the tests write, whole and damaged."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from service.config.errors import ConfigurationError
from service.config.small_data import ParquetDataConfig
from service.data.decoding import decode
from service.data.parquet import read_parquet
from service.data.splits import Splits, open_splits

NAMES = ("airplane", "automobile", "bird")
Write = Callable[..., Path]


def encoded(seed: int, kind: str = "PNG", side: int = 32, mode: str = "RGB") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, kind)
    return buffer.getvalue()


def described(**names: tuple[str, ...]) -> dict[str, str]:
    """Returns the schema metadata that Hugging Face writes for columns of class labels."""
    features = {
        name: {"names": list(labels), "_type": "ClassLabel"} for name, labels in names.items()
    }
    return {"huggingface": json.dumps({"info": {"features": {"img": {}, **features}}})}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes one file into the data set's folder."""

    def writer(
        name: str,
        pictures: list[Any],
        labels: list[Any],
        metadata: dict[str, str] | None = None,
        column: str = "label",
        **options: object,
    ) -> Path:
        columns = {
            "img": pa.array(
                [{"bytes": picture, "path": f"{row}.png"} for row, picture in enumerate(pictures)],
                pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
            ),
            column: pa.array(labels, pa.int64()),
        }
        path = tmp_path / f"{name}-of-00001.parquet"
        table = pa.table(columns).replace_schema_metadata(metadata)
        pq.write_table(table, path, **options)
        return path

    return writer


@pytest.fixture
def root(write: Write, tmp_path: Path) -> Path:
    """A whole data set: 6 training and 3 evaluation pictures of 3 classes."""
    write("train-00000", [encoded(n) for n in range(6)], [0, 1, 2, 0, 1, 2], described(label=NAMES))
    write("test-00000", [encoded(n) for n in range(6, 9)], [2, 1, 0])
    return tmp_path


def refused(root: Path) -> str:
    """Returns the one line with which the data set is refused."""
    with pytest.raises(ConfigurationError) as caught:
        read_parquet(root)
    message = str(caught.value)
    assert "\n" not in message
    assert str(root) in message
    return message


def test_pictures_labels_and_names_are_those_of_the_files(root: Path) -> None:
    train, evaluation = read_parquet(root)
    assert train.classes == evaluation.classes == NAMES
    assert train.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert evaluation.labels.tolist() == [2, 1, 0]
    for index in range(6):
        pixels = np.asarray(Image.open(io.BytesIO(encoded(index))))
        assert np.array_equal(train.pictures[index].transpose(1, 2, 0), pixels)
    assert (Path(train.source).parent, Path(evaluation.source).parent) == (root, root)


def test_several_files_row_groups_and_formats(root: Path, write: Write) -> None:
    more = [encoded(9, "JPEG"), encoded(10, mode="L"), encoded(11, "WEBP")]
    write("train-00001", more, [2, 2, 2], row_group_size=2)
    pictures, labels = (read_parquet(root)[0].pictures[6:], read_parquet(root)[0].labels[6:])
    assert labels.tolist() == [2, 2, 2]
    for picture, content in zip(pictures, more, strict=True):
        assert np.array_equal(picture, decode(content).numpy())
    assert np.array_equal(pictures[1, 0], pictures[1, 2])


def test_without_names_the_classes_are_numbers(write: Write, tmp_path: Path) -> None:
    write("train-00000", [encoded(0), encoded(1)], [0, 2])
    write("test-00000", [encoded(2)], [1], described(label=NAMES))
    assert read_parquet(tmp_path)[0].classes == ("0", "1", "2")


def test_fine_labels_are_those_of_cifar100(write: Write, tmp_path: Path) -> None:
    metadata = described(coarse_label=("a", "b"), fine_label=("apple", "baby", "bear"))
    for split in ("train", "test"):
        write(f"{split}-00000", [encoded(0)], [2], metadata, column="fine_label")
    train, evaluation = read_parquet(tmp_path)
    assert train.classes == evaluation.classes == ("apple", "baby", "bear")
    assert train.labels.tolist() == [2]


def test_the_configuration_opens_reduces_and_keeps_them(root: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"

    def opened(**fields: int) -> Splits:
        return open_splits(ParquetDataConfig(root=str(root), **fields), cache)

    whole, reduced = opened(), opened(train_pictures=3)
    assert (len(whole.train), len(whole.evaluation)) == (6, 3)
    assert sorted(reduced.train.labels) == [0, 1, 2]
    assert len(reduced.evaluation) == 3
    (kept,) = cache.iterdir()
    made_at = kept.stat().st_mtime_ns
    assert opened().train.classes == NAMES
    assert [path.stat().st_mtime_ns for path in cache.iterdir()] == [made_at]


def test_a_folder_without_the_files_is_named(root: Path, tmp_path: Path) -> None:
    config = ParquetDataConfig(root=str(tmp_path / "absent"))
    with pytest.raises(
        ConfigurationError,
        match=r"^data\.root: no train-\*\.parquet in .*absent; .*uoft-cs/cifar10",
    ):
        open_splits(config, tmp_path)
    (root / "test-00000-of-00001.parquet").unlink()
    assert refused(root).startswith("data.root: no test-*.parquet in ")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            {"image": [b""], "label": [0]},
            "no column img{bytes, path}; its columns are image, label",
        ),
        ({"img": [b""], "label": [0]}, "no column img{bytes, path}"),
        ({"img": [{"path": "a"}], "label": [0]}, "no column img{bytes, path}"),
        ({"img": [{"bytes": "text"}], "label": [0]}, "img.bytes holds string"),
        ({"img": [{"bytes": b""}], "coarse_label": [0]}, "no column label or fine_label"),
        ({"img": [{"bytes": b""}], "label": ["cat"]}, "no column label or fine_label"),
    ],
)
def test_other_columns_are_named(root: Path, columns: dict[str, list[Any]], message: str) -> None:
    path = root / "train-00000-of-00001.parquet"
    pq.write_table(pa.table(columns), path)
    assert refused(root).startswith(f"{path}: ")
    assert message in refused(root)


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        (encoded(1)[:500], ""),
        (encoded(1, "JPEG")[:500], "Image is incomplete or truncated"),
        (b"", "the file is empty"),
        (b"no picture", "not a picture of a known format"),
        (None, "it has no bytes"),
        (encoded(1, side=28), "it has 28 × 28 pixels, not 32 × 32"),
    ],
)
def test_a_picture_that_cannot_be_used_is_named(
    root: Path, write: Write, picture: bytes | None, reason: str
) -> None:
    path = write("train-00001", [encoded(0), encoded(1), picture, encoded(3)], [0, 1, 2, 0])
    assert refused(root).startswith(f"{path}: the picture in row 2 cannot be used: {reason}")


@pytest.mark.parametrize("label", [None, -1, 10**12])
def test_a_label_that_cannot_be_used_is_named(root: Path, write: Write, label: int | None) -> None:
    path = write("train-00000", [encoded(0), encoded(1)], [0, label])
    assert refused(root) == f"{path}: the picture in row 1 cannot be used: its label is {label}"


def test_a_label_without_a_class_is_named(root: Path, write: Write) -> None:
    write("test-00000", [encoded(0), encoded(1)], [0, 3])
    assert "picture 1 has label 3, but there are 3 classes" in refused(root)


def test_an_empty_split_is_named(root: Path, write: Write) -> None:
    write("train-00000", [], [])
    assert "train-*.parquet: holds no pictures" in refused(root)


def test_names_that_are_no_json_are_named(root: Path, write: Write) -> None:
    path = write("train-00000", [encoded(0)], [0], {"huggingface": "{"})
    assert refused(root).startswith(f"{path}: cannot be read as Parquet: ")


@pytest.mark.parametrize("names", ["{}", "[]", '{"info": {"features": {"label": {}}}}', "null"])
def test_metadata_without_names_are_passed_over(root: Path, write: Write, names: str) -> None:
    write("train-00000", [encoded(0)], [2], {"huggingface": names})
    assert read_parquet(root)[0].classes == ("0", "1", "2")


@pytest.mark.parametrize("kept", [0, 3, 1000, -1, -8])
def test_a_truncated_file_is_named(root: Path, kept: int) -> None:
    path = root / "train-00000-of-00001.parquet"
    path.write_bytes(path.read_bytes()[:kept])
    assert refused(root).startswith(f"{path}: cannot be read as Parquet: ")


def test_no_changed_bit_gets_past_the_checksums(root: Path, write: Write) -> None:
    """With the checksums of pages that writers can add; elsewhere a change must not do harm."""
    pictures = [encoded(n) for n in range(6)]
    path = write("train-00000", pictures, [0, 1, 2] * 2, write_page_checksum=True)
    sound = path.read_bytes()
    expected = read_parquet(root)[0]
    refusals = []
    for place in np.random.default_rng(0).integers(0, len(sound), 150).tolist():
        changed = bytearray(sound)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        try:
            train, _ = read_parquet(root)
        except ConfigurationError as error:
            refusals.append(str(error))
        else:
            assert np.array_equal(train.pictures, expected.pictures)
    assert refusals
    assert all("\n" not in refusal for refusal in refusals)
