"""Evaluation batches: every picture exactly once, the same every time."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from service.config.data import PicturesConfig
from service.data.folder import list_folder
from service.data.loading import evaluation_batches

# Two loading processes are too many for torch's liking where the tests have one core.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker")


@pytest.mark.parametrize(("world_size", "processes"), [(1, 0), (3, 0), (1, 2), (20, 0)])
def test_evaluation_shows_each_picture_exactly_once(
    drawn: Path, small: PicturesConfig, world_size: int, processes: int
) -> None:
    pictures = list_folder(drawn / "val", list_folder(drawn / "train").classes)
    seen = []
    for rank in range(world_size):
        plan = {"rank": rank, "world_size": world_size, "loading_processes": processes}
        for batch in evaluation_batches(pictures, small, **plan):
            assert batch.pictures.shape[1:] == (3, 24, 24)
            assert 1 <= len(batch) <= 4
            assert batch.labels.tolist() == pictures.labels[batch.indices.numpy()].tolist()
            seen += batch.indices.tolist()
    assert seen == list(range(13))


def test_evaluation_views_are_the_same_every_time(drawn: Path, small: PicturesConfig) -> None:
    pictures = list_folder(drawn / "val", list_folder(drawn / "train").classes)
    plan = {"rank": 0, "world_size": 1}
    alone = list(evaluation_batches(pictures, small, **plan, loading_processes=0))
    helped = list(evaluation_batches(pictures, small, **plan, loading_processes=2))
    for first, second in zip(alone, helped, strict=True):
        assert torch.equal(first.pictures, second.pictures)
        assert torch.equal(first.indices, second.indices)


def test_what_a_file_is_called_decides_nothing(
    tmp_path: Path, encode: Callable[..., bytes], small: PicturesConfig
) -> None:
    """Pictures of the web are often called .jpg whatever they are."""
    folder = tmp_path / "class"
    folder.mkdir()
    for number, kind in enumerate(("PNG", "WEBP", "GIF", "AVIF")):
        (folder / f"{number}.jpg").write_bytes(encode(kind=kind))
    plan = {"rank": 0, "world_size": 1, "loading_processes": 0}
    (batch,) = evaluation_batches(list_folder(tmp_path), small, **plan)
    first = batch.pictures[0].float()
    for view in batch.pictures.float():
        assert (view - first).abs().mean() < 12  # a GIF has 256 colours
