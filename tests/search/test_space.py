"""Which points a space has: grids, conditions, draws."""

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.config.errors import ConfigurationError
from service.search.configurations import Configurations
from service.search.constraints import Constraint
from service.search.feasibility import Feasibility
from service.search.space import Space, identity
from service.search.trials import Point

MakeSpace = Callable[..., Space]
Seeded = Callable[[int], Random]

_KIND = "model.regularizer.kind"
_P_L = "model.regularizer.p_l"
_LEVEL = "model.regularizer.level"
_DROP = "model.regularizer.drop_prob"


def _choice(*values: object, **when: object) -> dict[str, Any]:
    return {"kind": "choice", "values": list(values), **when}


def test_a_grid_has_every_combination_in_a_stable_order(make_space: MakeSpace) -> None:
    space = make_space(
        {
            _P_L: {"kind": "uniform", "low": 0.1, "high": 0.3, "points": 3},
            "training.batch_size": {"kind": "integer", "low": 7, "high": 8},
        }
    )

    assert [list(point.items()) for point in space.grid()] == [
        [(_P_L, p_l), ("training.batch_size", size)] for p_l in (0.1, 0.2, 0.3) for size in (7, 8)
    ]


def test_a_conditional_grid_leaves_out_what_does_not_apply(make_space: MakeSpace) -> None:
    """The condition's field is declared last, and still decided first."""
    space = make_space(
        {
            _P_L: _choice(0.5, 0.8, when={_KIND: ["shakedrop", "random_drop"]}),
            _LEVEL: _choice("image", "pixel", when={_KIND: ["shakedrop"], _P_L: [0.8]}),
            _DROP: _choice(0.1, when={_KIND: ["drop_block"]}),
            _KIND: _choice("none", "random_drop", "shakedrop", "drop_block"),
        }
    )

    assert list(space.grid()) == [
        {_KIND: "none"},
        {_KIND: "random_drop", _P_L: 0.5},
        {_KIND: "random_drop", _P_L: 0.8},
        {_KIND: "shakedrop", _P_L: 0.5},
        {_KIND: "shakedrop", _P_L: 0.8, _LEVEL: "image"},
        {_KIND: "shakedrop", _P_L: 0.8, _LEVEL: "pixel"},
        {_KIND: "drop_block", _DROP: 0.1},
    ]


def test_fields_come_after_those_their_conditions_name(make_space: MakeSpace) -> None:
    space = make_space(
        {
            _LEVEL: _choice("image", when={_P_L: [0.5]}),
            "training.seed": _choice(1, 2),
            _P_L: _choice(0.5, when={_KIND: ["shakedrop"]}),
            _KIND: _choice("none", "shakedrop"),
        }
    )

    assert [d.path for d in space.dimensions] == ["training.seed", _KIND, _P_L, _LEVEL]


@pytest.mark.parametrize(
    ("values", "active"),
    [(["pixel"], True), (["image", "pixel"], True), (["image"], False), ([True], False)],
)
def test_a_condition_on_a_field_that_is_not_searched_asks_the_recipe(
    make_space: MakeSpace, values: list[object], active: bool
) -> None:
    space = make_space({_P_L: _choice(0.5, when={_LEVEL: values})})

    assert list(space.grid()) == [{_P_L: 0.5}] if active else [{}]


def test_what_the_recipe_holds_follows_the_kind_that_was_drawn(make_space: MakeSpace) -> None:
    """block_size exists only under drop_block, with 7 as its default there."""
    space = make_space(
        {
            "training.seed": _choice(1, when={"model.regularizer.block_size": [7]}),
            _KIND: _choice("shakedrop", "drop_block"),
        }
    )

    assert list(space.grid()) == [
        {_KIND: "shakedrop"},
        {_KIND: "drop_block", "training.seed": 1},
    ]


def test_a_condition_on_an_inactive_field_does_not_hold(make_space: MakeSpace) -> None:
    """p_l is 0.5 in the recipe, but it is searched, so only drawn values count."""
    space = make_space(
        {
            _KIND: _choice("none"),
            _P_L: _choice(0.5, when={_KIND: ["shakedrop"]}),
            _LEVEL: _choice("image", when={_P_L: [0.5]}),
        }
    )

    assert list(space.grid()) == [{_KIND: "none"}]


