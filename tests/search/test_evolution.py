"""A generation of population based training: who is replaced, and by which values."""

from collections import Counter
from collections.abc import Callable, Mapping
from math import ceil, sqrt
from random import Random
from typing import Any

import pytest

from service.config.cifar import CIFARConfig
from service.config.sweep import PopulationConfig, SweepConfig
from service.search.configurations import Configurations
from service.search.dimension import Dimension
from service.search.evolution import explored, takeovers
from service.search.repair import Repair
from service.search.trials import Mode, Point

MakeSweep = Callable[..., SweepConfig]
Seeded = Callable[[int], Random]
P_L, LR = "model.regularizer.p_l", "optimizer.lr"
LOW, HIGH = "model.regularizer.alpha.low", "model.regularizer.alpha.high"

SPACE: dict[str, Any] = {
    P_L: {"kind": "uniform", "low": 0.3, "high": 0.9},
    LR: {"kind": "log_uniform", "low": 0.01, "high": 1.0},
    "optimizer.momentum": {"kind": "uniform", "low": 0.5, "high": 0.9, "points": 5},
    "optimizer.nesterov": {"kind": "choice", "values": [True, False]},
    "loss.label_smoothing": {"kind": "choice", "values": [0.0, 0.05, 0.1, 0.2]},
    LOW: {"kind": "uniform", "low": -1.0, "high": 1.0},
    HIGH: {"kind": "uniform", "low": -1.0, "high": 1.0},
}


