"""Comparisons that every trial fulfils."""

import operator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.config.errors import ConfigurationError
from service.search.configurations import Configurations
from service.search.constraints import Constraint
from service.search.feasibility import Feasibility

_COMPARISONS = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_NUMBERS = st.integers(-100, 100) | st.floats(-1e6, 1e6)
_SIGNS = "< <= > >= == !="


@given(sign=st.sampled_from(list(_COMPARISONS)), left=_NUMBERS, right=_NUMBERS)
def test_a_comparison_of_two_paths_is_that_of_their_values(
    sign: str, left: float, right: float
) -> None:
    constraint = Constraint.parse(f"a.low {sign} a.high")

    assert constraint.holds({"a.low": left, "a.high": right}.get) is _COMPARISONS[sign](left, right)
    assert constraint.paths == ("a.low", "a.high")


@given(sign=st.sampled_from(list(_COMPARISONS)), number=st.floats(-1e6, 1e6), value=_NUMBERS)
def test_a_number_stands_for_itself_on_either_side(sign: str, number: float, value: float) -> None:
    values = {"p_l": value}

    left, right = Constraint.parse(f"{number!r}{sign}p_l"), Constraint.parse(f"p_l{sign}{number!r}")

    assert left.holds(values.get) is _COMPARISONS[sign](number, value)
    assert right.holds(values.get) is _COMPARISONS[sign](value, number)
    assert left.paths == right.paths == ("p_l",)


@pytest.mark.parametrize("sign", _SIGNS.split())
@pytest.mark.parametrize("values", [{}, {"a": 1}, {"b": 1}, {"a": None, "b": 1}])
def test_it_holds_where_a_field_has_no_value(sign: str, values: dict[str, int | None]) -> None:
    assert Constraint.parse(f"a {sign} b").holds(values.get)


def test_texts_are_equal_or_not_but_have_no_order() -> None:
    values = {"a": "pixel", "b": "image"}

    assert not Constraint.parse("a == b").holds(values.get)
    assert Constraint.parse("a != b").holds(values.get)
    with pytest.raises(ConfigurationError) as caught:
        Constraint.parse("3 < a").holds(values.get)
    assert str(caught.value) == "sweep.constraints: '3 < a' compares 'pixel', which is no number"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("a.low", ""),
        ("a.low = a.high", ""),
        ("a.low =< a.high", ""),
        ("a.low <= ", ""),
        ("<= a.high", ""),
        ("a..low <= a.high", ""),
        ("a.low + 1 <= a.high", ""),
        ("a.low <= 1_000", ""),
        ("", ""),
        ("0 <= a.low < a.high", "; write a chain as two"),
    ],
)
def test_what_is_no_comparison_is_refused(text: str, hint: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Constraint.parse(text)

    assert str(caught.value) == (
        f"sweep.constraints: {text!r} is not a comparison of two paths or numbers, such as "
        f"a.low <= a.high, by one of <= >= == != < >{hint}"
    )


@pytest.mark.parametrize(
    ("text", "point", "holds"),
    [
        # p_l is 0.5 and no α is given in the recipe; the network fills in [-1, 1].
        ("model.regularizer.p_l <= 0.5", {}, True),
        ("model.regularizer.p_l <= 0.5", {"model.regularizer.p_l": 0.6}, False),
        ("model.regularizer.alpha.low == -1", {}, True),
        ("model.regularizer.alpha.high < 0.5", {"model.regularizer.alpha.low": 0.1}, False),
        ("model.regularizer.p_l <= 0.1", {"model.regularizer.kind": "drop_block"}, True),
        ("model.regularizer.p_l <= 0.1", {"model.regularizer.kind": "random_drop"}, False),
    ],
)
def test_constraints_see_the_configuration_as_it_is_built(
    configurations: Configurations, text: str, point: dict[str, float | str], holds: bool
) -> None:
    feasibility = Feasibility(configurations, (Constraint.parse(text),))

    refusal = feasibility.refusal(dict(point))

    assert refusal == (None if holds else f"sweep.constraints: {text!r} does not hold")


def test_what_the_configuration_refuses_is_refused_without_a_constraint(
    configurations: Configurations,
) -> None:
    point = {"model.regularizer.alpha.low": 0.5, "model.regularizer.alpha.high": 0.25}

    assert Feasibility(configurations).refusal(dict(point)) == (
        "model.regularizer.alpha: low must not exceed high (got low 0.5, high 0.25)"
    )
