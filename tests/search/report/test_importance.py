import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest

from service.config.sweep import ChoiceConfig, Distribution, LogUniformConfig, UniformConfig
from service.search.report.comparison import compare
from service.search.report.description import SweepDescription
from service.search.report.importance import Importance, importances, table_of
from service.search.report.tables import write_csv
from service.search.trials import Point, Trial

MakeTrial = Callable[..., Trial]
SPACE: dict[str, Distribution] = {
    "x": UniformConfig(low=0, high=1),
    "y": LogUniformConfig(low=1e-4, high=1),
    "kind": ChoiceConfig(values=("a", "b")),
}
CONDITIONAL = UniformConfig(low=0, high=1, when={"kind": ("b",)})


def rated(trials: list[Trial], **more: Distribution) -> list[Importance]:
    sweep = SweepDescription("t", "m", "max", {**SPACE, **more})
    return importances(sweep, trials, compare(trials, "max"))


def points(number: int) -> list[Point]:
    generator = np.random.default_rng(0)
    return [
        {
            "x": float(generator.uniform()),
            "y": float(10 ** generator.uniform(-4, 0)),
            "kind": "ab"[int(generator.integers(2))],
        }
        for _ in range(number)
    ]


def test_shares_are_those_of_the_variance(make_trial: MakeTrial) -> None:
    # Additive on a full grid: variances of 2u and v, u and v even in [0, 1], are as 4 to 1.
    places = np.linspace(0, 1, 9)
    grid = [(x, z) for x in places for z in places]
    trials = [
        make_trial(i, {"x": float(x), "y": float(10 ** (4 * z - 4)), "kind": "a"}, [2 * x + z])
        for i, (x, z) in enumerate(grid, 1)
    ]
    found = rated(trials)
    assert [entry.path for entry in found] == ["x", "y", "kind"]
    shares = [entry.share or 0.0 for entry in found]
    assert shares == pytest.approx([0.8, 0.2, 0.0], abs=0.05)  # a forest is no exact model
    assert sum(shares) == pytest.approx(1)
    assert {entry.trials for entry in found} == {81}


def test_the_same_trials_are_rated_the_same_twice(make_trial: MakeTrial) -> None:
    trials = [make_trial(i, p, [float(str(p["x"]))]) for i, p in enumerate(points(12), 1)]
    assert rated(trials) == rated(trials)


def test_a_condition_limits_the_rating_to_the_trials_that_have_the_value(
    make_trial: MakeTrial,
) -> None:
    trials = []
    for number, point in enumerate(points(40), 1):
        value = 1.0
        if point["kind"] == "b":
            depth = (number % 7) / 7
            point["z"] = depth
            value = 5 + 3 * depth
        trials.append(make_trial(number, point, [value]))
    found = {entry.path: entry for entry in rated(trials, z=CONDITIONAL)}
    having = sum("z" in trial.point for trial in trials)
    assert found["kind"].trials == 40
    assert (found["kind"].share or 0) > 0.9  # among all, the kind explains nearly everything
    assert found["z"].trials == having
    assert (found["z"].share or 0) > 0.9  # among its own, the value does
    assert list(found)[-1] == "z"


def test_a_value_that_few_trials_have_is_not_rated(tmp_path: Path, make_trial: MakeTrial) -> None:
    trials = [
        make_trial(i, {**p, "z": 0.1 * i} if i < 8 else p, [float(i)])
        for i, p in enumerate(points(12), 1)
    ]
    sweep = SweepDescription("t", "m", "max", {**SPACE, "z": CONDITIONAL}, {"z": "depth, max"})
    found = importances(sweep, trials, compare(trials, "max"))
    file = write_csv(tmp_path / "importance.csv", table_of(sweep, found))
    with file.open(encoding="utf-8", newline="") as lines:
        last = list(csv.DictReader(lines))[-1]
    assert last == {
        "value": "depth, max",
        "field": "z",
        "share": "",
        "trials": "7",
        "reason": "not rated: only 7 trials, 8 needed",
    }


def test_trials_are_compared_where_all_were(make_trial: MakeTrial) -> None:
    # At the end x would decide; after an epoch only the kind does.
    trials = [
        make_trial(i, p, [1.0 if p["kind"] == "a" else 2.0, 100 * float(str(p["x"]))])
        for i, p in enumerate(points(20), 1)
    ]
    trials.append(make_trial(21, points(21)[20], [1.5], "stopped"))
    assert rated(trials)[0].path == "kind"


def test_nothing_is_rated_without_enough_that_varies(make_trial: MakeTrial) -> None:
    some = points(6)
    assert rated([make_trial(i, p, [float(i)]) for i, p in enumerate(some[:3], 1)]) == []
    assert rated([make_trial(i, p, [70]) for i, p in enumerate(some, 1)]) == []
    assert rated([make_trial(i, some[0], [float(i)]) for i in range(1, 7)]) == []
    assert rated([make_trial(i, p, [float(i)], "failed") for i, p in enumerate(some, 1)]) == []
    same = [make_trial(i, {**p, "z": 0.5}, [1]) for i, p in enumerate(points(9), 1)]
    other = make_trial(10, points(10)[9], [2])
    found = {entry.path: entry for entry in rated([*same, other], z=CONDITIONAL)}
    assert found["z"].reason == "not rated: nothing varies"


def test_optuna_says_nothing_and_keeps_its_verbosity(
    make_trial: MakeTrial, capfd: pytest.CaptureFixture[str]
) -> None:
    before = optuna.logging.get_verbosity()
    rated([make_trial(i, p, [float(i)]) for i, p in enumerate(points(5), 1)])
    assert optuna.logging.get_verbosity() == before
    assert capfd.readouterr() == ("", "")
