"""Points that were changed without looking become valid ones."""

from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import pytest

from service.config.cifar import CIFARConfig
from service.config.errors import ConfigurationError
from service.config.sweep import SweepConfig
from service.search import repair as module
from service.search.configurations import Configurations
from service.search.dimension import Dimension
from service.search.repair import Repair

MakeSweep = Callable[..., SweepConfig]
Seeded = Callable[[int], Random]
LOW, HIGH, P_L = (f"model.regularizer.{name}" for name in ("alpha.low", "alpha.high", "p_l"))


@pytest.fixture
def repair(recipe: dict[str, Any], make_sweep: MakeSweep) -> Callable[..., Repair]:
    def made(space: Mapping[str, Any], seed: int = 0, **settings: Any) -> Repair:  # noqa: ANN401  # as YAML
        return Repair(make_sweep(space, **settings), CIFARConfig, recipe, seed)

    return made


def test_a_valid_point_stays_what_it_is(
    repair: Callable[..., Repair], alpha: dict[str, Any]
) -> None:
    """Even one that lies outside of the space: who changed it keeps it between its ends."""
    for point in ({LOW: -1.0, HIGH: 1.0}, {LOW: 0.25, HIGH: 0.25}, {LOW: -7.0, HIGH: 9.0}):
        assert repair(alpha)(point) == point


def test_a_point_that_the_schema_refuses_is_drawn_anew(
    repair: Callable[..., Repair],
    alpha: dict[str, Any],
    configurations: Configurations,
    make_sweep: MakeSweep,
    seeded: Seeded,
) -> None:
    space = make_sweep(alpha).space
    fix, random = repair(alpha), seeded(3)
    for _ in range(30):
        ends = random.uniform(-1, 1), random.uniform(-1, 1)
        fixed = fix({LOW: max(ends), HIGH: min(ends)})
        assert configurations.problems(fixed) == []
        assert all(Dimension(path, space[path]).contains(value) for path, value in fixed.items())
        assert fixed.keys() == alpha.keys()


def test_a_point_that_a_constraint_refuses_is_drawn_anew(repair: Callable[..., Repair]) -> None:
    space = {P_L: {"kind": "uniform", "low": 0.1, "high": 0.9}}
    fix = repair(space, constraints=[f"{P_L} <= 0.4"])
    assert fix({P_L: 0.3}) == {P_L: 0.3}
    drawn = [fix({P_L: 0.8})[P_L] for _ in range(20)]
    assert all(isinstance(value, float) and 0.1 <= value <= 0.4 for value in drawn)
    assert len(set(drawn)) == 20


def test_the_seed_decides(repair: Callable[..., Repair], alpha: dict[str, Any]) -> None:
    bad = {LOW: 1.0, HIGH: -1.0}
    first, again, other = repair(alpha, 5), repair(alpha, 5), repair(alpha, 6)
    drawn = [first(bad) for _ in range(5)]
    assert [again(bad) for _ in range(5)] == drawn
    assert [other(bad) for _ in range(5)] != drawn


def test_a_space_without_a_valid_point_is_told(
    repair: Callable[..., Repair], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_DRAWS", 20)
    space = {P_L: {"kind": "uniform", "low": 0.5, "high": 0.9}}
    fix = repair(space, constraints=[f"{P_L} < 0.5"])
    with pytest.raises(ConfigurationError, match=r"^sweep\.space: none of 20 draws is a valid"):
        fix({P_L: 0.7})
