"""CIFAR and SVHN from tiny files of the published formats, read and downloaded by torchvision.

torchvision compares the files with the published checksums, so the tests put those of the tiny
files in their place.
"""

import hashlib
import pickle
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.io
from serving import Handler, serve
from torchvision import datasets

from service.config.errors import ConfigurationError
from service.config.small_data import (
    CIFAR10DataConfig,
    CIFAR100DataConfig,
    SmallDataConfig,
    SVHNDataConfig,
)
from service.data.splits import open_splits

Make = Callable[[Path], dict[str, np.ndarray]]


class _OfPython2:
    """Pickles as NumPy pickled an array of bytes in 2009, its type's flags as numbers."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array

    def __reduce__(self) -> tuple[Any, ...]:
        function, arguments, state = self._array.__reduce__()
        version, shape, _, *rest = state
        return function, arguments, (version, shape, _OldType(), *rest)


class _OldType:
    def __reduce__(self) -> tuple[Any, ...]:
        return np.dtype, ("u1", 0, 1), (3, "|", None, None, None, -1, -1, 0)


def pixels(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, 32, 32), np.uint8)


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def dump(path: Path, content: dict[str, Any]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, protocol=2))
    return md5(path)


def batch(seed: int, count: int, labels: str, classes: int) -> dict[str, Any]:
    return {
        "data": _OfPython2(pixels(seed, count).reshape(count, -1)),
        labels: [(seed + n) % classes for n in range(count)],
    }


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Serves what the test puts under `published/`; the address ends with a slash."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "published").mkdir()
    with serve(tmp_path / "published") as address:
        yield address


@pytest.fixture
def cifar10(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Writes two training batches of 4 and a test batch of 3 pictures."""

    def make(root: Path) -> dict[str, np.ndarray]:
        folder = root / "cifar-10-batches-py"
        names = ("data_batch_1", "data_batch_2", "test_batch")
        sums = [
            [name, dump(folder / name, batch(seed, count, "labels", 10))]
            for seed, (name, count) in enumerate(zip(names, (4, 4, 3), strict=True))
        ]
        meta = dump(folder / "batches.meta", {"label_names": [f"class {n}" for n in range(10)]})
        monkeypatch.setattr(datasets.CIFAR10, "train_list", sums[:2])
        monkeypatch.setattr(datasets.CIFAR10, "test_list", sums[2:])
        monkeypatch.setattr(datasets.CIFAR10, "meta", {**datasets.CIFAR10.meta, "md5": meta})
        return {
            "train": np.concatenate([pixels(0, 4), pixels(1, 4)]),
            "test": pixels(2, 3),
            "labels": np.array([0, 1, 2, 3, 1, 2, 3, 4]),
        }

    return make


@pytest.fixture
def cifar100(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Writes 5 training and 2 test pictures."""

    def make(root: Path) -> dict[str, np.ndarray]:
        folder = root / "cifar-100-python"
        train = dump(folder / "train", batch(0, 5, "fine_labels", 100) | {"coarse_labels": [0] * 5})
        test = dump(folder / "test", batch(1, 2, "fine_labels", 100))
        meta = dump(folder / "meta", {"fine_label_names": [f"fine {n}" for n in range(100)]})
        monkeypatch.setattr(datasets.CIFAR100, "train_list", [["train", train]])
        monkeypatch.setattr(datasets.CIFAR100, "test_list", [["test", test]])
        monkeypatch.setattr(datasets.CIFAR100, "meta", {**datasets.CIFAR100.meta, "md5": meta})
        return {"train": pixels(0, 5), "test": pixels(1, 2), "labels": np.arange(5)}

    return make


@pytest.fixture
def svhn(monkeypatch: pytest.MonkeyPatch) -> Make:
    """Writes 4 training and 2 test pictures; the files call the digit 0 ten."""

    def make(root: Path) -> dict[str, np.ndarray]:
        root.mkdir(parents=True, exist_ok=True)
        table = dict(datasets.SVHN.split_list)
        for seed, (split, labels) in enumerate((("train", [10, 1, 9, 10]), ("test", [2, 10]))):
            path = root / f"{split}_32x32.mat"
            content = pixels(seed, len(labels)).transpose(2, 3, 1, 0)
            labels_of_it = np.array(labels, np.uint8)[:, None]
            scipy.io.savemat(path, {"X": content, "y": labels_of_it}, do_compression=True)
            table[split] = [table[split][0], path.name, md5(path)]
        monkeypatch.setattr(datasets.SVHN, "split_list", table)
        return {"train": pixels(0, 4), "test": pixels(1, 2), "labels": np.array([0, 1, 9, 0])}

    return make


@pytest.mark.parametrize(
    ("kind", "name", "classes"),
    [
        (CIFAR10DataConfig, "cifar10", [f"class {n}" for n in range(10)]),
        (CIFAR100DataConfig, "cifar100", [f"fine {n}" for n in range(100)]),
        (SVHNDataConfig, "svhn", [str(n) for n in range(10)]),
    ],
)
def test_pictures_and_labels_are_those_of_the_files(
    kind: type[SmallDataConfig],
    name: str,
    classes: list[str],
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    make: Make = request.getfixturevalue(name)
    expected = make(tmp_path / "data")
    config = kind(root=str(tmp_path / "data"))
    # The second time from the cache.
    for _ in range(2):
        splits = open_splits(config, tmp_path / "cache")
        assert np.array_equal(splits.train.pictures, expected["train"])
        assert np.array_equal(splits.evaluation.pictures, expected["test"])
        assert splits.train.labels.tolist() == expected["labels"].tolist()
        assert list(splits.train.classes) == classes
        assert Path(splits.train.source).is_file()
    assert len(list((tmp_path / "cache").iterdir())) == 1


@pytest.mark.parametrize(
    ("kind", "file", "address"),
    [
        (CIFAR10DataConfig, "cifar-10-batches-py/data_batch_1", "cifar-10-python.tar.gz"),
        (CIFAR100DataConfig, "cifar-100-python/train", "cifar-100-python.tar.gz"),
        (SVHNDataConfig, "train_32x32.mat", "ufldl.stanford.edu/housenumbers"),
    ],
)
def test_missing_files_are_named_with_the_ways_to_get_them(
    kind: type[SmallDataConfig], file: str, address: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_splits(kind(root=str(tmp_path / "absent")), tmp_path / "cache")
    message = str(caught.value)
    assert message.startswith(f"data.root: {tmp_path / 'absent' / file} is missing; ")
    assert address in message
    assert "data.download=true" in message
    assert "\n" not in message
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_the_published_one_is_never_unpickled(
    cifar10: Make, svhn: Make, tmp_path: Path
) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "harm",)

    cifar10(tmp_path)
    path = tmp_path / "cifar-10-batches-py/data_batch_2"
    path.write_bytes(pickle.dumps({"data": Harmful(), "labels": []}))
    with pytest.raises(
        ConfigurationError, match=r"^data\.root: cifar-10-batches-py in .*\(checksum\)"
    ):
        open_splits(CIFAR10DataConfig(root=str(tmp_path)), tmp_path / "cache")
    assert not (tmp_path / "harm").exists()
    svhn(tmp_path)
    (tmp_path / "test_32x32.mat").write_bytes(b"damaged")
    with pytest.raises(ConfigurationError, match=r"train_32x32\.mat or test_32x32\.mat in .*"):
        open_splits(SVHNDataConfig(root=str(tmp_path)), tmp_path / "cache")


@pytest.fixture
def archive(cifar10: Make, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """CIFAR-10's archive, where torchvision looks for it."""
    cifar10(tmp_path / "made")
    path = tmp_path / "published/cifar.tar.gz"
    with tarfile.open(path, "w:gz") as content:
        content.add(tmp_path / "made/cifar-10-batches-py", "cifar-10-batches-py")
    monkeypatch.setattr(datasets.CIFAR10, "url", f"{server}cifar.tar.gz")
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5(path))
    return path


