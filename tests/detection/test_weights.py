"""Starting detectors from files: what is taken, what starts anew, what is refused."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from service.config.errors import ConfigurationError
from service.config.model import ResNetConfig
from service.detection.detectors import build_detector
from service.detection.weights import load_detector_weights
from service.detection.weights_report import DetectorLoadReport
from service.models import build_network

Build = Callable[..., nn.Module]
State = Mapping[str, Tensor]

BODY = "backbone.body."
POST = {"order": "post_activation"}


def classifier_state(**fields: object) -> dict[str, Tensor]:
    """The weights of a classifier, with statistics that tell it from another."""
    small = {"depth": 18, "width": 4, **fields}
    network = build_network(ResNetConfig.model_validate(small), classes=7)
    return shaken(network.state_dict())


def shaken(state: State) -> dict[str, Tensor]:
    return {
        key: value + torch.rand_like(value) if value.is_floating_point() else value + 3
        for key, value in state.items()
    }


def as_pth(state: State, root: Path) -> str:
    torch.save(dict(state), root / "weights.pth")
    return str(root / "weights.pth")


def without_counters(state: State) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}


def assert_body_is(detector: nn.Module, state: State) -> None:
    own = detector.get_submodule("backbone.body").state_dict()
    assert own.keys() == {key for key in state if not key.startswith("fc.")}
    for key, value in own.items():
        assert torch.equal(value, state[key]), key


def refusal(detector: nn.Module, path: str) -> str:
    """The one line that refuses the file; the detector keeps every value."""
    before = {key: value.clone() for key, value in detector.state_dict().items()}
    with pytest.raises(ConfigurationError) as error:
        load_detector_weights(detector, path)
    assert all(torch.equal(before[key], value) for key, value in detector.state_dict().items())
    message = str(error.value)
    assert message.startswith(f"model.weights: {path}: ")
    assert "\n" not in message
    return message


def counts(report: DetectorLoadReport) -> dict[str, tuple[int, int, int, int]]:
    return {
        part.name: (
            len(part.matched),
            len(part.missing),
            len(part.unexpected),
            len(part.reinitialised),
        )
        for part in report.parts
    }


class TestFromAClassifier:
    def test_checkpoint_folder(self, build: Build, tmp_path: Path) -> None:
        state = classifier_state()
        save_file(state, tmp_path / "model.safetensors")
        detector = build()
        before = {key: value.clone() for key, value in detector.state_dict().items()}
        report = load_detector_weights(detector, str(tmp_path))
        assert_body_is(detector, state)
        for key, value in detector.state_dict().items():
            assert key.startswith(BODY) or torch.equal(value, before[key])
        assert counts(report) == {
            "stem": (6, 0, 0, 0),
            "layer1": (24, 0, 0, 0),
            "layer2": (30, 0, 0, 0),
            "layer3": (30, 0, 0, 0),
            "layer4": (30, 0, 0, 0),
            "pyramid": (0, 16, 0, 0),
            "rpn": (0, 6, 0, 0),
            "box head": (0, 8, 0, 0),
            "mask head": (0, 12, 0, 0),
            "classifier": (0, 0, 2, 0),
        }
        assert set(report["classifier"].unexpected) == {f"{BODY}fc.weight", f"{BODY}fc.bias"}

    @pytest.mark.parametrize(
        "backbone",
        [POST, {"order": "erase_relu"}, {"order": "pre_activation"}],
        ids=lambda fields: fields["order"],
    )
    @pytest.mark.parametrize("kind", ["faster_rcnn", "retinanet"])
    def test_every_order_and_detector(
        self, kind: str, backbone: dict[str, object], build: Build, tmp_path: Path
    ) -> None:
        detector, state = build(kind, backbone=backbone), classifier_state(**backbone)
        report = load_detector_weights(detector, as_pth(state, tmp_path))
        assert_body_is(detector, state)
        tail = {"tail"} if backbone["order"] == "pre_activation" else set()
        matched = {part.name for part in report.parts if part.matched}
        assert matched == {"stem", "layer1", "layer2", "layer3", "layer4"} | tail

    def test_torchvisions_old_file(self, build: Build, tmp_path: Path) -> None:
        theirs = torchvision.models.resnet18(num_classes=5).state_dict()
        detector = build(backbone={**POST, "width": 64})
        load_detector_weights(detector, as_pth(shaken(theirs), tmp_path))
        report = load_detector_weights(detector, as_pth(without_counters(theirs), tmp_path))
        for key, value in without_counters(theirs).items():
            if not key.startswith("fc."):
                assert torch.equal(detector.state_dict()[BODY + key], value)
        assert report["stem"].missing == (f"{BODY}bn1.num_batches_tracked",)

    def test_frozen_parts_stay_frozen(self, build: Build, tmp_path: Path) -> None:
        detector = build(trained_stages=2)
        expected = {name: p.requires_grad for name, p in detector.named_parameters()}
        load_detector_weights(detector, as_pth(classifier_state(), tmp_path))
        assert {name: p.requires_grad for name, p in detector.named_parameters()} == expected


class TestFromADetector:
    @pytest.mark.parametrize("kind", ["mask_rcnn", "faster_rcnn", "retinanet"])
    @pytest.mark.parametrize("heads", ["v1", "v2"])
    def test_ours_again(
        self, heads: str, kind: str, build: Build, views: list[Tensor], tmp_path: Path
    ) -> None:
        source, target = build(kind, heads=heads), build(kind, heads=heads)
        save_file(source.state_dict(), tmp_path / "weights.safetensors")
        report = load_detector_weights(target, str(tmp_path / "weights.safetensors"))
        assert sum(count for count, *_ in counts(report).values()) == len(source.state_dict())
        assert {rest for _, *rest in map(tuple, counts(report).values()) for rest in rest} == {0}
        with torch.no_grad():
            for one, other in zip(source.eval()(views), target.eval()(views), strict=True):
                assert all(torch.equal(one[name], other[name]) for name in one)

    def test_torchvisions_with_other_categories(self, build: Build, tmp_path: Path) -> None:
        theirs = torchvision.models.detection.fasterrcnn_resnet50_fpn(
            weights=None, weights_backbone=None, num_classes=9
        )
        detector = build(
            "faster_rcnn",
            backbone={**POST, "depth": 50, "width": 64},
            pyramid_channels=256,
            box_head_width=1024,
        )
        own = detector.state_dict()["roi_heads.box_predictor.cls_score.weight"].clone()
        state = without_counters(theirs.state_dict())
        report = load_detector_weights(detector, as_pth(state, tmp_path))
        predictors = {
            f"roi_heads.box_predictor.{layer}.{kind}"
            for layer in ("cls_score", "bbox_pred")
            for kind in ("weight", "bias")
        }
        assert set(report["box head"].reinitialised) == predictors
        assert len(report["box head"].matched) == 4
        for key, value in detector.state_dict().items():
            if key in state and key not in predictors:
                assert torch.equal(value, state[key]), key
        loaded = detector.state_dict()["roi_heads.box_predictor.cls_score.weight"]
        assert torch.equal(loaded, own)
        assert (
            "box head, reinitialised: roi_heads.box_predictor.cls_score.weight, "
            "roi_heads.box_predictor.cls_score.bias, roi_heads.box_predictor.bbox_pred.weight, "
            "… (1 more)"
        ) in str(report).splitlines()

    def test_masks_start_anew_from_a_detector_of_boxes(self, build: Build, tmp_path: Path) -> None:
        source, target = build("faster_rcnn"), build("mask_rcnn")
        report = load_detector_weights(target, as_pth(source.state_dict(), tmp_path))
        assert counts(report)["box head"] == (8, 0, 0, 0)
        assert counts(report)["mask head"] == (0, 12, 0, 0)
        back = load_detector_weights(source, as_pth(target.state_dict(), tmp_path))
        assert counts(back)["mask head"] == (0, 0, 12, 0)

    def test_a_layer_is_taken_whole_or_not_at_all(self, build: Build, tmp_path: Path) -> None:
        # The second heads' pyramid normalises instead of adding a bias.
        source, target = build(heads="v1"), build(heads="v2")
        before = {key: value.clone() for key, value in target.state_dict().items()}
        report = load_detector_weights(target, as_pth(source.state_dict(), tmp_path))
        assert counts(report)["pyramid"] == (0, 40, 8, 8)
        key = "backbone.fpn.inner_blocks.0.0.weight"
        assert key in report["pyramid"].reinitialised
        assert torch.equal(target.state_dict()[key], before[key])

    @pytest.mark.parametrize("kind", ["mask_rcnn", "retinanet"])
    def test_torchvisions_first_keys(self, kind: str, build: Build, tmp_path: Path) -> None:
        source, target, reference = build(kind), build(kind), build(kind)
        former = {former_key(key): value for key, value in source.state_dict().items()}
        assert former.keys() != source.state_dict().keys()
        # torchvision's modules know their former keys.
        reference.load_state_dict(dict(former), strict=True)
        report = load_detector_weights(target, as_pth(former, tmp_path))
        assert not any(part.missing or part.unexpected for part in report.parts)
        for key, value in reference.state_dict().items():
            assert torch.equal(target.state_dict()[key], value), key


def former_key(key: str) -> str:
    """A key as torchvision's detectors had it before version 0.12."""
    key = re.sub(r"(fpn\.\w+_blocks\.\d)\.0\.", r"\1.", key)
    key = key.replace("rpn.head.conv.0.0.", "rpn.head.conv.")
    key = re.sub(
        r"mask_head\.(\d)\.0\.", lambda found: f"mask_head.mask_fcn{int(found[1]) + 1}.", key
    )
    return re.sub(
        r"(\w+_head\.conv)\.(\d)\.0\.", lambda found: f"{found[1]}.{2 * int(found[2])}.", key
    )