def test_true_is_not_one_in_a_condition(make_space: MakeSpace) -> None:
    path = "model.regularizer.share_channels"
    space = make_space({path: _choice(True, False), "training.seed": _choice(4, when={path: [1]})})

    assert list(space.grid()) == [{path: True}, {path: False}]


@pytest.mark.parametrize(
    ("space", "named"),
    [
        ({_P_L: _choice(0.5, when={_P_L: [0.5]})}, _P_L),
        (
            {
                "training.seed": _choice(1),
                _P_L: _choice(0.5, when={_LEVEL: ["pixel"]}),
                _LEVEL: _choice("pixel", when={_P_L: [0.5]}),
            },
            f"{_P_L} and {_LEVEL}",
        ),
    ],
)
def test_conditions_in_a_circle_are_refused(
    make_space: MakeSpace, space: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make_space(space)

    assert str(caught.value) == (
        f"sweep.space: {named}: the conditions form a circle; remove a 'when'"
    )


def test_a_grid_needs_a_number_of_values(make_space: MakeSpace) -> None:
    interval = {"kind": "log_uniform", "low": 0.01, "high": 1}
    space = make_space({"optimizer.lr": interval, _P_L: _choice(0.5)})

    assert not space.finite
    with pytest.raises(ConfigurationError) as caught:
        space.grid()
    assert str(caught.value) == (
        "sweep.space: optimizer.lr: a grid needs a number of values between low and high; "
        "give points"
    )


def test_draws_repeat_with_their_seed_and_follow_the_conditions(
    make_space: MakeSpace, regularizers: dict[str, Any], seeded: Seeded
) -> None:
    space, count = make_space(regularizers), 2000
    one, other = seeded(3), seeded(3)

    points = [space.draw(one) for _ in range(count)]

    assert points == [space.draw(other) for _ in range(count)]
    fields = {
        "none": {_KIND, "optimizer.lr"},
        "shakedrop": {_KIND, _P_L, "optimizer.lr"},
        "random_drop": {_KIND, _P_L, "optimizer.lr"},
        "drop_block": {_KIND, _DROP, "optimizer.lr"},
    }
    assert all(point.keys() == fields[str(point[_KIND])] for point in points)
    # Each of the four kinds as often as the others, within 5 standard errors.
    kinds = Counter(str(point[_KIND]) for point in points)
    assert all(abs(kinds[kind] - 500) < 5 * (count * 3 / 16) ** 0.5 for kind in fields)


def test_given_values_are_taken_where_their_fields_have_one(
    make_space: MakeSpace, regularizers: dict[str, Any], seeded: Seeded
) -> None:
    fixed: Point = {_KIND: "drop_block", _P_L: 0.7, _DROP: 0.2}

    point = make_space(regularizers).draw(seeded(0), fixed)

    assert {path: point.get(path) for path in fixed} == {**fixed, _P_L: None}


def test_equal_points_have_one_identity_and_true_is_not_one() -> None:
    assert identity({"a": 1, "b": None}) == identity({"b": None, "a": 1.0})
    assert identity({"a": 1}) != identity({"a": True})
    assert identity({"a": None}) != identity({})


@given(seed=st.integers(0, 2**32))
def test_alpha_never_ends_below_where_it_begins(
    make_space: MakeSpace,
    configurations: Configurations,
    alpha: dict[str, Any],
    seeded: Seeded,
    seed: int,
) -> None:
    """What the schema demands needs no constraint, and an explicit one adds nothing to it."""
    low, high = alpha
    point = make_space(alpha).draw(seeded(seed))
    ordered = float(point[low] or 0) <= float(point[high] or 0)

    for constraints in ((), (Constraint.parse(f"{low} <= {high}"),)):
        assert (Feasibility(configurations, constraints).refusal(point) is None) == ordered


@given(
    values=st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True), max_size=3),
    seed=st.integers(0, 2**32),
)
def test_a_grid_holds_each_draw_exactly_once(
    make_space: MakeSpace, seeded: Seeded, values: list[list[int]], seed: int
) -> None:
    paths = ("training.seed", "training.batch_size", "training.log_every")
    conditions: list[dict[str, Any]] = [{}, {"when": {paths[0]: values[0][:2]}} if values else {}]
    conditions += [{}]
    space = make_space(
        {
            path: _choice(*own, **condition)
            for path, own, condition in zip(paths, values, conditions, strict=False)
        }
    )

    points = list(space.grid())

    assert len({identity(point) for point in points}) == len(points)
    assert points.count(space.draw(seeded(seed))) == 1
