"""Both splits of a data set, from its configuration."""

from pathlib import Path

import numpy as np
import pytest

from service.config.data import DrawnDataConfig, FolderDataConfig, ShardsDataConfig
from service.config.errors import ConfigurationError
from service.data.folder import list_folder
from service.data.shards import write_shards
from service.data.splits import open_splits


def test_a_drawn_set_is_drawn_once(tmp_path: Path) -> None:
    config = DrawnDataConfig(classes=3, train_pictures=9, evaluation_pictures=4, picture_size=16)
    splits = open_splits(config, tmp_path / "cache")
    assert splits.train.classes == splits.evaluation.classes == ("disc", "square", "triangle")
    assert np.bincount(splits.train.labels).tolist() == [3, 3, 3]
    assert len(splits.evaluation) == 4
    (root,) = (tmp_path / "cache").iterdir()
    drawn_at = root.stat().st_mtime_ns
    open_splits(config, tmp_path / "cache")
    assert root.stat().st_mtime_ns == drawn_at


def test_folder_and_shards_open_the_same_pictures(drawn: Path, tmp_path: Path) -> None:
    folder = open_splits(FolderDataConfig(root=str(drawn)), tmp_path)
    write_shards(folder.train, tmp_path / "shards/train")
    write_shards(folder.evaluation, tmp_path / "shards/val")
    shards = open_splits(ShardsDataConfig(root=str(tmp_path / "shards")), tmp_path)
    for one, other in ((folder.train, shards.train), (folder.evaluation, shards.evaluation)):
        assert one.classes == other.classes
        assert one.labels.tolist() == other.labels.tolist()
        assert one.read(5) == other.read(5)


def test_the_class_list_comes_from_training(tmp_path: Path) -> None:
    for name in ("train/cat/a.jpg", "train/dog/a.jpg", "train/fish/a.jpg", "val/fish/a.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"picture")
    splits = open_splits(FolderDataConfig(root=str(tmp_path)), tmp_path)
    assert splits.evaluation.classes == ("cat", "dog", "fish")
    assert splits.evaluation.labels.tolist() == [2]
    (tmp_path / "val/wolf").mkdir()
    with pytest.raises(ConfigurationError, match="'wolf'"):
        open_splits(FolderDataConfig(root=str(tmp_path)), tmp_path)


def test_a_label_that_training_lacks_is_an_error_in_shards(drawn: Path, tmp_path: Path) -> None:
    write_shards(list_folder(drawn / "train"), tmp_path / "val")
    two = tmp_path / "two"
    two.mkdir()
    for name in ("disc", "square"):
        (two / name).symlink_to(drawn / "train" / name)
    write_shards(list_folder(two), tmp_path / "train")
    with pytest.raises(ConfigurationError, match="has label 2, but there are 2 classes"):
        open_splits(ShardsDataConfig(root=str(tmp_path)), tmp_path)


@pytest.mark.parametrize("kind", [FolderDataConfig, ShardsDataConfig])
def test_a_missing_set_is_named(
    tmp_path: Path, kind: type[FolderDataConfig] | type[ShardsDataConfig]
) -> None:
    with pytest.raises(ConfigurationError, match=r"data\.root: .*absent"):
        open_splits(kind(root=str(tmp_path / "absent")), tmp_path)
