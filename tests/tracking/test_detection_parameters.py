"""The comparison page tells detectors apart, and shows no searched field twice."""

import pytest

from service.config.base import Range
from service.config.coco import COCOConfig
from service.config.fields import describe
from service.config.imagenet import ImageNetConfig
from service.config.loading import load
from service.config.regularizer import ShakeDropConfig
from service.tracking.parameters import (
    Params,
    comparison_params,
    data_name,
    detection_params,
    weights_name,
)
from service.tracking.searched import short_names, with_searched

ALPHA = Range(low=-1.0, high=1.0)
REGULARIZER = "model.backbone.regularizer"
JITTER = ["data.train.scale.kind=large_scale_jitter"]

# Fields that the comparison page shows anyway: another value, under which name, in which recipe.
SHOWN: dict[str, tuple[object, str, list[str]]] = {
    f"{REGULARIZER}.kind": ("random_drop", "regularizer", []),
    f"{REGULARIZER}.p_l": (0.7, "P_L", []),
    f"{REGULARIZER}.alpha.low": (-0.5, "alpha_low", []),
    f"{REGULARIZER}.alpha.high": (0.75, "alpha_high", []),
    f"{REGULARIZER}.beta.low": (0.25, "beta_low", []),
    f"{REGULARIZER}.beta.high": (0.75, "beta_high", []),
    f"{REGULARIZER}.level": ("batch", "level", []),
    f"{REGULARIZER}.gate": ("sample", "gate", []),
    "model.trained_stages": (3, "trained_stages", ["model.weights=x"]),
    "model.batch_norm": ("frozen", "batch_norm", ["model.weights=x"]),
    "model.backbone_lr_multiplier": (0.5, "backbone_lr_multiplier", []),
    "model.heads": ("v2", "heads", []),
    "model.weights": ("resnet50.pth", "weights", []),
    "training.batch_size": (8, "batch_size", []),
    "training.precision": ("bf16", "precision", []),
    "training.seed": (7, "seed", []),
    "training.average.decay": (0.5, "ema_decay", ["training.average.enabled=true"]),
    "schedule.kind": ("constant", "schedule", []),
    "optimizer.kind": ("adamw", "optimizer", []),
    "optimizer.lr": (0.0625, "lr", []),
    "optimizer.weight_decay": (0.001, "weight_decay", []),
    "data.train.scale.kind": ("large_scale_jitter", "scale", []),
    "data.train.scale.size": (512, "train_size", JITTER),
    "data.train.scale.low": (0.5, "scale_low", JITTER),
    "data.train.scale.high": (1.5, "scale_high", JITTER),
    "data.train.copy_paste": (0.5, "copy_paste", JITTER),
    "data.train.photometric_distortion": (0.5, "photometric_distortion", []),
}


def recipe(*overrides: str) -> COCOConfig:
    return load(COCOConfig, overrides=overrides)


def shown(config: COCOConfig) -> Params:
    regularizer = config.model.backbone.regularizer
    alpha = None
    if isinstance(regularizer, ShakeDropConfig):
        low, high = regularizer.alpha.low, regularizer.alpha.high
        alpha = Range(low=-1.0 if low is None else low, high=1.0 if high is None else high)
    return detection_params(config, "network", alpha)


FULL = (
    "model.weights=/runs/shakedrop-resnet152/step_00450000",
    "model.backbone.depth=152",
    f"{REGULARIZER}.kind=shakedrop",
    f"{REGULARIZER}.p_l=0.75",
    "model.trained_stages=3",
    "model.batch_norm=frozen",
    "model.backbone_lr_multiplier=0.5",
    "training.duration=12ep",
    "training.batch_size=8",
    "training.seed=3",
    "optimizer.lr=0.02",
    "optimizer.reference_batch_size=16",
    "schedule.kind=multi_step",
    "data.root=/data/coco/",
    "data.train.scale.sides=[672, 640, 800]",
    "data.train.copy_paste=0.5",
)
"""All that tells detectors apart."""


