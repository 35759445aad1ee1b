"""Streams of batches with objects: same bits however they are made, and unusable pictures."""

import io
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch
from PIL import Image

from service.config.detection_data import (
    COCODataConfig,
    DetectionTrainConfig,
    LargeScaleJitterConfig,
)
from service.config.errors import ConfigurationError
from service.data.decoding import DamagedPictureError, decode
from service.data.detection.batch import DetectionBatch
from service.data.detection.coco import DetectionSet
from service.data.detection.loading import (
    detection_evaluation_batches,
    detection_training_batches,
)
from service.data.detection.order import aspect_groups, detection_order
from service.data.detection.orientation import decode_annotated
from service.data.detection.splits import open_detection_splits

# Two loading processes are too many for torch's liking where the tests have one core.
pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create 2 worker")

LARGE = DetectionTrainConfig(
    scale=LargeScaleJitterConfig(size=64), photometric_distortion=0.5, copy_paste=0.5
)


@pytest.fixture(scope="module")
def pictures(coco_config: COCODataConfig, tmp_path_factory: pytest.TempPathFactory) -> DetectionSet:
    return opened(coco_config, tmp_path_factory.mktemp("cache"))


def opened(config: COCODataConfig, cache: Path) -> DetectionSet:
    return open_detection_splits(config, cache, masks=True).train


def take(
    pictures: DetectionSet,
    config: COCODataConfig,
    count: int,
    *,
    start: int = 0,
    rank: int = 0,
    world_size: int = 1,
    loading_processes: int = 0,
) -> list[DetectionBatch]:
    stream = detection_training_batches(
        pictures,
        config,
        detection_order(pictures, config.train, 5, 4),
        masks=True,
        start=start,
        batch_size=4,
        accumulation=1,
        rank=rank,
        world_size=world_size,
        loading_processes=loading_processes,
    )
    try:
        return list(itertools.islice(stream, count))
    finally:
        stream.close()


def parts(batch: DetectionBatch) -> list[list[Any]]:
    """Returns all of each view, to be compared."""
    return [
        [
            index,
            picture[:, :high, :wide].tolist(),
            objects.boxes.tolist(),
            objects.labels.tolist(),
            None if objects.masks is None else objects.masks.tolist(),
        ]
        for index, picture, (high, wide), objects in zip(
            batch.indices.tolist(), batch.pictures, batch.sizes, batch.objects, strict=True
        )
    ]


@pytest.fixture(params=["short_side", "large"])
def config(request: pytest.FixtureRequest, coco_config: COCODataConfig) -> COCODataConfig:
    if request.param == "short_side":
        return coco_config
    return coco_config.model_copy(update={"train": LARGE})


def test_processes_workers_and_resuming_change_no_bit(
    pictures: DetectionSet, config: COCODataConfig
) -> None:
    whole = [parts(batch) for batch in take(pictures, config, 4)]
    before = set(psutil.Process().children())
    helped = take(pictures, config, 4, loading_processes=2)
    assert {one for one in psutil.Process().children() if one.is_running()} - before == set()
    assert [parts(batch) for batch in helped] == whole
    assert [parts(batch) for batch in take(pictures, config, 2, start=8)] == whole[2:]
    for rank in range(2):
        share = take(pictures, config, 4, rank=rank, world_size=2)
        assert [parts(batch) for batch in share] == [batch[rank::2] for batch in whole]


def test_the_callers_random_state_is_left_alone(
    pictures: DetectionSet, config: COCODataConfig
) -> None:
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = parts(take(pictures, config, 1)[0])
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(4)
    assert parts(take(pictures, config, 1)[0]) == first


def test_batches_hold_wide_or_tall_pictures(
    pictures: DetectionSet, coco_config: COCODataConfig
) -> None:
    groups = aspect_groups(pictures.pictures.sizes)
    for batch in take(pictures, coco_config, 2):
        assert all(side % 32 == 0 for side in batch.pictures.shape[2:])
    # 5 wide and 3 tall pictures: one batch of four is wide, the other mixed.
    kinds = [set(groups[batch.indices].tolist()) for batch in take(pictures, coco_config, 2)]
    assert {0} in kinds


def test_objects_lie_on_the_bright_pixels_of_the_pictures(
    pictures: DetectionSet, config: COCODataConfig
) -> None:
    """The set's objects are brighter than its noise, in a channel of their category."""
    train = config.train.model_copy(update={"photometric_distortion": 0.0, "copy_paste": 0.0})
    for batch in take(pictures, config.model_copy(update={"train": train}), 2):
        for picture, objects in zip(batch.pictures, batch.objects, strict=True):
            for label, mask in zip(objects.labels.tolist(), objects.masks, strict=True):
                high, wide = mask.shape
                # Labels are places in the list sorted by id, as the fixture's channels are.
                channel = picture[label - 1, :high, :wide].float()
                if int(mask.sum()) > 30:
                    assert channel[mask > 0].mean() > 130


