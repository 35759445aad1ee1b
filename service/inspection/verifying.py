"""Whether a run reached what its recipe promises, and whether its checkpoints are whole."""

from collections.abc import Iterator
from dataclasses import dataclass

from service.config.errors import ConfigurationError
from service.config.training import ExpectedConfig
from service.inspection.checkpoints import damages, kept_checkpoints
from service.inspection.configurations import kept_tree, validated
from service.inspection.figures import last_value
from service.inspection.folders import Place
from service.inspection.journals import read_history
from service.inspection.states import Standing, standing
from service.training.stored_checkpoints import at_hand


@dataclass(frozen=True)
class Verdict:
    """What was found of one thing."""

    good: bool
    """Whether nothing speaks against it; true where there is nothing to compare with."""
    text: str
    """A line."""


def verify_figures(place: Place) -> Verdict:
    """Compares a finished run's last figure with what its recipe expects.

    It is reproduced if it differs by no more than the recipe's tolerance, upwards or downwards.
    """
    try:
        expected = validated(kept_tree(place)).expected
    except ConfigurationError as error:
        return Verdict(False, f"{place.name}: {str(error).splitlines()[0]}")
    stands = standing(place)
    if stands.state != "finished":
        return Verdict(False, f"{place.name}: not finished: {stands.state}{_where(stands)}")
    if expected is None:
        return Verdict(True, f"{place.name}: nothing to compare with: its recipe expects no figure")
    return _compared(place, expected)


def verify_checkpoints(place: Place) -> Iterator[Verdict]:
    """Compares each checkpoint of a run with its manifest."""
    for kept in kept_checkpoints(place.folder):
        with at_hand(kept.folder):
            problems = list(damages(kept.folder))
        if not kept.folder.exists():
            continue  # given up by the run meanwhile
        name = f"{place.name}/{kept.folder.name}"
        for problem in problems:
            yield Verdict(False, f"{name}: damaged: {problem}")
        if not problems:
            yield Verdict(True, f"{name}: whole")


def _compared(place: Place, expected: ExpectedConfig) -> Verdict:
    if expected.value == "unknown":
        return Verdict(
            True, f"{place.name}: nothing to compare with: no figure published ({expected.source})"
        )
    value = last_value(place, read_history(place.folder), expected.metric)
    if value is None:
        return Verdict(False, f"{place.name}: {expected.metric} was not measured")
    difference = value - expected.value
    facts = f"{expected.metric} {value:.2f} at the end, expected {expected.value:g}"
    if expected.tolerance is None:
        return Verdict(
            True,
            f"{place.name}: nothing to judge by: {facts} without a tolerance, "
            f"{difference:+.2f} ({expected.source})",
        )
    good = abs(difference) <= expected.tolerance
    word = "reproduced" if good else "not reproduced"
    return Verdict(
        good,
        f"{place.name}: {word}: {facts} ± {expected.tolerance:g}, {difference:+.2f} "
        f"({expected.source})",
    )


def _where(stands: Standing) -> str:
    if stands.epoch is None:
        return ""
    length = f" of {stands.length}" if stands.length is not None else ""
    return f" at epoch {stands.epoch:g}{length}"