@pytest.mark.usefixtures("archive")
def test_a_set_is_downloaded_where_that_is_allowed(tmp_path: Path) -> None:
    root = tmp_path / "new/data"
    config = CIFAR10DataConfig(root=str(root), download=True)
    assert len(open_splits(config, tmp_path / "cache").train) == 8
    # Neither the archive nor anything unfinished stays.
    assert [path.name for path in root.iterdir()] == ["cifar-10-batches-py"]
    assert len(open_splits(CIFAR10DataConfig(root=str(root)), tmp_path / "cache").train) == 8


@pytest.mark.usefixtures("archive")
def test_another_workers_download_may_be_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data"
    name = "cifar-10-batches-py"

    def finish() -> None:
        shutil.copytree(tmp_path / "made" / name, root / name, dirs_exist_ok=True)

    monkeypatch.setattr(Handler, "meanwhile", finish)
    config = CIFAR10DataConfig(root=str(root), download=True)
    assert len(open_splits(config, tmp_path / "cache").train) == 8
    assert [path.name for path in root.iterdir()] == [name]


def test_digits_are_downloaded_file_by_file(
    svhn: Make, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    svhn(tmp_path / "published")
    served = {
        split: [f"{server}{name}", name, checksum]
        for split, (_, name, checksum) in datasets.SVHN.split_list.items()
    }
    monkeypatch.setattr(datasets.SVHN, "split_list", served)
    root = tmp_path / "data"
    config = SVHNDataConfig(root=str(root), download=True)
    assert len(open_splits(config, tmp_path / "cache").evaluation) == 2
    assert sorted(path.name for path in root.iterdir()) == ["test_32x32.mat", "train_32x32.mat"]


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_a_failed_download_is_one_line_and_leaves_nothing(
    archive: Path, tmp_path: Path, damage: str
) -> None:
    if damage == "gone":
        archive.unlink()
    else:
        archive.write_bytes(b"damaged")
    root = tmp_path / "data"
    with pytest.raises(ConfigurationError) as caught:
        open_splits(CIFAR10DataConfig(root=str(root), download=True), tmp_path / "cache")
    assert str(caught.value).startswith(f"data.download: {datasets.CIFAR10.url} cannot be ")
    assert "\n" not in str(caught.value)
    assert list(root.iterdir()) == []


@pytest.mark.usefixtures("archive")
def test_what_is_there_already_is_not_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "data/cifar-10-batches-py"
    folder.mkdir(parents=True)
    (folder / "data_batch_1").write_bytes(b"mine")
    with pytest.raises(ConfigurationError, match=r"cifar-10-batches-py is incomplete; remove it"):
        open_splits(CIFAR10DataConfig(root=str(tmp_path / "data"), download=True), tmp_path)
    assert (folder / "data_batch_1").read_bytes() == b"mine"
