"""Overrides: spellings, values, kinds and what they keep."""

from collections.abc import Callable, Sequence

import pytest
from pydantic import ValidationError

from service.config.base import Range
from service.config.command_line import parse_command
from service.config.data import FolderDataConfig, ShardsDataConfig
from service.config.errors import ConfigurationError
from service.config.imagenet import ImageNetConfig
from service.config.loading import load
from service.config.optimization import AdamWConfig, LAMBConfig, MultiStepConfig
from service.config.regularizer import PlainSumConfig, ShakeDropConfig

Load = Callable[..., ImageNetConfig]


@pytest.mark.parametrize(
    "arguments",
    [
        ["model.regularizer.p_l=0.25", "training.log_every=7"],
        ["--model.regularizer.p_l=0.25", "--training.log_every=7"],
        ["--model.regularizer.p_l", "0.25", "--training.log_every", "7"],
        ["--model.regularizer.p_l", "0.25", "training.log_every=7"],
        ["model.regularizer={p_l: 0.25}", "training={log_every: 7}"],
    ],
)
def test_all_spellings_set_the_same_field(loaded: Load, arguments: Sequence[str]) -> None:
    config = loaded(*parse_command(arguments, []).overrides)
    default = ImageNetConfig()
    regularizer = ShakeDropConfig(p_l=0.25)
    assert config.model == default.model.model_copy(update={"regularizer": regularizer})
    assert config.training == default.training.model_copy(update={"log_every": 7})


def test_the_last_override_of_a_field_wins(loaded: Load) -> None:
    assert loaded("model.depth=101", "model.depth=152").model.depth == 152


def test_a_field_of_the_default_kind_needs_no_kind(loaded: Load) -> None:
    regularizer = loaded("model.regularizer.p_l=0.25").model.regularizer
    assert regularizer == ShakeDropConfig(p_l=0.25)


def test_a_change_of_kind_leaves_nothing_of_the_old_kind(loaded: Load) -> None:
    config = loaded("model.regularizer.p_l=0.25", "model.regularizer.kind=none")
    assert config.model.regularizer == PlainSumConfig()
    there_and_back = loaded(
        "model.regularizer.p_l=0.25",
        "model.regularizer.kind=none",
        "model.regularizer.kind=shakedrop",
    )
    assert there_and_back.model.regularizer == ShakeDropConfig()
    # A field of the same name starts from the new kind's default.
    assert loaded("optimizer.lr=0.7", "optimizer.kind=adamw").optimizer == AdamWConfig()
    assert loaded("optimizer={kind: lamb, lr: 0.7}").optimizer == LAMBConfig(lr=0.7)


def test_naming_the_kind_that_is_there_changes_nothing(loaded: Load) -> None:
    config = loaded("optimizer.momentum=0.5", "optimizer.kind=sgd")
    assert config == loaded("optimizer.momentum=0.5")


def test_a_root_means_a_folder_and_keeps_what_is_done_to_pictures(loaded: Load) -> None:
    config = loaded("data.train.size=160", "data.mean=[0.5, 0.5, 0.5]", "data.root=/pictures")
    assert isinstance(config.data, FolderDataConfig)
    assert config.data.root == "/pictures"
    assert config.data.train.size == 160
    assert config.data.mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    "overrides",
    [
        ("data.kind=shards", "data.root=/tars"),
        ("data.root=/tars", "data.kind=shards"),
        ("data={kind: shards, root: /tars}",),
    ],
)
def test_shards_take_the_root_in_either_order(loaded: Load, overrides: Sequence[str]) -> None:
    data = loaded("data.train.size=160", *overrides).data
    assert isinstance(data, ShardsDataConfig)
    assert (data.root, data.train.size) == ("/tars", 160)


def test_drawn_pictures_have_no_root_left(loaded: Load) -> None:
    config = loaded("data.root=/pictures", "data.train.size=160", "data.kind=drawn")
    assert config == loaded("data.train.size=160")


def test_whole_numbers_meet_choices_of_numbers(loaded: Load) -> None:
    depth = loaded("model.depth=101").model.depth
    assert depth == 101
    assert isinstance(depth, int)


@pytest.mark.parametrize("text", ["1e-3", "1.0e-3", "0.001", ".001"])
def test_numbers_may_have_an_exponent(loaded: Load, text: str) -> None:
    assert loaded(f"optimizer.lr={text}").optimizer.lr == 1e-3


@pytest.mark.parametrize(("text", "value"), [("yes", True), ("on", True), ("no", False)])
def test_words_of_yaml_for_true_and_false_are_truth_values(
    loaded: Load, text: str, value: bool
) -> None:
    assert loaded(f"training.compile={text}").training.compile is value


def test_such_a_word_is_a_name_in_quotes_only(loaded: Load) -> None:
    assert loaded("name='no'").name == "no"
    assert loaded('tracking.experiment="on"').tracking.experiment == "on"
    with pytest.raises(ConfigurationError, match=r"^name: False is not allowed; allowed: text"):
        loaded("name=no")


@pytest.mark.parametrize("field", ["training.batch_size", "optimizer.lr", "data.train.flip"])
def test_a_truth_value_is_no_number(loaded: Load, field: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{field}: True is not allowed; allowed: "):
        loaded(f"{field}=yes")


@pytest.mark.parametrize("name", ["2024", "007", "2026-01-31", "2024-13-45", "1_000", "12:30"])
def test_a_name_of_digits_stays_as_written(loaded: Load, name: str) -> None:
    assert loaded(f"name={name}").name == name


def test_null_takes_a_value_back(loaded: Load) -> None:
    assert loaded("training.clip_norm=1", "training.clip_norm=null").training.clip_norm is None


def test_lists_are_written_as_in_yaml(loaded: Load) -> None:
    schedule = loaded("schedule.kind=multi_step", "schedule.at=[150ep, 0.75run]").schedule
    assert isinstance(schedule, MultiStepConfig)
    assert [str(moment) for moment in schedule.at] == ["150ep", "0.75run"]


def test_a_value_may_hold_equals_signs_and_spaces(loaded: Load) -> None:
    assert loaded("data.root=/a b/c=d").data == FolderDataConfig(root="/a b/c=d")


def test_a_configuration_cannot_change(loaded: Load) -> None:
    config = loaded("schedule.kind=multi_step", "data.root=/x")
    with pytest.raises(ValidationError, match="frozen"):
        config.training.batch_size = 5  # type: ignore[misc]  # that it is refused is the test
    with pytest.raises(ValidationError, match="frozen"):
        config.model = config.model  # type: ignore[misc]  # that it is refused is the test
    # No list or mapping inside either: those could not be hashed.
    assert hash(config) == hash(loaded("schedule.kind=multi_step", "data.root=/x"))


def test_one_end_of_a_new_kinds_range_can_be_given_alone() -> None:
    overrides = [
        "model.regularizer.kind=none",
        "model.regularizer.kind=shakedrop",
        "model.regularizer.beta.low=0.25",
    ]
    regularizer = load(ImageNetConfig, overrides=overrides).model.regularizer
    assert regularizer == ShakeDropConfig(beta=Range(low=0.25, high=1.0))
