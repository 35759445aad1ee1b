"""Searched fields in MLflow: each value is shown once, under a short name of its own."""

import pytest

from service.config.base import Range
from service.config.cifar import CIFARConfig
from service.config.fields import describe
from service.config.imagenet import ImageNetConfig
from service.config.loading import load
from service.config.regularizer import ShakeDropConfig
from service.tracking.parameters import Params, comparison_params
from service.tracking.searched import short_names, with_searched

REGULARIZER = "model.regularizer"
SHAKE_SHAKE = ["model.kind=shake_resnet", f"{REGULARIZER}.kind=shake_shake"]
DROP_BLOCK = [f"{REGULARIZER}.kind=drop_block"]

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
    f"{REGULARIZER}.forward": ("even", "forward", SHAKE_SHAKE),
    f"{REGULARIZER}.backward": ("even", "backward", SHAKE_SHAKE),
    f"{REGULARIZER}.drop_prob": (0.25, "drop_prob", DROP_BLOCK),
    f"{REGULARIZER}.block_size": (3, "block_size", DROP_BLOCK),
    "training.batch_size": (96, "batch_size", []),
    "training.precision": ("fp16", "precision", []),
    "training.seed": (7, "seed", []),
    "training.average.decay": (0.5, "ema_decay", ["training.average.enabled=true"]),
    "optimizer.kind": ("lamb", "optimizer", []),
    "optimizer.lr": (0.0625, "lr", []),
    "optimizer.weight_decay": (0.001, "weight_decay", []),
    "schedule.kind": ("constant", "schedule", []),
    "mixing.mixup_alpha": (0.3, "mixup", []),
    "mixing.cutmix_alpha": (0.4, "cutmix", []),
    "loss.label_smoothing": (0.2, "label_smoothing", []),
    "data.train_pictures": (1000, "train_pictures", []),
    "data.train.cutout": (16, "cutout", []),
    "data.train.size": (160, "train_size", []),
    "data.train.augmentation.kind": ("trivial_augment", "augmentation", []),
}
LEAVES = {
    schema: {field.path for field in describe(schema())} for schema in (CIFARConfig, ImageNetConfig)
}


def shown(config: CIFARConfig | ImageNetConfig) -> Params:
    regularizer = config.model.regularizer
    alpha = None
    if isinstance(regularizer, ShakeDropConfig):
        low, high = regularizer.alpha.low, regularizer.alpha.high
        alpha = Range(low=-1.0 if low is None else low, high=1.0 if high is None else high)
    return comparison_params(config, "network", alpha)


@pytest.mark.parametrize("path", SHOWN)
def test_what_the_page_shows_is_not_shown_twice(path: str) -> None:
    value, name, recipe = SHOWN[path]
    schema = CIFARConfig if path in LEAVES[CIFARConfig] else ImageNetConfig
    if path == "data.train_pictures":
        schema = CIFARConfig
    recipe = [f"{REGULARIZER}.kind=shakedrop", *recipe] if recipe is not SHAKE_SHAKE else recipe
    names = short_names([path])
    assert names == {path: name}
    before = shown(load(schema, overrides=recipe))
    after = shown(load(schema, overrides=[*recipe, f"{path}={value}"]))
    assert before.get(name) != after[name] == value
    assert with_searched(after, {path: value}, names) == after  # type: ignore[dict-item]  # a leaf


def test_a_learning_rate_is_shown_as_the_run_has_it() -> None:
    """The page shows the peak at the run's own batch size, in all runs alike."""
    overrides = ["optimizer.lr=0.1", "optimizer.reference_batch_size=256"]
    params = shown(load(CIFARConfig, overrides=[*overrides, "training.batch_size=512"]))
    added = with_searched(params, {"optimizer.lr": 0.1}, short_names(["optimizer.lr"]))
    assert added["lr"] == 0.2


@pytest.mark.parametrize("schema", LEAVES)
def test_no_other_field_hides_behind_a_name_of_the_page(
    schema: type[CIFARConfig | ImageNetConfig],
) -> None:
    """Such a name would show another field's value as the searched one."""
    page = {name for _, name, _ in SHOWN.values()} | {"model", "data", "epochs", "steps"}
    others = LEAVES[schema] - SHOWN.keys() - {f"{REGULARIZER}.placement"}
    for path in others:
        assert short_names([path])[path] not in page, path


@pytest.mark.parametrize("schema", LEAVES)
def test_all_fields_together_have_names_of_their_own(
    schema: type[CIFARConfig | ImageNetConfig],
) -> None:
    names = short_names(LEAVES[schema])
    assert names.keys() == LEAVES[schema]
    assert len(set(names.values())) == len(names)
    assert {path: names[path] for path in SHOWN.keys() & names.keys()} == {
        path: SHOWN[path][1] for path in SHOWN.keys() & names.keys()
    }


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        ([], {}),
        (["optimizer.momentum"], {"optimizer.momentum": "momentum"}),
        # The first in the order of the alphabet has the short one.
        (
            ["schedule.warm_up.duration", "training.duration"],
            {"schedule.warm_up.duration": "duration", "training.duration": "training_duration"},
        ),
        (["a.x.low", "b.x.low"], {"a.x.low": "low", "b.x.low": "x_low"}),
        (["a.x", "b.x", "c.x"], {"a.x": "x", "b.x": "b_x", "c.x": "c_x"}),
    ],
)
def test_a_name_is_as_short_as_it_can_be(paths: list[str], expected: dict[str, str]) -> None:
    assert short_names(paths) == expected
    assert short_names(reversed(paths)) == expected


def test_values_keep_their_type_where_mlflow_has_one() -> None:
    point = {"a.whole": 3, "a.real": 0.5, "a.text": "x", "a.flag": True, "a.none": None}
    added = with_searched({"P_L": 0.5}, point, short_names(point))
    shown = ("P_L", 0.5), ("whole", 3), ("real", 0.5), ("text", "x"), ("flag", True)
    assert list(added.items()) == [*shown, ("none", "None")]


def test_fields_that_a_trial_does_not_have_are_left_out() -> None:
    names = short_names(["optimizer.momentum", "optimizer.beta1"])
    assert with_searched({}, {"optimizer.beta1": 0.9}, names) == {"beta1": 0.9}
