"""What the configuration says of a detector reaches torchvision's modules."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torchvision.ops import MultiScaleRoIAlign

Build = Callable[..., nn.Module]


def test_two_stages(build: Build) -> None:
    detector = build(
        proposals=77,
        region_samples=33,
        box_head_width=48,
        mask_head_width=12,
        pyramid_channels=20,
        anchor_sizes=(7, 11, 13, 17, 19),
        score_threshold=0.125,
        nms_threshold=0.375,
        detections_per_picture=5,
    )
    rpn, heads = detector.get_submodule("rpn"), detector.get_submodule("roi_heads")
    detector.train()
    assert (rpn.pre_nms_top_n(), rpn.post_nms_top_n()) == (77, 77)
    detector.eval()
    assert (rpn.pre_nms_top_n(), rpn.post_nms_top_n()) == (38, 38)
    assert rpn.anchor_generator.sizes == ((7,), (11,), (13,), (17,), (19,))
    assert rpn.anchor_generator.aspect_ratios == ((0.5, 1.0, 2.0),) * 5
    assert (rpn.nms_thresh, rpn.fg_bg_sampler.batch_size_per_image) == (0.7, 256)
    assert heads.fg_bg_sampler.batch_size_per_image == 33
    assert (heads.score_thresh, heads.nms_thresh, heads.detections_per_img) == (0.125, 0.375, 5)
    assert heads.box_head.fc6.weight.shape == (48, 20 * 7 * 7)
    assert heads.box_predictor.cls_score.weight.shape == (4, 48)
    assert heads.mask_head[3][0].weight.shape == (12, 12, 3, 3)
    assert heads.mask_predictor.mask_fcn_logits.weight.shape == (4, 12, 1, 1)


def test_published_defaults(build: Build) -> None:
    detector = build(proposals=2000)
    rpn = detector.get_submodule("rpn")
    assert (rpn.train().pre_nms_top_n(), rpn.post_nms_top_n()) == (2000, 2000)
    assert (rpn.eval().pre_nms_top_n(), rpn.post_nms_top_n()) == (1000, 1000)


def test_a_single_proposal_is_left_in_evaluation(build: Build) -> None:
    assert build(proposals=1).eval().get_submodule("rpn").post_nms_top_n() == 1


def test_second_heads_are_deeper_and_normalised(build: Build) -> None:
    detector = build(heads="v2", box_head_width=48, mask_head_width=12, pyramid_channels=20)
    keys = {name: tuple(p.shape) for name, p in detector.named_parameters()}
    assert keys["rpn.head.conv.1.0.weight"] == (20, 20, 3, 3)
    assert keys["backbone.fpn.inner_blocks.0.1.weight"] == (20,)
    assert keys["roi_heads.box_head.3.1.weight"] == (20,)
    assert keys["roi_heads.box_head.5.weight"] == (48, 20 * 7 * 7)
    assert keys["roi_heads.mask_head.3.1.weight"] == (12,)


@pytest.mark.parametrize(("heads", "loss"), [("v1", "l1"), ("v2", "giou")])
def test_retinanet(heads: str, loss: str, build: Build) -> None:
    detector = build(
        "retinanet",
        heads=heads,
        pyramid_channels=64,
        anchor_sizes=(32, 64, 128, 256, 512),
        score_threshold=0.125,
        nms_threshold=0.375,
        detections_per_picture=5,
    )
    assert (detector.score_thresh, detector.nms_thresh, detector.detections_per_img) == (
        0.125,
        0.375,
        5,
    )
    anchors = detector.get_submodule("anchor_generator")
    assert anchors.sizes[0] == (32, 40, 50)
    assert anchors.sizes[-1] == (512, 645, 812)
    head = detector.get_submodule("head")
    assert head.classification_head.cls_logits.weight.shape == (9 * 4, 64, 3, 3)
    assert head.regression_head._loss_type == loss
    normalised = any(isinstance(module, nn.GroupNorm) for module in head.modules())
    assert normalised == (heads == "v2")


def test_thresholds_act(build: Build, views: list[Tensor]) -> None:
    detector = build(detections_per_picture=3).eval()
    with torch.no_grad():
        assert [len(one["boxes"]) for one in detector(views)] == [3, 3]
        assert [len(one["boxes"]) for one in build(score_threshold=1.0).eval()(views)] == [0, 0]


@pytest.mark.parametrize("kind", ["faster_rcnn", "mask_rcnn"])
def test_regions_are_pooled_at_the_maps_scales_from_the_first_batch_on(
    kind: str, build: Build
) -> None:
    detector = build(kind)
    poolers = [module for module in detector.modules() if isinstance(module, MultiScaleRoIAlign)]
    assert poolers
    for pooler in poolers:
        # torchvision alone would take 1/2 for the first map after a batch of 33 pixels, padded.
        assert pooler.scales == [1 / 4, 1 / 8, 1 / 16, 1 / 32]
