"""Post-activation detectors are torchvision's: same keys, same losses, same detections."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from service.config.detector import DetectorChoice
from service.detection.detectors import build_detector

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CATEGORIES = 3
RESNET50 = {"depth": 50, "width": 64, "order": "post_activation", "regularizer": {"kind": "none"}}
BUILDERS = {
    "mask_rcnn": "maskrcnn_resnet50_fpn",
    "faster_rcnn": "fasterrcnn_resnet50_fpn",
    "retinanet": "retinanet_resnet50_fpn",
}
# Less than published where that costs time, the rest as published.
OURS: dict[str, dict[str, object]] = {
    "mask_rcnn": {"box_head_width": 1024, "mask_head_width": 256, "region_samples": 24},
    "faster_rcnn": {"box_head_width": 1024, "region_samples": 24},
    "retinanet": {},
}
TWO_STAGES = {
    "rpn_pre_nms_top_n_train": 40,
    "rpn_pre_nms_top_n_test": 20,
    "rpn_post_nms_top_n_train": 40,
    "rpn_post_nms_top_n_test": 20,
    "box_batch_size_per_image": 24,
    "box_score_thresh": 0.0,
    "box_detections_per_img": 8,
}
THEIRS: dict[str, dict[str, Any]] = {
    "mask_rcnn": TWO_STAGES,
    "faster_rcnn": TWO_STAGES,
    "retinanet": {"score_thresh": 0.0, "detections_per_img": 8},
}

Views = list[Tensor]
Targets = list[dict[str, Tensor]]
Describe = Callable[..., DetectorChoice]


def pair(describe: Describe, kind: str, heads: str) -> tuple[nn.Module, nn.Module]:
    """A detector of ours and torchvision's with the same weights."""
    config = describe(
        kind,
        heads=heads,
        backbone=RESNET50,
        pyramid_channels=256,
        anchor_sizes=(32, 64, 128, 256, 512),
        **OURS[kind],
    )
    ours = build_detector(config, CATEGORIES, MEAN, STD)
    name = BUILDERS[kind] + ("_v2" if heads == "v2" else "")
    with torch.device("meta"), warnings.catch_warnings():
        # Drawing weights on the meta device does nothing, and says so.
        warnings.simplefilter("ignore")
        theirs = getattr(torchvision.models.detection, name)(
            weights=None, weights_backbone=None, num_classes=CATEGORIES + 1, **THEIRS[kind]
        )
    copies = {key: value.clone() for key, value in ours.state_dict().items()}
    theirs.load_state_dict(copies, strict=True, assign=True)
    return ours, _off_the_meta_device(theirs)


def _off_the_meta_device(detector: nn.Module) -> nn.Module:
    for module in detector.modules():
        if hasattr(module, "cell_anchors"):
            module.cell_anchors = [
                module.generate_anchors(sides, ratios)
                for sides, ratios in zip(module.sizes, module.aspect_ratios, strict=True)
            ]
    return detector


def trained_once(detector: nn.Module, views: Views, targets: Targets) -> dict[str, Tensor]:
    """The losses of a step, whose gradients stay."""
    detector.train()
    torch.manual_seed(5)  # of the samplers of anchors and regions
    losses: dict[str, Tensor] = detector(views, targets)
    torch.stack(list(losses.values())).sum().backward()
    return losses


@pytest.mark.parametrize("heads", ["v1", "v2"])
@pytest.mark.parametrize("kind", BUILDERS)
def test_losses_gradients_and_detections_are_torchvisions(
    kind: str, heads: str, describe: Describe, views: Views, targets: Targets
) -> None:
    ours, theirs = pair(describe, kind, heads)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.transform = ours.transform  # its own is compared below
    expected = trained_once(theirs, views, targets)
    losses = trained_once(ours, views, targets)
    assert losses.keys() == expected.keys()
    for name, loss in losses.items():
        assert torch.equal(loss, expected[name]), name
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        # Sums over the readers of a map run in another order.
        error = (parameter.grad - gradients[name]).norm()
        assert error <= 1e-4 * gradients[name].norm() + 1e-7, name
    with torch.no_grad():
        found, wanted = ours.eval()(views), theirs.eval()(views)
    for one, other in zip(found, wanted, strict=True):
        assert one.keys() == other.keys()
        assert len(one["boxes"]) == 8
        assert all(torch.equal(one[name], other[name]) for name in one)


def test_with_torchvisions_own_input_too(describe: Describe, views: Views) -> None:
    # No view is resized: the shorter sides are what torchvision resizes them to.
    ours, theirs = (detector.eval() for detector in pair(describe, "mask_rcnn", "v1"))
    theirs.transform = GeneralizedRCNNTransform(64, 1333, MEAN, STD).eval()
    with torch.no_grad():
        found, wanted = ours(views), theirs([view / 255 for view in views])
    for view, one, other in zip(views, found, wanted, strict=True):
        torch.testing.assert_close(one["boxes"], other["boxes"], rtol=0, atol=1e-2)
        torch.testing.assert_close(one["scores"], other["scores"], rtol=1e-4, atol=1e-5)
        assert torch.equal(one["labels"], other["labels"])
        pasted = paste_masks_in_image(one["masks"], one["boxes"], tuple(view.shape[1:]))
        torch.testing.assert_close(pasted, other["masks"], rtol=0, atol=1e-2)


@pytest.mark.parametrize("stages", range(6))
def test_the_same_convolutions_train(
    stages: int, describe: Describe, build: Callable[..., nn.Module]
) -> None:
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        backbone = resnet_fpn_backbone(
            backbone_name="resnet18", weights=None, trainable_layers=stages
        )
        theirs = FasterRCNN(backbone, num_classes=CATEGORIES + 1)
    ours = build(
        "faster_rcnn",
        backbone={"order": "post_activation"},
        trained_stages=stages,
        batch_norm="frozen",
    )
    # torchvision's frozen normalisation has no parameters.
    expected = {name for name, p in theirs.named_parameters() if p.requires_grad}
    assert {name for name, p in ours.named_parameters() if p.requires_grad} == expected - {
        name for name in expected if ".bn1." in name
    }
    assert any(name.startswith("backbone.body.") for name in expected) == (stages > 0)
