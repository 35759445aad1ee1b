"""The backbone: what the pyramid reads of each order, names, DropBlock, refusals."""

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from service.config.errors import ConfigurationError
from service.detection.detectors import lr_multipliers
from service.models import ResidualNetwork

Build = Callable[..., nn.Module]

ORDERS: dict[str, dict[str, object]] = {
    "post_activation": {"order": "post_activation"},
    "erase_relu": {"order": "erase_relu"},
    "pre_activation": {"order": "pre_activation"},
    "pyramidnet": {"kind": "pyramidnet", "alpha": 8},
}


def body_of(detector: nn.Module) -> ResidualNetwork:
    body = detector.get_submodule("backbone.body")
    assert isinstance(body, ResidualNetwork)
    return body


def maps_read(detector: nn.Module, pictures: Tensor) -> list[Tensor]:
    """What the pyramid reads."""
    found: list[dict[str, Tensor]] = []
    fpn = detector.get_submodule("backbone.fpn")
    handle = fpn.register_forward_pre_hook(lambda _module, inputs: found.append(inputs[0]))
    detector.get_submodule("backbone")(pictures)
    handle.remove()
    assert list(found[0]) == [str(level) for level in range(len(found[0]))]
    return list(found[0].values())


def stages_of(body: ResidualNetwork, x: Tensor) -> list[Tensor]:
    """The outputs of the stages, one after the other."""
    for name in body.stem_names:
        x = body.get_submodule(name)(x)
    outputs = []
    for name in body.stage_names:
        x = body.get_submodule(name)(x)
        outputs.append(x)
    return outputs


def lively(detector: nn.Module) -> nn.Module:
    """The detector with normalisation that is not at its trivial start."""
    for module in detector.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.5)
            nn.init.normal_(module.running_mean, std=0.5)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
    return detector


class TestWhatThePyramidReads:
    @pytest.mark.parametrize("order", ORDERS)
    def test_what_the_next_layer_with_weights_reads(self, order: str, build: Build) -> None:
        detector = lively(build(backbone=ORDERS[order])).eval()
        body, pictures = body_of(detector), torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            expected = stages_of(body, pictures)
            if order in ("pre_activation", "pyramidnet"):
                for level, following in enumerate(body.stage_names[1:]):
                    norm = body.get_submodule(f"{following}.0.bn1")
                    expected[level] = norm(expected[level])
                    if order == "pre_activation":
                        expected[level] = F.relu(expected[level])
                expected[-1] = F.relu(body.get_submodule("last_bn")(expected[-1]))
            found = maps_read(detector, pictures)
        assert [map.shape[1] for map in found] == list(body.feature_channels)
        assert [map.shape[2] for map in found] == [16, 8, 4, 2]
        for map, wanted in zip(found, expected, strict=True):
            torch.testing.assert_close(map, wanted)

    @pytest.mark.parametrize("order", ORDERS)
    def test_retinanet_leaves_out_the_first_stage(self, order: str, build: Build) -> None:
        detector = build("retinanet", backbone=ORDERS[order]).eval()
        pictures = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            found = maps_read(detector, pictures)
            maps = detector.get_submodule("backbone")(pictures)
        assert [map.shape[1] for map in found] == list(body_of(detector).feature_channels[1:])
        assert {name: map.shape[2] for name, map in maps.items()} == {
            "0": 8, "1": 4, "2": 2, "p6": 1, "p7": 1
        }  # fmt: skip

    @pytest.mark.parametrize("order", ORDERS)
    def test_each_normalisation_sees_a_batch_once(self, order: str, build: Build) -> None:
        detector = build(backbone=ORDERS[order]).train()
        detector.get_submodule("backbone")(torch.randn(2, 3, 64, 64))
        counts = [
            int(module.num_batches_tracked or 0)
            for module in body_of(detector).modules()
            if isinstance(module, nn.BatchNorm2d)
        ]
        assert counts == [1] * len(counts)

    @pytest.mark.parametrize("order", ORDERS)
    def test_copies_read_their_own_layers(self, order: str, build: Build) -> None:
        detector = build(backbone=ORDERS[order]).eval()
        twin, pictures = copy.deepcopy(detector), torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            expected = maps_read(detector, pictures)
            for parameter in detector.parameters():
                parameter.zero_()
            found = maps_read(twin, pictures)
        assert all(torch.equal(*two) for two in zip(found, expected, strict=True))


