"""What a person reads after a mistake: one line each, with the key, the value and the remedy."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.config.errors import ConfigurationError
from service.config.imagenet import ImageNetConfig
from service.config.loading import load

Load = Callable[..., ImageNetConfig]

_DURATION = "write a duration as a number and a unit: 90ep, 5000st or 0.5run"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        # Ranges and types; the union's tag stands in no path.
        (
            ["model.regularizer.p_l=1.25"],
            "model.regularizer.p_l: 1.25 is not allowed; allowed: number, ≥ 0 and ≤ 1",
        ),
        (
            ["model.depth=34.5"],
            "model.depth: 34.5 is not allowed; allowed: 18 or 34 or 50 or 101 or 152 or 200",
        ),
        (["optimizer.lr=-1"], "optimizer.lr: -1 is not allowed; allowed: number, > 0"),
        (["optimizer.lr=fast"], "optimizer.lr: 'fast' is not allowed; allowed: number, > 0"),
        (
            ["optimizer.momentum=1"],
            "optimizer.momentum: 1 is not allowed; allowed: number, ≥ 0 and < 1",
        ),
        (
            ["training.batch_size=2.5"],
            "training.batch_size: 2.5 is not allowed; allowed: whole number, ≥ 1",
        ),
        (
            ["training.clip_norm=.nan"],
            "training.clip_norm: nan is not allowed; allowed: number > 0 or null",
        ),
        (
            ["cluster.num_workers=aut"],
            "cluster.num_workers: 'aut' is not allowed; allowed: auto or whole number ≥ 0",
        ),
        (
            ["cluster.min_workers=3", "cluster.num_workers=2"],
            "cluster.min_workers: must not exceed cluster.num_workers, which is 2 (got 3)",
        ),
        (
            ["cluster.resize_interval=19"],
            "cluster.resize_interval: 19 is not allowed; allowed: number, ≥ 20",
        ),
        (
            ["training.precision=bf15"],
            "training.precision: 'bf15' is not allowed; allowed: auto or fp32 or bf16 or fp16",
        ),
        (
            ["training.compile=maybe"],
            "training.compile: 'maybe' is not allowed; allowed: true or false",
        ),
        (
            ["data.train.augmentation.kind=rand_augment", "data.train.augmentation.magnitude=31"],
            "data.train.augmentation.magnitude: 31 is not allowed; "
            "allowed: whole number, ≥ 0 and ≤ 30",
        ),
        (
            ["data.mean=[0.5, red, 0.5]"],
            "data.mean: [0.5, 'red', 0.5] is not allowed; allowed: list of 3 times number",
        ),
        (
            ["data.std=[1, 0, 1]"],
            "data.std: [1, 0, 1] is not allowed; allowed: list of 3 times number > 0",
        ),
        (
            ["data.on_error=ignore"],
            "data.on_error: 'ignore' is not allowed; allowed: fail or skip",
        ),
        (
            ["data.max_skipped_fraction=1.5"],
            "data.max_skipped_fraction: 1.5 is not allowed; allowed: number, ≥ 0 and ≤ 1",
        ),
        (
            ["data.loading_timeout=0"],
            "data.loading_timeout: 0 is not allowed; allowed: number > 0 or null",
        ),
        (["training.duration=90"], f"training.duration: {_DURATION} (got 90)"),
        (["schedule.warm_up.duration=5e"], f"schedule.warm_up.duration: {_DURATION} (got '5e')"),
        # Values that do not fit together.
        (
            ["model.regularizer.beta.low=2"],
            "model.regularizer.beta: low must not exceed high (got low 2.0, high 1.0)",
        ),
        (
            ["model.regularizer.alpha={low: 1, high: -1}"],
            "model.regularizer.alpha: low must not exceed high (got low 1.0, high -1.0)",
        ),
        (
            ["data.train.crop_area.low=0"],
            "data.train: crop_area must lie in (0, 1] (got low 0.0, high 1.0)",
        ),
        (
            ["data.train.crop_ratio.low=-1"],
            "data.train: crop_ratio must be positive (got low -1.0)",
        ),
        (
            ["data.root=/x", "data.evaluation.size=300"],
            "data.evaluation: size must not exceed resize (got size 300, resize 256)",
        ),
        # Unknown options and kinds.
        (
            ["model.regularizer.pl=0.25"],
            "unknown option 'model.regularizer.pl': "
            "did you mean model.regularizer.p_l or model.regularizer.level?",
        ),
        (
            ["training.batchsize=5"],
            "unknown option 'training.batchsize': "
            "did you mean training.batch_size or data.evaluation.batch_size?",
        ),
        (["modle.depth=50"], "unknown option 'modle': did you mean model or checkpoint.mode?"),
        (["zzz=1"], "unknown option 'zzz': see --help for all options"),
        (
            ["optimizer.kind=sgdd"],
            "optimizer.kind: must be one of sgd, adamw, lamb (got 'sgdd'); did you mean sgd?",
        ),
        (
            ["model.kind=vgg"],
            "model.kind: must be one of resnet, pyramidnet, cifar_resnet, cifar_wide_resnet, "
            "cifar_resnext, cifar_pyramidnet, shake_resnet (got 'vgg')",
        ),
        # Options of another kind.
        (
            ["model.regularizer.kind=none", "model.regularizer.p_l=0.25"],
            "model.regularizer.p_l: exists only with "
            "model.regularizer.kind=shakedrop or random_drop",
        ),
        (
            ["model.regularizer.kind=none", "model.regularizer.alpha.low=-1"],
            "model.regularizer.alpha: exists only with model.regularizer.kind=shakedrop",
        ),
        (
            ["optimizer.beta1=0.8"],
            "optimizer.beta1: exists only with optimizer.kind=adamw or lamb",
        ),
        (
            ["data.root=/x", "data.classes=3"],
            "data.classes: exists only with data.kind=drawn",
        ),
        # Sections, gaps and text that is no option.
        (["data.kind=folder"], "data.root: is required; give it with data.root=…"),
        (
            ["model=5"],
            "model: is a section; set its fields, for example model.kind=…",
        ),
        (
            ["loss=null"],
            "loss: is a section; set its fields, for example loss.kind=…",
        ),
        (["name=["], "name: cannot read '['; put it in quotes"),
        (
            ["model.regularizer={p_l: 0.1, p_l: 0.2}"],
            "model.regularizer: cannot read '{p_l: 0.1, p_l: 0.2}'; put it in quotes",
        ),
        (["resnet50"], "'resnet50' is not an option; write key.path=value"),
        (["=5"], "'=5' is not an option; write key.path=value"),
        (["model..depth=5"], "'model..depth=5' is not an option; write key.path=value"),
    ],
)
def test_a_mistake_is_told_in_one_line(
    loaded: Load, overrides: Sequence[str], message: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded(*overrides)
    assert str(caught.value) == message


def test_a_misspelt_section_leads_to_its_fields(loaded: Load) -> None:
    with pytest.raises(ConfigurationError, match=r"did you mean model\.regularizer\."):
        loaded("model.regulariser.p_l=0.25")


def test_every_mistake_gets_a_line_of_its_own(loaded: Load) -> None:
    with pytest.raises(ConfigurationError) as caught:
        loaded("model.regularizer.p_l=1.25", "optimizer.lr=-1", "modle.depth=50")
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "model.regularizer.p_l",
        "optimizer.lr",
        "unknown option 'modle'",
    ]


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_name_or_a_mistake_told_in_one_line(loaded: Load, text: str) -> None:
    message = ""
    try:
        name = loaded(f"name={text}").name
        assert name is None or isinstance(name, str)
    except ConfigurationError as error:
        message = str(error)
    assert message == "" or (message.startswith("name: ") and len(message.splitlines()) == 1)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigurationError, match=r"^tracking\.uri: holds a user") as caught:
        load(ImageNetConfig, overrides=["tracking.uri=https://ann:s3cret@host/path"])
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("duration", ["0.5run", "0ep"])
def test_the_length_of_the_run_is_no_fraction_of_itself(duration: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^training\.duration: the length of the run"):
        load(ImageNetConfig, overrides=[f"training.duration={duration}"])
