"""What the tests of detectors share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from pydantic import TypeAdapter
from torch import Tensor, nn

from service.config.detector import DetectorChoice
from service.detection.detectors import build_detector

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
CATEGORIES = 3
SMALL_HEADS = {"mask_rcnn": ("box", "mask"), "faster_rcnn": ("box",), "retinanet": ()}

Views = list[Tensor]
Targets = list[dict[str, Tensor]]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(1703)


@pytest.fixture
def describe() -> Callable[..., DetectorChoice]:
    """A detector small enough for a test, all of it trained, unless the fields say otherwise."""

    def config(kind: str = "mask_rcnn", **fields: object) -> DetectorChoice:
        # RetinaNet's v2 normalises 32 groups of channels.
        channels = 32 if kind == "retinanet" else 8
        small: dict[str, object] = {
            "kind": kind,
            "pyramid_channels": channels,
            "anchor_sizes": (8, 16, 32, 64, 128),
            "detections_per_picture": 8,
            "score_threshold": 0.0,
            "trained_stages": 5,
            "batch_norm": "trained",
        }
        heads = SMALL_HEADS[kind]
        if heads:
            small |= {"proposals": 40, "region_samples": 16}
        small |= {f"{head}_head_width": 16 for head in heads}
        frozen = fields.get("trained_stages", 5) != 5 or fields.get("batch_norm") == "frozen"
        small |= {"weights": "given"} if frozen else {}
        backbone = {"kind": "resnet", "depth": 18, **_mapping(fields.pop("backbone", {}))}
        backbone |= {} if backbone["kind"] == "pyramidnet" else {"width": backbone.get("width", 4)}
        found: DetectorChoice = TypeAdapter(DetectorChoice).validate_python(
            small | fields | {"backbone": backbone}
        )
        return found

    return config


def _mapping(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value


@pytest.fixture
def build(describe: Callable[..., DetectorChoice]) -> Callable[..., nn.Module]:
    """A small detector of three categories, by its fields."""

    def detector(kind: str = "mask_rcnn", **fields: object) -> nn.Module:
        return build_detector(describe(kind, **fields), CATEGORIES, MEAN, STD)

    return detector


@pytest.fixture
def views() -> Views:
    """Two views of different shape."""
    return [torch.randint(0, 256, (3, *size), dtype=torch.uint8) for size in ((64, 96), (80, 64))]


@pytest.fixture
def targets(views: Views) -> Targets:
    """Two objects in the first view, one in the second."""
    boxes = [[[5.0, 5.0, 40.0, 50.0], [20.0, 20.0, 90.0, 60.0]], [[8.0, 12.0, 50.0, 70.0]]]
    return [_target(view, torch.tensor(own)) for view, own in zip(views, boxes, strict=True)]


@pytest.fixture
def no_targets(views: Views) -> Targets:
    """Pictures without objects."""
    return [_target(view, torch.zeros(0, 4)) for view in views]


def _target(view: Tensor, boxes: Tensor) -> dict[str, Tensor]:
    masks = torch.zeros(len(boxes), *view.shape[1:], dtype=torch.uint8)
    for mask, box in zip(masks, boxes.int().tolist(), strict=True):
        # A triangle: the mask is not its box.
        mask[box[1] : box[3], box[0] : box[2]] = 1
        mask.tril_(-box[1])
    return {"boxes": boxes, "labels": torch.arange(1, len(boxes) + 1), "masks": masks}


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    """torch.distributed with this process alone."""
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    dist.destroy_process_group()