class TestLastMapsOfRetinaNet:
    @pytest.mark.parametrize(("heads", "reads"), [("v1", "pyramid"), ("v2", "network")])
    def test_p6_reads(self, heads: str, reads: str, build: Build) -> None:
        # The last stage has as many channels as the pyramid, so they tell nothing.
        detector = build("retinanet", heads=heads, backbone={"depth": 18, "width": 4})
        assert body_of(detector).feature_channels[-1] == 32
        detector.eval()
        pictures = torch.randn(1, 3, 64, 64)
        with torch.no_grad():
            read = maps_read(detector, pictures)
            maps = detector.get_submodule("backbone")(pictures)
            p6 = detector.get_submodule("backbone.fpn.extra_blocks.p6")
            source = maps["2"] if reads == "pyramid" else read[-1]
            assert torch.equal(maps["p6"], p6(source))


class TestPyramidDropBlock:
    def test_acts_on_each_map_in_training_alone(self, build: Build) -> None:
        drop = {"drop_prob": 0.3, "block_size": 2}
        plain_sum = {"regularizer": {"kind": "none"}}
        detector = build("retinanet", pyramid_drop_block=drop, backbone=plain_sum)
        plain = build("retinanet", backbone=plain_sum)
        assert detector.state_dict().keys() == plain.state_dict().keys()
        plain.load_state_dict(detector.state_dict())
        pictures = torch.randn(2, 3, 256, 256)
        backbones = [one.get_submodule("backbone") for one in (detector, plain)]
        with torch.no_grad():
            dropped, whole = (backbone.train()(pictures) for backbone in backbones)
            ours, theirs = (backbone.eval()(pictures) for backbone in backbones)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
        for name, map in dropped.items():
            kept = map != 0
            assert kept.logical_not().any(), name
            scale = kept.numel() / kept.sum()
            torch.testing.assert_close(map[kept], (whole[name] * scale)[kept], rtol=1e-4, atol=1e-5)

    def test_none_for_other_detectors(self, build: Build) -> None:
        assert build("mask_rcnn").get_submodule("backbone").drop_block is None


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", ["mask_rcnn", "faster_rcnn", "retinanet"])
@pytest.mark.parametrize("heads", ["v1", "v2"])
def test_every_detector_on_every_order_learns_and_detects(
    order: str,
    kind: str,
    heads: str,
    build: Build,
    views: list[Tensor],
    targets: list[dict[str, Tensor]],
) -> None:
    detector = build(kind, heads=heads, backbone=ORDERS[order])
    losses = detector.train()(views, targets)
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in detector.parameters())
    with torch.no_grad():
        found = detector.eval()(views)
    assert [len(one["boxes"]) for one in found] == [8, 8]
    for view, one in zip(views, found, strict=True):
        right, bottom = one["boxes"][:, 2].max(), one["boxes"][:, 3].max()
        assert right <= view.shape[2]
        assert bottom <= view.shape[1]
        assert one["labels"].min() >= (0 if kind == "retinanet" else 1)


def test_keys_have_torchvisions_parts(build: Build) -> None:
    keys = build(backbone={"order": "post_activation"}).state_dict().keys()
    for key in (
        "backbone.body.conv1.weight",
        "backbone.body.layer1.0.conv1.weight",
        "backbone.body.layer4.1.bn2.running_var",
        "backbone.fpn.inner_blocks.0.0.weight",
        "rpn.head.conv.0.0.weight",
        "roi_heads.box_predictor.cls_score.weight",
        "roi_heads.mask_predictor.mask_fcn_logits.weight",
    ):
        assert key in keys
    assert not [key for key in keys if ".fc." in key or "transform" in key]


class TestRefusals:
    def test_errors_name_the_backbone(self, build: Build) -> None:
        regularizer = {"kind": "drop_block", "stages": 5}
        with pytest.raises(ConfigurationError) as error:
            build(backbone={"regularizer": regularizer})
        assert str(error.value).startswith("model.backbone.regularizer.stages: 5 exceeds")

    def test_shake_shake(self, build: Build) -> None:
        with pytest.raises(ConfigurationError, match=r"^model\.backbone\.regularizer\.kind: "):
            build(backbone={"regularizer": {"kind": "shake_shake"}})

    def test_groups_of_retinanets_second_heads(self, build: Build) -> None:
        with pytest.raises(ConfigurationError, match=r"^model.pyramid_channels: .* \(got 40\)"):
            build("retinanet", heads="v2", pyramid_channels=40)


def test_learning_rate_of_the_network_alone(describe: Callable[..., object], build: Build) -> None:
    factors = lr_multipliers(describe(backbone_lr_multiplier=0.1))
    assert factors == {"backbone.body.": 0.1}
    names = [name for name, _ in build().named_parameters()]
    scaled = [name for name in names if name.startswith(tuple(factors))]
    assert len(scaled) == len(list(body_of(build()).parameters()))
    assert lr_multipliers(describe()) == {}