@pytest.mark.parametrize("processes", [0, 2])
@pytest.mark.parametrize("world_size", [1, 3])
def test_evaluation_shows_each_picture_once(
    pictures: DetectionSet, coco_config: COCODataConfig, world_size: int, processes: int
) -> None:
    seen = []
    for rank in range(world_size):
        stream = detection_evaluation_batches(
            pictures, coco_config, rank=rank, world_size=world_size, loading_processes=processes
        )
        for batch in stream:
            seen += batch.indices.tolist()
            assert len(batch) <= 2
            assert all(min(size) == 48 for size in batch.sizes)
            assert [len(objects) for objects in batch.objects] == [0] * len(batch)
    assert sorted(seen) == list(range(len(pictures)))


@pytest.fixture(params=["truncated", "gone", "another size"])
def broken(request: pytest.FixtureRequest, own_coco: Path) -> DetectionSet:
    """The small set, its third picture unusable since it was opened."""
    pictures = opened(COCODataConfig(root=str(own_coco)), own_coco)
    path = Path(pictures.source) / pictures.name(2)
    if request.param == "truncated":
        path.write_bytes(path.read_bytes()[:300])
    elif request.param == "gone":
        path.unlink()
    else:
        Image.new("RGB", (30, 20)).save(path)
    return pictures


@pytest.mark.parametrize("processes", [0, 2])
def test_an_unusable_picture_ends_the_run_and_is_named(
    broken: DetectionSet, coco_config: COCODataConfig, processes: int
) -> None:
    with pytest.raises(DamagedPictureError) as caught:
        take(broken, coco_config, 2, loading_processes=processes)
    assert broken.name(2) in str(caught.value)
    assert str(caught.value).endswith("; set data.on_error=skip to leave such pictures out")
    assert "\n" not in str(caught.value)


def test_a_skipped_picture_is_replaced_by_the_next_and_no_other_changes(
    broken: DetectionSet, pictures: DetectionSet, coco_config: COCODataConfig
) -> None:
    skipping = coco_config.model_copy(update={"on_error": "skip"})
    expected = [view for batch in take(pictures, coco_config, 2) for view in parts(batch)]
    for processes in (0, 2):
        batches = take(broken, skipping, 2, loading_processes=processes)
        views = [view for batch in batches for view in parts(batch)]
        changed = [
            place
            for place, pair in enumerate(zip(expected, views, strict=True))
            if pair[0] != pair[1]
        ]
        assert [expected[place][0] for place in changed] == [2]
        assert [views[place][0] for place in changed] == [3]
        (failure,) = [one for batch in batches for one in batch.failures]
        assert failure.index == 2
        assert broken.name(2) in failure.text


def test_evaluation_shows_a_blank_view_for_a_skipped_picture(
    broken: DetectionSet, coco_config: COCODataConfig
) -> None:
    skipping = coco_config.model_copy(update={"on_error": "skip"})
    batches = list(
        detection_evaluation_batches(broken, skipping, rank=0, world_size=1, loading_processes=0)
    )
    sizes = {
        index: size
        for batch in batches
        for index, size in zip(batch.indices.tolist(), batch.sizes, strict=True)
    }
    assert sorted(sizes) == list(range(8))
    assert sizes[2] == (32, 32)
    (failure,) = [one for batch in batches for one in batch.failures]
    assert failure.index == 2
    assert broken.name(2) in failure.text


def test_copy_paste_without_masks_is_refused(
    pictures: DetectionSet, coco_config: COCODataConfig
) -> None:
    config = coco_config.model_copy(update={"train": LARGE})
    with pytest.raises(ConfigurationError, match=r"copy_paste.*masks"):
        detection_training_batches(
            pictures,
            config,
            detection_order(pictures, config.train, 0, 4),
            masks=False,
            start=0,
            batch_size=4,
            accumulation=1,
            rank=0,
            world_size=1,
            loading_processes=0,
        )


def encoded(kind: str, orientation: int) -> bytes:
    """A picture of 24 x 16 pixels with an EXIF orientation; 0 for none."""
    x, y = np.meshgrid(np.linspace(0, 255, 24), np.linspace(0, 255, 16))
    pixels = np.stack([x, y, 255 - (x + y) / 2], axis=2).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **({"exif": exif} if orientation else {}))
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_annotations_in_stored_pixels_get_the_stored_picture(kind: str, orientation: int) -> None:
    stored = decode(encoded(kind, 0))
    assert torch.equal(decode_annotated(encoded(kind, orientation), 24, 16), stored)


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_annotations_of_the_turned_size_get_the_turned_picture(orientation: int) -> None:
    picture = encoded("JPEG", orientation)
    assert torch.equal(decode_annotated(picture, 16, 24), decode(picture))


def test_a_picture_of_another_size_than_its_annotations_is_refused() -> None:
    with pytest.raises(DamagedPictureError, match="24 × 16 pixels, in the annotation file 24 × 17"):
        decode_annotated(encoded("PNG", 0), 24, 17)
