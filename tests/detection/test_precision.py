"""Under autocast and in another memory order a detector finds what it finds without."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from service.detection.precision import place_in_single_precision, predict_in_single_precision

KINDS = ("mask_rcnn", "faster_rcnn", "retinanet")
Build = Callable[..., nn.Module]


def anchors_of(detector: nn.Module) -> nn.Module:
    return getattr(detector, "anchor_generator", None) or detector.get_submodule(
        "rpn.anchor_generator"
    )


def placed_anchors(detector: nn.Module, views: list[Tensor]) -> list[Tensor]:
    """The anchors that a forward pass works with."""
    found: list[list[Tensor]] = []
    anchors = anchors_of(detector)
    handle = anchors.register_forward_hook(lambda *call: found.append(call[2]))
    with torch.no_grad():
        detector(views)
    handle.remove()
    return found[0]


@pytest.mark.parametrize("kind", KINDS)
def test_anchors_are_not_rounded(kind: str, build: Build) -> None:
    detector = build(kind, anchor_sizes=(9, 33, 65, 129, 259)).eval()
    views = [torch.zeros(3, 64, 640, dtype=torch.uint8)]
    expected = placed_anchors(detector, views)
    with torch.autocast("cpu", torch.bfloat16):
        found = placed_anchors(detector, views)
    # bf16 holds no odd number above 256: the last level's anchors would move, and stay moved.
    assert expected[0].max() > 512
    for anchors in (found, placed_anchors(detector, views)):
        assert all(torch.equal(*two) for two in zip(anchors, expected, strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("heads", ["v1", "v2"])
def test_detections_and_losses_are_in_single_precision(
    kind: str, heads: str, build: Build, views: list[Tensor], targets: list[dict[str, Tensor]]
) -> None:
    detector = build(kind, heads=heads)
    with torch.autocast("cpu", torch.bfloat16):
        losses = detector(views, targets)
        with torch.no_grad():
            found = detector.eval()(views)
    assert {loss.dtype for loss in losses.values()} == {torch.float32}
    assert all(loss.isfinite() for loss in losses.values())
    for one in found:
        assert one["boxes"].dtype == one["scores"].dtype == torch.float32
        if kind == "mask_rcnn":
            assert one["masks"].dtype == torch.float32
            assert one["masks"].shape == (len(one["boxes"]), 1, 28, 28)
        # Were it rounded to bf16, every coordinate would be.
        boxes = one["boxes"]
        assert not torch.equal(boxes.bfloat16().float(), boxes)


def test_the_layers_themselves_do_run_in_half_precision(build: Build, views: list[Tensor]) -> None:
    detector = build().eval()
    types: list[torch.dtype] = []
    detector.get_submodule("backbone.fpn").register_forward_hook(
        lambda *call: types.extend(value.dtype for value in call[2].values())
    )
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        detector(views)
    assert set(types) == {torch.bfloat16}


@pytest.mark.parametrize("kind", KINDS)
def test_channels_last(
    kind: str, build: Build, views: list[Tensor], targets: list[dict[str, Tensor]]
) -> None:
    # Draws for each value would fall elsewhere in another memory order.
    detector = build(kind, backbone={"regularizer": {"kind": "none"}})
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        losses = detector.train()(views, targets)
        results.append({name: loss.detach() for name, loss in losses.items()})
        detector.to(memory_format=torch.channels_last)
    for name, loss in results[0].items():
        torch.testing.assert_close(results[1][name], loss, rtol=1e-3, atol=1e-4)


def test_every_kind_of_output_is_converted() -> None:
    head = nn.Identity()
    predict_in_single_precision(head)
    half = torch.ones(2, dtype=torch.bfloat16)
    found = head({"one": [half], "two": (half, 3)})
    assert found["one"][0].dtype == found["two"][0].dtype == torch.float32
    assert found["two"][1] == 3


def test_anchors_see_shape_and_device_alone() -> None:
    class Recording(nn.Module):
        def forward(self, pictures: object, maps: list[Tensor]) -> tuple[object, list[Tensor]]:
            return pictures, maps

    anchors = Recording()
    place_in_single_precision(anchors)
    pictures, (seen,) = anchors("pictures", [torch.ones(2, 8, 3, 5, dtype=torch.bfloat16)])
    assert pictures == "pictures"
    assert (seen.shape, seen.dtype) == ((2, 8, 3, 5), torch.float32)
    assert seen.untyped_storage().nbytes() == 4  # no copy of the map
