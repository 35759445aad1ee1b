"""The command line: files, overrides, switches."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from service.config.command_line import parse_command
from service.config.errors import ConfigurationError
from service.config.imagenet import ImageNetConfig

SWITCHES = ("resume", "print-config")


def test_files_come_in_either_spelling_and_keep_their_order() -> None:
    command = parse_command(["--config", "a.yaml", "name=x", "--config=b.yaml"], SWITCHES)
    assert command.files == (Path("a.yaml"), Path("b.yaml"))
    assert command.overrides == ("name=x",)


def test_overrides_in_all_spellings_keep_their_order() -> None:
    arguments = ["a.b=1", "--c.d", "2", "--config", "f", "--e.f=3", "--resume", "g=4", "--h", "5"]
    command = parse_command(arguments, SWITCHES)
    assert command.overrides == ("a.b=1", "c.d=2", "e.f=3", "g=4", "h=5")


def test_switches_are_given_or_not() -> None:
    assert parse_command([], SWITCHES).flags == frozenset()
    assert parse_command(["--resume", "--print-config"], SWITCHES).flags == frozenset(SWITCHES)
    assert parse_command(["-h"], SWITCHES).flags == parse_command(["--help"], ()).flags == {"help"}


@pytest.mark.parametrize("number", ["-1", "-0.5", "-1e-3", "-.5"])
@pytest.mark.parametrize("spelling", ["{}={}", "--{}={}", "--{} {}"])
def test_values_may_be_negative(
    loaded: Callable[..., ImageNetConfig], spelling: str, number: str
) -> None:
    arguments = spelling.format("model.regularizer.alpha.low", number).split(" ")
    config = loaded(*parse_command([*arguments, "--resume"], SWITCHES).overrides)
    regularizer = config.model.regularizer
    assert regularizer.kind == "shakedrop"
    assert regularizer.alpha.low == float(number)


def test_an_empty_value_is_a_value() -> None:
    assert parse_command(["--name", ""], SWITCHES).overrides == ("name=",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model.depth"], "--model.depth needs a value; write --model.depth VALUE or see --help"),
        (["--model.depth", "--resume"], "--model.depth needs a value"),
        (["--model.depth", "--optimizer.lr", "0.1"], "--model.depth needs a value"),
        (["--config"], "argument --config: expected one argument"),
        (["--config", "--resume"], "argument --config: expected one argument"),
        (["--resume=yes"], "argument --resume: ignored explicit argument 'yes'"),
        (["--res"], "--res needs a value; write --res VALUE or see --help"),
    ],
)
def test_what_lacks_a_value_is_named_in_one_line(arguments: Sequence[str], message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_command(arguments, SWITCHES)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_text_that_is_no_option_is_left_for_the_loader_to_refuse(
    loaded: Callable[..., ImageNetConfig],
) -> None:
    with pytest.raises(ConfigurationError, match=r"^'-x' is not an option; write key"):
        loaded(*parse_command(["-x"], SWITCHES).overrides)
