"""The search that learns: it must learn from what was achieved, and from nothing else."""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from service.config.sweep import SweepConfig
from service.search.proposals import Proposals
from service.search.space import identity
from service.search.trials import Point, Result, Trial

MakeSweep = Callable[..., SweepConfig]
MakeTrial = Callable[..., Trial]
Searched = Callable[..., Proposals]
RunSweep = Callable[..., list[Point]]
Following = Callable[..., list[Point | None]]

_P_L, _LR, _MOMENTUM = "model.regularizer.p_l", "optimizer.lr", "optimizer.momentum"
_KIND, _SEED = "model.regularizer.kind", "training.seed"
_LOW, _HIGH = "model.regularizer.alpha.low", "model.regularizer.alpha.high"
_SPACE = {
    _LR: {"kind": "log_uniform", "low": 1e-4, "high": 10},
    _MOMENTUM: {"kind": "uniform", "low": 0, "high": 0.99},
    _P_L: {"kind": "uniform", "low": 0, "high": 1},
}


def _number(point: Point, path: str) -> float:
    value = point[path]
    assert isinstance(value, int | float)
    return value


def _score(point: Point) -> float:
    """A smooth peak of 90 at a learning rate of 0.1, momentum of 0.9 and P_L of 0.5."""
    rate = math.log10(_number(point, _LR))
    momentum, p_l = _number(point, _MOMENTUM), _number(point, _P_L)
    return 90 - 10 * (rate + 1) ** 2 - 30 * (momentum - 0.9) ** 2 - 30 * (p_l - 0.5) ** 2


@pytest.mark.parametrize("mode", ["max", "min"])
def test_it_finds_a_peak_that_random_draws_miss(
    searched: Searched, run_sweep: RunSweep, mode: str
) -> None:
    """After 40 trials it is less than half as far from the optimum, on average over seeds 0 to 7.

    At the time of writing the distances were 0.6 and 2.3 points.
    """
    sign = 1 if mode == "max" else -1

    def distance(kind: str, seed: int) -> float:
        proposals = searched(_SPACE, 40, {"kind": kind, "seed": seed}, mode=mode)
        points = run_sweep(proposals, lambda point: sign * _score(point))
        return 90 - max(_score(point) for point in points)

    tpe, random = (sum(distance(kind, s) for s in range(8)) / 8 for kind in ("tpe", "random"))

    assert tpe < random / 2


def test_the_same_history_brings_the_same_proposals(
    searched: Searched, run_sweep: RunSweep
) -> None:
    one, same, other = (
        run_sweep(searched(_SPACE, 15, {"seed": seed}), _score) for seed in (1, 1, 2**40)
    )

    assert one == same
    assert one != other


@pytest.fixture
def following(searched: Searched, run_sweep: RunSweep, make_trial: MakeTrial) -> Following:
    """Returns the proposals after 20 past trials, the best 6 of which are changed."""

    def proposed(
        change: Callable[[Trial], Trial],
        **settings: Any,  # noqa: ANN401  # as YAML
    ) -> list[Point | None]:
        past = run_sweep(searched(_SPACE, 20, {"kind": "random"}), _score)
        proposals = searched(_SPACE, 30, **settings)
        best = sorted(past, key=_score)[-6:]
        for number, point in enumerate(past, start=1):
            trial = make_trial(number, point, _score(point))
            proposals.tell(change(trial) if point in best else trial)
        return [proposals.ask() for _ in range(10)]

    return proposed


def _failed(trial: Trial) -> Trial:
    return Trial(trial.number, trial.point, "failed")


@pytest.mark.parametrize(
    "results",
    [
        pytest.param([1000.0], id="best value"),
        pytest.param([math.nan], id="nan"),
        pytest.param([math.inf], id="infinity"),
    ],
)
def test_what_a_failed_trial_reached_never_counts(
    following: Following, results: list[float]
) -> None:
    reached = tuple(Result(1.0, value, 60.0, 60.0) for value in results)

    def with_results(trial: Trial) -> Trial:
        return Trial(trial.number, trial.point, "failed", reached)

    assert following(with_results) == following(_failed)


def test_later_trials_keep_away_from_failed_ones(searched: Searched, make_trial: MakeTrial) -> None:
    """Training diverges just above the best learning rate.

    Still, over seeds 0 to 3, less than half of 40 trials fail, and the best are within half a point
    of the optimum. At the time of writing 11 failed; had failed trials been left out, 28.
    """
    space = {path: _SPACE[path] for path in (_LR, _MOMENTUM)}
    failed, regrets = 0, []
    for seed in range(4):
        proposals, reached = searched(space, 40, {"seed": seed}), []
        for number in range(1, 41):
            point = proposals.ask() or {}
            rate = math.log10(_number(point, _LR) / (1 - _number(point, _MOMENTUM)))
            if rate > 0.5:
                failed += 1
                proposals.tell(make_trial(number, point, status="failed"))
            else:
                reached.append(90 - 10 * (rate - 0.3) ** 2)
                proposals.tell(make_trial(number, point, reached[-1]))
        regrets.append(90 - max(reached))

    assert failed < 4 * 20
    assert sum(regrets) / 4 < 0.5


