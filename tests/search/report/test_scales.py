import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.config.sweep import (
    ChoiceConfig,
    Distribution,
    IntegerConfig,
    LogUniformConfig,
    UniformConfig,
    Value,
)
from service.search.report.scales import scale_of
from service.search.trials import Change, Trial


def texts(distribution: Distribution, *values: Value) -> list[str]:
    scale = scale_of("x", distribution, [Trial(i, {"x": v}) for i, v in enumerate(values)])
    return [text for _, text in scale.ticks()]


@pytest.mark.parametrize(
    ("distribution", "expected"),
    [
        (UniformConfig(low=0, high=1), ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (UniformConfig(low=0.5, high=0.9, points=3), ["0.5", "0.7", "0.9"]),
        (LogUniformConfig(low=1e-5, high=1e-2), ["1e-5", "0.0001", "0.001", "0.01"]),
        (LogUniformConfig(low=0.01, high=1, points=3), ["0.01", "0.1", "1"]),
        (LogUniformConfig(low=0.02, high=0.5), ["0.03", "0.1", "0.3"]),
        (IntegerConfig(low=1, high=4), ["1", "2", "3", "4"]),
        (ChoiceConfig(values=(64, 128, 256)), ["64", "128", "256"]),
        (ChoiceConfig(values=("batch", None, True, 1)), ["batch", "null", "true", "1"]),
    ],
)
def test_ticks_are_round_or_the_values_themselves(
    distribution: Distribution, expected: list[str]
) -> None:
    assert texts(distribution) == expected


def test_the_logarithm_is_evenly_spaced() -> None:
    scale = scale_of("x", LogUniformConfig(low=1e-4, high=1e-2), [])
    assert scale.share(1e-3) == pytest.approx(0.5)
    assert scale.share(1e-4) == pytest.approx(0)
    assert scale.coordinate(0) is None


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ((0.01, 0.1, 1.0), "log"),
        ((64, 128, 256, 512), "log"),
        ((0.5, 0.7, 0.9), "linear"),
        ((1, 2, 3, 4), "linear"),
        ((0.01, 1.0), "linear"),  # two are as even either way
        ((0, 1, 1000), "linear"),  # zero has no logarithm
        ((0.5, None), "category"),
    ],
)
def test_numbers_to_choose_from_stand_where_they_are_more_even(
    values: tuple[Value, ...], kind: str
) -> None:
    assert scale_of("x", ChoiceConfig(values=values), []).kind == kind


def test_truth_is_not_the_number_one() -> None:
    scale = scale_of("x", ChoiceConfig(values=(True, 1, "1")), [])
    assert [scale.coordinate(v) for v in (True, 1, "1", "no")] == [0, 1, 2, None]
    assert scale_of("x", UniformConfig(low=0, high=1), []).coordinate(True) is None


def test_what_occurred_outside_has_a_place_too() -> None:
    change = Change(1.0, 2, {"x": 1.2})
    trials = [Trial(1, {"x": 0.4}, changes=(change,)), Trial(2, {"y": 9.0})]
    scale = scale_of("x", UniformConfig(low=0.5, high=0.9), trials)
    assert (scale.low, scale.high) == (0.4, 1.2)
    assert texts(ChoiceConfig(values=("a",)), "b") == ["a", "b"]


def test_a_long_list_of_categories_is_thinned_out() -> None:
    names = tuple(f"name {i}" for i in range(60))
    assert len(texts(ChoiceConfig(values=names))) <= 24


@given(
    st.floats(-1e4, 1e4),
    st.floats(1e-3, 1e5),
    st.booleans(),
)
def test_ticks_lie_on_the_axis_and_differ(low: float, width: float, logarithmic: bool) -> None:
    distribution: Distribution
    if logarithmic:
        distribution = LogUniformConfig(low=abs(low) + 1e-6, high=(abs(low) + 1e-6) * (1 + width))
    else:
        distribution = UniformConfig(low=low, high=low + width)
    scale = scale_of("x", distribution, [])
    ticks = scale.ticks()
    room = 1e-9 + 1e-9 * (scale.high - scale.low)
    assert all(scale.low - room <= place <= scale.high + room for place, _ in ticks)
    assert len({place for place, _ in ticks}) == len(ticks) <= 12
