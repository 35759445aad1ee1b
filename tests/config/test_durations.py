"""Durations: exact step counts, text and back."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.config.durations import Duration, parse_duration

STEPS_PER_EPOCH = st.floats(min_value=0.01, max_value=1e6)
STEPS_PER_RUN = st.integers(min_value=1, max_value=10**7)
AMOUNT = st.floats(min_value=0, max_value=1e6)
UNIT = st.sampled_from(["ep", "st", "run"])


# Any duration that can be written; abs, because −0 cannot.
DURATIONS = st.one_of(
    st.integers(0, 2**60).map(lambda steps: Duration(float(steps), "st")),
    st.floats(0, 1).map(lambda share: Duration(abs(share), "run")),
    st.floats(0, allow_infinity=False).map(lambda epochs: Duration(abs(epochs), "ep")),
)


@pytest.mark.parametrize(
    ("text", "steps_per_epoch", "steps_per_run", "steps"),
    [
        ("90ep", 5004, None, 450_360),
        ("1ep", 1281167 / 256, None, 5005),  # 5004.56 steps: the last one counts
        ("90ep", 1281167 / 256, None, 450_411),  # 450410.3, not 90 · 5005
        ("0.5ep", 7, None, 4),
        ("3ep", 1 / 3, None, 1),
        ("0ep", 100, None, 0),
        ("5000st", 0.1, None, 5000),
        ("0st", 100, 100, 0),
        ("0.4run", 100, 1000, 400),
        ("0.1run", 100, 3, 1),
        ("1run", 100, 12345, 12345),
        ("0run", 100, 12345, 0),
    ],
)
def test_lengths_in_steps_are_exact(
    text: str, steps_per_epoch: float, steps_per_run: int | None, steps: int
) -> None:
    assert parse_duration(text).in_steps(steps_per_epoch, steps_per_run) == steps


@settings(deadline=None)
@given(
    amounts=st.tuples(AMOUNT, AMOUNT),
    unit=UNIT,
    steps_per_epoch=STEPS_PER_EPOCH,
    steps_per_run=STEPS_PER_RUN,
)
def test_a_longer_duration_never_has_fewer_steps(
    amounts: tuple[float, float], unit: str, steps_per_epoch: float, steps_per_run: int
) -> None:
    short, long = (
        Duration(amount, unit).in_steps(steps_per_epoch, steps_per_run)  # type: ignore[arg-type]
        for amount in sorted(amounts)
    )
    assert 0 <= short <= long


@settings(deadline=None)
@given(amount=AMOUNT, steps_per_epoch=STEPS_PER_EPOCH)
def test_steps_are_the_first_whole_number_that_reaches_the_length(
    amount: float, steps_per_epoch: float
) -> None:
    steps = Duration(amount, "ep").in_steps(steps_per_epoch)
    exact = amount * steps_per_epoch
    assert exact - 1e-6 <= steps < exact + 1


@settings(deadline=None)
@given(DURATIONS)
def test_a_duration_reads_back_from_its_text(duration: Duration) -> None:
    assert parse_duration(str(duration)) == duration


@pytest.mark.parametrize(
    ("text", "written"),
    [("90ep", "90ep"), ("90.0ep", "90ep"), (" 0.5run ", "0.5run"), ("1234567st", "1234567st")],
)
def test_a_duration_is_written_as_people_write_it(text: str, written: str) -> None:
    assert str(parse_duration(text)) == written


@pytest.mark.parametrize(
    "text",
    ["", "90", "ep", "90 ep", "-1ep", "90epochs", "1.5st", "1.5run", "nanep", "1e999ep", "1e999st"],
)
def test_other_text_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"90ep|5000st|1run"):
        parse_duration(text)


@pytest.mark.parametrize("value", [90, 1.5, None, True, ["90ep"], math.inf])
def test_other_values_are_refused(value: object) -> None:
    with pytest.raises(ValueError, match="a number and a unit"):
        parse_duration(value)


def test_a_share_of_a_run_needs_the_length_of_the_run() -> None:
    with pytest.raises(ValueError, match=r"^0\.5run is a fraction of the run, and the run's"):
        parse_duration("0.5run").in_steps(100)