class TestRefusals:
    def test_nothing_of_the_backbone(self, build: Build, tmp_path: Path) -> None:
        path = as_pth({"features.0.weight": torch.ones(2), "fc.bias": torch.ones(2)}, tmp_path)
        message = refusal(build(), path)
        assert "it holds no tensor of the backbone (it begins with features.0.weight, " in message
        assert "the backbone with conv1.weight), which would start from random weights" in message

    def test_heads_without_a_backbone(self, build: Build, tmp_path: Path) -> None:
        state = {k: v for k, v in build().state_dict().items() if not k.startswith(BODY)}
        assert "it holds no tensor of the backbone" in refusal(build(), as_pth(state, tmp_path))

    def test_another_width(self, build: Build, tmp_path: Path) -> None:
        message = refusal(build(), as_pth(classifier_state(width=8), tmp_path))
        assert (
            "of another shape (conv1.weight is (8, 3, 7, 7), the network's (4, 3, 7, 7))" in message
        )

    def test_another_depth(self, build: Build, tmp_path: Path) -> None:
        message = refusal(build(), as_pth(classifier_state(depth=34), tmp_path))
        assert "checkpoint of another model: 96 unexpected (layer1.2.conv1.weight" in message

    def test_another_order(self, build: Build, tmp_path: Path) -> None:
        message = refusal(build(), as_pth(classifier_state(order="pre_activation"), tmp_path))
        assert "checkpoint of another model: " in message

    @pytest.mark.parametrize("whole", [True, False])
    def test_part_of_the_backbone(self, whole: bool, build: Build, tmp_path: Path) -> None:
        state = build().state_dict() if whole else classifier_state()
        prefix = BODY if whole else ""
        missing = f"{prefix}layer3.1.conv2.weight"
        kept = {key: value for key, value in state.items() if key != missing}
        message = refusal(build(), as_pth(kept, tmp_path))
        assert "1 of 120 tensors missing (layer3.1.conv2.weight)" in message

    def test_one_tensor_of_another_shape(self, build: Build, tmp_path: Path) -> None:
        state = dict(build().state_dict())
        state[f"{BODY}layer2.0.bn1.weight"] = torch.ones(9)
        message = refusal(build(), as_pth(state, tmp_path))
        assert "1 of another shape (layer2.0.bn1.weight is (9,), the network's (8,))" in message

    def test_missing_and_damaged_files(self, build: Build, tmp_path: Path) -> None:
        assert "no such file" in refusal(build(), str(tmp_path / "absent.pth"))
        assert "the folder holds no model.safetensors" in refusal(build(), str(tmp_path))
        path = as_pth(classifier_state(), tmp_path)
        Path(path).write_bytes(Path(path).read_bytes()[:5000])
        assert "damaged, cannot be read" in refusal(build(), path)


def test_half_precision_weights_keep_the_detectors_type(
    describe: Callable[..., object], tmp_path: Path
) -> None:
    detector = build_detector(describe(), 3, (0.5, 0.5, 0.5), (0.2, 0.2, 0.2))  # type: ignore[arg-type]  # the fixture's
    state = {key: value.half() for key, value in classifier_state().items()}
    load_detector_weights(detector, as_pth(state, tmp_path))
    weight = detector.get_parameter(f"{BODY}conv1.weight")
    assert weight.dtype == torch.float32
    assert torch.equal(weight, state["conv1.weight"].float())