@pytest.mark.parametrize("mode", ["max", "min"])
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_a_trial_without_a_finite_value_counts_as_failed(
    following: Following, make_trial: MakeTrial, value: float | None, mode: str
) -> None:
    def without(trial: Trial) -> Trial:
        return make_trial(trial.number, trial.point, value)

    settings = {"mode": mode}

    assert following(without, **settings) == following(_failed, **settings)


def test_a_stopped_trial_counts_with_its_best_value(following: Following) -> None:
    def stopped(trial: Trial) -> Trial:
        (last,) = trial.results
        later = Result(2.0, last.value - 40, 120.0, 120.0)
        return Trial(trial.number, trial.point, "stopped", (last, later))

    assert following(stopped) == following(lambda t: t)
    assert following(stopped) != following(_failed)


def test_a_stopped_trial_says_nothing_of_the_time_it_takes(following: Following) -> None:
    def stopped(trial: Trial) -> Trial:
        return Trial(trial.number, trial.point, "stopped", trial.results)

    timed = {"search": {"objectives": "metric_and_time"}}

    assert following(stopped, **timed) == following(_failed, **timed)


def test_a_trial_told_as_running_is_learned_from_when_it_ends(
    searched: Searched, run_sweep: RunSweep, make_trial: MakeTrial
) -> None:
    past = run_sweep(searched(_SPACE, 12, {"kind": "random"}), _score)
    ended = [make_trial(n, point, _score(point)) for n, point in enumerate(past, start=1)]
    at_once, later, never = (searched(_SPACE, 13, {"start_trials": 5}) for _ in range(3))

    for trial in ended:
        at_once.tell(trial)
        never.tell(Trial(trial.number, trial.point))
        later.tell(Trial(trial.number, trial.point))
    for trial in ended:
        later.tell(trial)
        later.tell(trial)

    assert at_once.ask() == (proposal := later.ask())
    assert proposal is not None
    assert never.ask() != proposal
    assert at_once.ask() is later.ask() is never.ask() is None


def test_a_resumed_sweep_learns_from_the_past(
    searched: Searched, run_sweep: RunSweep, make_trial: MakeTrial
) -> None:
    """The mean score of its first 10 proposals is above that of 30 draws it was told of."""
    past = run_sweep(searched(_SPACE, 30, {"kind": "random", "seed": 3}), _score)
    resumed = searched(_SPACE, 40)
    for number, point in enumerate(past, start=1):
        resumed.tell(make_trial(number, point, _score(point)))

    proposed = run_sweep(resumed, _score)

    assert len(proposed) == 10
    assert not {identity(point) for point in proposed} & {identity(point) for point in past}
    means = [sum(map(_score, points)) / len(points) for points in (proposed, past)]
    assert means[0] > means[1] + 10


def test_a_resumed_sweep_draws_its_first_trials_as_the_whole_one_would_have(
    searched: Searched, run_sweep: RunSweep, make_trial: MakeTrial
) -> None:
    """Until it has trials to learn from."""
    settings = {"start_trials": 8, "seed": 5}
    whole = run_sweep(searched(_SPACE, 8, settings), _score)

    for cut in range(9):
        resumed = searched(_SPACE, 8, settings)
        for number, point in enumerate(whole[:cut], start=1):
            resumed.tell(make_trial(number, point, _score(point)))
        assert run_sweep(resumed, _score) == whole[cut:]


def test_time_counts_beside_the_metric(searched: Searched, make_trial: MakeTrial) -> None:
    """All trials reach the same; the faster half of the batch sizes is asked for more often."""
    space = {"training.batch_size": {"kind": "integer", "low": 1, "high": 1000}}
    proposals = searched(space, 60, {"objectives": "metric_and_time"})
    sizes = []
    for number in range(1, 61):
        point = proposals.ask() or {}
        sizes.append(_number(point, "training.batch_size"))
        proposals.tell(make_trial(number, point, 80.0, seconds=1e4 / sizes[-1]))

    assert proposals.ask() is None
    assert sum(size > 500 for size in sizes[20:]) > 30


def test_trials_at_the_same_time_keep_apart(searched: Searched, make_trial: MakeTrial) -> None:
    """Ten proposals without an answer in between are ten points, as far apart as 1e-6."""
    proposals = searched({_P_L: {"kind": "uniform", "low": 0, "high": 1}}, 40)
    for number in range(1, 21):
        point = proposals.ask() or {}
        proposals.tell(make_trial(number, point, -((_number(point, _P_L) - 0.5) ** 2)))

    asked = sorted(_number(proposals.ask() or {}, _P_L) for _ in range(10))

    assert min(after - before for before, after in pairwise(asked)) > 1e-6