def test_a_detector_is_described_in_full() -> None:
    config = recipe(*FULL)
    params = detection_params(config, "resnet152", ALPHA)
    assert list(params.items()) == [
        ("model", "mask_rcnn"),
        ("backbone", "resnet152"),
        ("regularizer", "shakedrop"),
        ("P_L", 0.75),
        ("alpha_low", -1.0),
        ("alpha_high", 1.0),
        ("beta_low", 0.0),
        ("beta_high", 1.0),
        ("level", "pixel"),
        ("gate", "batch"),
        ("trained_stages", 3),
        ("batch_norm", "frozen"),
        ("backbone_lr_multiplier", 0.5),
        ("heads", "v1"),
        ("epochs", 12),
        ("batch_size", 8),
        ("lr", 0.01),
        ("weight_decay", 1e-4),
        ("optimizer", "sgd"),
        ("schedule", "multi_step"),
        ("precision", "fp32"),
        ("scale", "short_side"),
        ("side_low", 640),
        ("side_high", 800),
        ("copy_paste", 0.5),
        ("weights", "shakedrop-resnet152"),
        ("data", "coco"),
        ("seed", 3),
    ]
    # MLflow compares the first three that differ in ASCII order.
    assert sorted(params)[:3] == ["P_L", "alpha_high", "alpha_low"]


def test_what_is_off_is_not_shown() -> None:
    config = recipe(*JITTER, f"{REGULARIZER}.kind=none", "training.duration=500st")
    params = detection_params(config, "resnet50")
    off = {"P_L", "alpha_low", "epochs", "copy_paste", "photometric_distortion", "ema_decay"}
    assert not {*off, "side_low"} & params.keys()
    shown = {name: params[name] for name in ("steps", "train_size", "scale_low", "scale_high")}
    assert shown == {"steps": 500, "train_size": 1024, "scale_low": 0.1, "scale_high": 2.0}
    assert (params["weights"], params["data"]) == ("none", "drawn_scenes")


def test_shakedrop_needs_the_alpha_that_is_really_used() -> None:
    with pytest.raises(ValueError, match="alpha"):
        detection_params(recipe(f"{REGULARIZER}.kind=shakedrop"), "resnet50")


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (None, "none"),
        ("/storage/runs/a-run/step_00001200", "a-run"),
        ("/storage/runs/a#run/step_00001200/", "a#run"),
        ("step_00001200", "step_00001200"),
        ("/weights/resnet50-0676ba61.pth", "resnet50-0676ba61"),
        ("model.safetensors", "model"),
        ("/weights/a-folder.v2", "a-folder.v2"),
        ("s3://bucket/runs/a-run/step_00001200?region=eu-west-1", "a-run"),
        ("gs://bucket/resnet50.safetensors", "resnet50"),
        ("runs:/0123456789abcdef", "0123456789abcdef"),
        ("models:/shakedrop/3", "shakedrop/3"),
        ("models:/shakedrop@best", "shakedrop@best"),
    ],
)
def test_weights_have_a_short_name(address: str | None, name: str) -> None:
    assert weights_name(address) == name


def test_drawn_scenes_are_not_drawn_pictures() -> None:
    assert data_name(COCOConfig()) != data_name(ImageNetConfig())
    assert data_name(recipe("data.root=/data/coco-mini")) == "coco-mini"


def test_both_kinds_of_training_share_their_names() -> None:
    classification = comparison_params(ImageNetConfig(), "resnet50", ALPHA)
    shared = classification.keys() & detection_params(COCOConfig(), "resnet50", ALPHA).keys()
    assert classification.keys() - shared == {"train_size", "label_smoothing"}


@pytest.mark.parametrize("path", SHOWN)
def test_what_the_page_shows_is_not_shown_twice(path: str) -> None:
    value, name, overrides = SHOWN[path]
    overrides = [f"{REGULARIZER}.kind=shakedrop", *overrides]
    names = short_names([path])
    assert names == {path: name}
    before, after = shown(recipe(*overrides)), shown(recipe(*overrides, f"{path}={value}"))
    assert before.get(name) != after[name]
    assert after[name] == ("resnet50" if name == "weights" else value)
    assert with_searched(after, {path: value}, names) == after  # type: ignore[dict-item]  # a leaf


def test_no_other_field_hides_behind_a_name_of_the_page() -> None:
    """Such a name would show another field's value as the searched one."""
    page = shown(COCOConfig()).keys() | {name for _, name, _ in SHOWN.values()}
    others = {field.path for field in describe(COCOConfig())} - SHOWN.keys()
    hidden = {path for path in others if short_names([path])[path] in page}
    # A detector's weights are given in one place, and this is not it.
    assert hidden == {"model.backbone.weights"}
