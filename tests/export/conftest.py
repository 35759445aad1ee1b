"""Checkpoints of tiny networks in the middle of a run, and pictures as files."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from service.config.coco import COCOConfig
from service.config.imagenet import ImageNetConfig
from service.config.loading import load, to_yaml
from service.data.drawing.rendering import render
from service.data.drawing.scene import draw_scene
from service.data.drawing.shapes import SHAPES
from service.data.preprocessing import preprocessing
from service.detection.detectors import build_detector
from service.export.command import export
from service.models.build import build_network
from service.models.network import ResidualNetwork
from service.training.checkpoint import CheckpointContent, write_checkpoint

CLASSES = ("chêne", "épicéa", "hêtre", "if", "orme")
CLASSIFIER = (
    "data.evaluation.resize=36",
    "data.evaluation.size=32",
    "model.kind=cifar_resnet",
    "model.depth=8",
    "model.width=4",
    # An output more than there are classes.
    "model.classes=6",
    "model.regularizer.kind=shakedrop",
    # In the middle of the run the strength is not yet the configured one.
    "model.regularizer.ramp.over=1run",
    "training.duration=4ep",
    "training.batch_size=8",
    "training.channels_last=true",
)
DETECTOR = (
    "data.evaluation.short_side=64",
    "data.evaluation.longest=96",
    "model.backbone.kind=resnet",
    "model.backbone.depth=18",
    "model.backbone.width=4",
    "model.pyramid_channels=8",
    "model.anchor_sizes=[8,16,32,64,128]",
    "model.proposals=40",
    "model.box_head_width=16",
    "model.mask_head_width=8",
    "model.score_threshold=0.0",
    "model.detections_per_picture=6",
)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 15 JPEG files of several sizes."""
    folder = tmp_path_factory.mktemp("pictures")
    for number, shape in enumerate((*SHAPES, *SHAPES)[:15]):
        scene = draw_scene(shape, 60 + 8 * number, np.random.default_rng(number))
        Image.fromarray(render(scene)).save(folder / f"{number:02}.jpg", quality=90)
    return folder


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier after one of its four epochs."""
    config = load(ImageNetConfig, (), ["name=trees", *CLASSIFIER])
    torch.manual_seed(1)
    network = build_network(config.model, 6)
    settled = {name: value.clone() for name, value in _settled(network).items()}
    content = CheckpointContent(
        model=build_network(config.model, 6).state_dict(),
        ema=settled,
        state={"position": 80},
        config_yaml=to_yaml(config),
        metrics={"train/epoch": 1.0, "val/top1": 10.0, "val/ema_top1": 20.0, "time/x": 3.0},
        metadata={
            "task": "classification",
            "classes": list(CLASSES),
            "preprocessing": preprocessing(config.data),
        },
    )
    folder = tmp_path_factory.mktemp("runs") / "trees" / "step_00000010"
    write_checkpoint(folder, content)
    return folder


@pytest.fixture(scope="session")
def exported(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, pictures: Path) -> Path:
    """The classifier in all forms."""
    output = tmp_path_factory.mktemp("exported") / "trees"
    arguments = ["--checkpoint", str(checkpoint), "--output", str(output), str(pictures)]
    assert export(arguments) == 0
    return output


@pytest.fixture(scope="session")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Mask R-CNN that was never trained."""
    config = load(COCOConfig, (), DETECTOR)
    torch.manual_seed(1)
    network = build_detector(config.model, 3, config.data.mean, config.data.std)
    metadata: dict[str, Any] = {
        "task": "detection",
        "categories": [{"id": one, "name": f"thing {one}"} for one in (1, 4, 9)],
    }
    state = {name: value.clone() for name, value in network.state_dict().items()}
    content = CheckpointContent(state, None, {"position": 0}, to_yaml(config), {}, metadata)
    folder = tmp_path_factory.mktemp("detectors") / "step_00000001"
    write_checkpoint(folder, content)
    return folder


def _settled(network: ResidualNetwork) -> dict[str, Tensor]:
    """Gives statistics to the normalisation and several likeliest classes; returns the state."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    blots = functional.interpolate(torch.randn(64, 3, 4, 4), 32, mode="bilinear")
    with torch.no_grad():
        network.fc.weight *= 10
        network.train()(blots)
        network.fc.bias -= network.eval()(blots).mean(0)
    return network.state_dict()
