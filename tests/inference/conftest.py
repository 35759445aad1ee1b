"""Tiny networks, trained for real."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from service.classification.task import ClassificationTask
from service.config.cifar import CIFARConfig
from service.config.coco import COCOConfig
from service.config.imagenet import ImageNetConfig
from service.config.loading import load, to_yaml
from service.config.run import RunConfig
from service.detection.task import DetectionTask
from service.training.local import LocalWorker
from service.training.loop import train
from service.training.retention import checkpoint_folders
from service.training.settings import Settings
from service.training.task import Task

COMMON = (
    "data.loading_processes=0",
    "training.log_every=1",
    "training.average.enabled=true",
    "training.average.decay=0.5",
    "checkpoint.every_minutes=null",
    "checkpoint.keep=100",
)
CLASSIFIER = (
    *COMMON,
    "data.train_pictures=32",
    "data.evaluation_pictures=21",
    "data.classes=7",
    "data.picture_size=24",
    "data.train.size=16",
    "data.evaluation.resize=18",
    "data.evaluation.size=16",
    "data.evaluation.batch_size=8",
    "model.kind=cifar_resnet",
    "model.depth=8",
    "model.width=4",
    "model.regularizer.kind=shakedrop",
    # In the middle of the run the strength is not yet the configured one.
    "model.regularizer.ramp.over=1run",
    "training.duration=2ep",
    "training.batch_size=8",
    "training.channels_last=true",
)
DETECTOR = (
    *COMMON,
    "data.train_pictures=8",
    "data.evaluation_pictures=5",
    "data.picture_size=48",
    "data.train.scale.sides=[32]",
    "data.evaluation.short_side=32",
    "data.evaluation.longest=64",
    "model.backbone.kind=resnet",
    "model.backbone.depth=18",
    "model.backbone.width=4",
    "model.pyramid_channels=8",
    "model.anchor_sizes=[8,16,32,64,128]",
    "model.proposals=40",
    "model.region_samples=16",
    "model.box_head_width=16",
    "model.mask_head_width=8",
    "model.score_threshold=0.0",
    "model.detections_per_picture=6",
    "training.duration=1ep",
    "training.batch_size=4",
)


def train_here(
    config: RunConfig,
    storage: Path,
    task: Callable[..., Task],  # type: ignore[type-arg]  # any batch
) -> list[Path]:
    """Trains a configuration in this process; returns its checkpoints, oldest first."""
    assert config.name is not None
    (storage / config.name).mkdir()
    worker = LocalWorker(
        storage / config.name,
        torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu"),
        1,
        config.checkpoint,
        lambda step, metrics: None,
        lambda path, content: None,
        lambda text: None,
        lambda: False,
    )
    parts = config.training, config.optimizer, config.schedule, config.checkpoint
    train(task(config, storage, worker), worker, Settings(*parts, to_yaml(config)))
    return checkpoint_folders(storage / config.name)[::-1]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def classifiers(storage: Path) -> list[Path]:
    """Two checkpoints of a classifier: in the middle of its run and at the end."""
    options = ["name=classifier", f"storage.path={storage}", *CLASSIFIER]
    return train_here(load(ImageNetConfig, (), options), storage, ClassificationTask)


@pytest.fixture(scope="session")
def detector(storage: Path) -> Path:
    """A checkpoint of a Mask R-CNN."""
    options = ["name=detector", f"storage.path={storage}", *DETECTOR]
    return train_here(load(COCOConfig, (), options), storage, DetectionTask)[-1]


@pytest.fixture(scope="session")
def train_small() -> Callable[[Path, Path], Path]:
    """Trains on small pictures in a folder of Parquet files; returns the checkpoint."""

    def trained(storage: Path, root: Path) -> Path:
        options = [
            "name=small",
            f"storage.path={storage}",
            *COMMON,
            "data.kind=parquet",
            f"data.root={root}",
            "model.depth=8",
            "model.width=4",
            "training.duration=1ep",
            "training.batch_size=16",
        ]
        storage.mkdir()
        return train_here(load(CIFARConfig, (), options), storage, ClassificationTask)[-1]

    return trained