def unchanged(point: Point) -> Point:
    return point


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("quantile", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("size", range(9))
def test_the_worst_take_over_from_the_best(
    seeded: Seeded, mode: Mode, quantile: float, size: int
) -> None:
    random = seeded(size)
    values = random.sample(range(100), size)
    scores = dict(enumerate(map(float, values), 1))
    best_first = sorted(scores, key=lambda number: scores[number], reverse=mode == "max")
    count = min(ceil(size * quantile), size // 2)
    found = takeovers(scores, mode, quantile, random)
    assert set(found) == set(best_first[size - count :])
    assert set(found.values()) <= set(best_first[:count])


def test_of_equals_the_later_is_replaced(seeded: Seeded) -> None:
    assert takeovers(dict.fromkeys((1, 2, 3, 4), 50.0), "max", 0.25, seeded(0)) == {4: 1}
    assert takeovers(dict.fromkeys((1, 2, 3, 4), 50.0), "min", 0.25, seeded(0)) == {4: 1}


def test_each_of_the_best_is_taken_over_from(seeded: Seeded) -> None:
    scores = dict(enumerate(map(float, range(8)), 1))
    random = seeded(1)
    sources = Counter(
        source for _ in range(100) for source in takeovers(scores, "max", 0.5, random).values()
    )
    # 400 draws of one in four: 100 each, standard deviation 8.7; the bound is five of them.
    assert set(sources) == {5, 6, 7, 8}
    assert all(abs(count - 100) < 5 * sqrt(400 * 3 / 16) for count in sources.values())


def generations(
    sweep: SweepConfig,
    repair: Callable[[Point], Point],
    random: Random,
    count: int,
    **settings: Any,  # noqa: ANN401  # as YAML
) -> list[tuple[Point, Point]]:
    """Returns points and what became of them, each the one before the next."""
    config = PopulationConfig(**settings)
    point: Point = {path: Dimension(path, d).draw(random) for path, d in sweep.space.items()}
    point = repair(point)
    pairs = []
    for _ in range(count):
        after = explored(point, sweep.space, config, random, repair)
        pairs.append((point, after))
        point = after
    return pairs


@pytest.mark.parametrize("factors", [(1.2, 0.8), (5.0, 0.1), (1.0, 3.0)])
@pytest.mark.parametrize("resample", [0.0, 0.25, 1.0])
def test_values_stay_in_the_space_and_valid(
    make_sweep: MakeSweep,
    recipe: dict[str, Any],
    configurations: Configurations,
    seeded: Seeded,
    factors: tuple[float, float],
    resample: float,
) -> None:
    sweep = make_sweep(SPACE, constraints=[f"{P_L} <= 0.8"])
    repair = Repair(sweep, CIFARConfig, recipe, 0)
    for _, after in generations(sweep, repair, seeded(7), 40, factors=factors, resample=resample):
        assert after.keys() == SPACE.keys()
        for path, value in after.items():
            assert Dimension(path, sweep.space[path]).contains(value), (path, value)
        assert configurations.problems(after) == []
        assert float(after[P_L] or 0) <= 0.8


def test_a_number_is_multiplied_by_one_of_the_factors(
    make_sweep: MakeSweep, seeded: Seeded
) -> None:
    sweep = make_sweep({LR: SPACE[LR], P_L: SPACE[P_L]})
    settings: Mapping[str, Any] = {"resample": 0, "factors": (1.5, 0.5)}
    seen: Counter[float] = Counter()
    for before, after in generations(sweep, unchanged, seeded(0), 200, **settings):
        for path, (low, high) in {LR: (0.01, 1.0), P_L: (0.3, 0.9)}.items():
            old, new = float(before[path] or 0), float(after[path] or 0)
            allowed = {f: min(max(f * old, low), high) for f in (1.5, 0.5)}
            assert new in allowed.values()
            seen.update(f for f, value in allowed.items() if value == new)
    # 400 throws of a coin: standard deviation 10, the bound is five; both never coincide here.
    assert abs(seen[1.5] - 200) < 50
    assert sum(seen.values()) == 400


def test_a_whole_number_stays_one(seeded: Seeded, make_sweep: MakeSweep) -> None:
    path = "training.batch_size"
    sweep = make_sweep({path: {"kind": "integer", "low": 8, "high": 64}})
    values = [
        after[path] for _, after in generations(sweep, unchanged, seeded(2), 100, resample=0.1)
    ]
    assert all(type(value) is int and 8 <= value <= 64 for value in values)
    assert len(set(values)) > 5


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("loss.label_smoothing", [0.0, 0.05, 0.1, 0.2]),
        ("optimizer.momentum", [0.5, 0.6, 0.7, 0.8, 0.9]),
    ],
)
def test_one_of_a_few_values_moves_to_a_neighbour(
    make_sweep: MakeSweep, seeded: Seeded, path: str, values: list[float]
) -> None:
    sweep = make_sweep({path: SPACE[path]})
    moves = set()
    for before, after in generations(sweep, unchanged, seeded(0), 200, resample=0):
        old, new = values.index(float(before[path] or 0)), values.index(float(after[path] or 0))
        moves.add((old, new))
    last = len(values) - 1
    steps = {(i, min(max(i + step, 0), last)) for i in range(last + 1) for step in (-1, 1)}
    assert moves == steps


def test_the_probability_to_draw_anew_is_kept(make_sweep: MakeSweep, seeded: Seeded) -> None:
    """A factor of 1 leaves a value alone, so that a change is a draw."""
    sweep = make_sweep({P_L: SPACE[P_L]})
    pairs = generations(sweep, unchanged, seeded(4), 2000, resample=0.25, factors=(1.0, 1.0))
    drawn = sum(before != after for before, after in pairs)
    # Binomial with p = 1/4 and n = 2000: mean 500, standard deviation 19; the bound is five.
    assert abs(drawn - 500) < 5 * sqrt(2000 * 3 / 16)


def test_the_seed_decides(make_sweep: MakeSweep, seeded: Seeded) -> None:
    sweep = make_sweep(SPACE)
    first, again = (generations(sweep, unchanged, seeded(9), 20) for _ in range(2))
    assert first == again
    assert generations(sweep, unchanged, seeded(10), 20) != first


def test_the_source_keeps_its_values(make_sweep: MakeSweep, seeded: Seeded) -> None:
    sweep, point = make_sweep({P_L: SPACE[P_L]}), {P_L: 0.5}
    explored(point, sweep.space, PopulationConfig(), seeded(0), unchanged)
    assert point == {P_L: 0.5}
