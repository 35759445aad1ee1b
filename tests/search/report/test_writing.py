import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from service.config.sweep import (
    ChoiceConfig,
    Distribution,
    IntegerConfig,
    LogUniformConfig,
    UniformConfig,
    Value,
)
from service.search.report.description import SweepDescription
from service.search.report.writing import write_report
from service.search.trials import Change, Point, Trial

MakeTrial = Callable[..., Trial]
P_L = "model.regularizer.p_l"
LOW, HIGH = "model.regularizer.alpha.low", "model.regularizer.alpha.high"
NAMES = {P_L: "P_L", LOW: "alpha_low", HIGH: "alpha_high"}
ODD: tuple[Value, ...] = (
    "a very long name of a category that nobody would want to read, number 1",
    "a very long name of a category that nobody would want to read, number 2",
    "$x_1$ | 日本\n\\frac{",
    "",
    None,
    True,
)
SHAKEDROP: dict[str, Distribution] = {
    P_L: UniformConfig(low=0, high=1),
    LOW: UniformConfig(low=-1, high=0),
    HIGH: UniformConfig(low=0, high=1),
}
TWELVE: dict[str, Distribution] = {
    **SHAKEDROP,
    "optimizer.lr": LogUniformConfig(low=1e-4, high=1),
    "optimizer.$name": ChoiceConfig(values=ODD),
    "depth": IntegerConfig(low=2, high=9),
    "batch": ChoiceConfig(values=(64, 128, 1024)),
    "only": ChoiceConfig(values=("one",)),
    "model.regularizer.block_size": IntegerConfig(low=3, high=7, when={"only": ("two",)}),
    **{f"some.long.name.of.a.field.{i}": UniformConfig(low=0, high=1) for i in range(3)},
}


def described(space: dict[str, Distribution], **more: object) -> SweepDescription:
    return SweepDescription("Sweep | 日本 $P_L$", "val/top1", "max", space, NAMES, 2, 9, **more)  # type: ignore[arg-type]  # keywords of the tests below


def drawn(space: dict[str, Distribution], generator: np.random.Generator) -> Point:
    def value(distribution: Distribution) -> Value:
        if isinstance(distribution, ChoiceConfig):
            return distribution.values[int(generator.integers(len(distribution.values)))]
        if isinstance(distribution, IntegerConfig):
            return int(generator.integers(distribution.low, distribution.high + 1))
        return float(generator.uniform(distribution.low, distribution.high))

    return {p: value(d) for p, d in space.items() if not d.when or generator.uniform() < 0.3}


def swept(
    make_trial: MakeTrial,
    number: int,
    space: dict[str, Distribution],
    rungs: tuple[int, ...] = (9,),
) -> list[Trial]:
    """Trials with drawn values, stopped at one of the rungs."""
    generator = np.random.default_rng(number)
    trials = []
    for i in range(1, number + 1):
        epochs = rungs[int(generator.integers(len(rungs)))]
        values = 70 - 50 * np.exp(-np.arange(1, epochs + 1)) + generator.normal(0, 1, epochs)
        status = "finished" if epochs == 9 else "stopped"
        trials.append(make_trial(i, drawn(space, generator), values, status, start=100.0 * i))
    return trials


def checked(folder: Path, files: list[Path]) -> list[str]:
    """Returns the names of files that are whole: pictures of a sensible size, tables of numbers."""
    assert {path.name for path in folder.iterdir()} == {path.name for path in files}
    for file in files:
        if file.suffix == ".png":
            data = file.read_bytes()
            assert data[:8] == b"\x89PNG\r\n\x1a\n"
            assert data[-8:-4] == b"IEND"
            width, height = struct.unpack(">II", data[16:24])
            assert 900 <= width <= 2600
            assert 250 <= height <= 2600
        else:
            assert "nan" not in file.read_text(encoding="utf-8")
    return [file.name for file in files]


ALWAYS = ["trials.csv", "trials.md", "parallel_coordinates.png", "best_so_far.png", "response.png"]
MAPS = ["heat_map_P_L_alpha_low.png", "heat_map_P_L_alpha_high.png"]
RATED = ["importance.csv", "importance.png"]


def test_a_sweep_with_early_stops(tmp_path: Path, make_trial: MakeTrial) -> None:
    trials = swept(make_trial, 12, SHAKEDROP, (1, 3, 9))
    files = write_report(tmp_path / "new", described(SHAKEDROP), trials)
    assert checked(tmp_path / "new", files) == [*ALWAYS, *MAPS, *RATED]


def test_two_hundred_trials_of_twelve_values(tmp_path: Path, make_trial: MakeTrial) -> None:
    trials = swept(make_trial, 200, TWELVE, (1, 3, 9))
    files = write_report(tmp_path, described(TWELVE, objectives="metric_and_time"), trials)
    assert checked(tmp_path, files) == [*ALWAYS, *MAPS, *RATED, "pareto.png"]


def test_one_trial(tmp_path: Path, make_trial: MakeTrial) -> None:
    trials = swept(make_trial, 1, TWELVE)
    files = write_report(tmp_path, described(TWELVE, objectives="metric_and_time"), trials)
    assert checked(tmp_path, files) == [*ALWAYS, *MAPS, "pareto.png"]


@pytest.mark.parametrize("status", ["failed", "running"])
def test_only_tables_without_a_value(tmp_path: Path, make_trial: MakeTrial, status: str) -> None:
    values = [1.0] if status == "failed" else []
    trials = [make_trial(i, {P_L: 0.1 * i}, values, status) for i in range(3)]
    assert checked(tmp_path, write_report(tmp_path, described(SHAKEDROP), trials)) == ALWAYS[:2]


def test_no_trials_at_all(tmp_path: Path) -> None:
    assert checked(tmp_path, write_report(tmp_path, described(SHAKEDROP), [])) == ALWAYS[:2]


@pytest.mark.parametrize("value", [0.0, 70.0, -1e-12])
def test_trials_that_are_all_equal(tmp_path: Path, make_trial: MakeTrial, value: float) -> None:
    point: Point = {P_L: 0.5, LOW: -1.0, HIGH: 1.0}
    trials = [make_trial(i, point, [value] * 9) for i in range(1, 7)]
    files = write_report(tmp_path, described(SHAKEDROP, objectives="metric_and_time"), trials)
    assert checked(tmp_path, files) == [*ALWAYS, *MAPS, "pareto.png"]


def test_a_single_category(tmp_path: Path, make_trial: MakeTrial) -> None:
    space: dict[str, Distribution] = {"only": ChoiceConfig(values=("one",))}
    trials = [make_trial(i, {"only": "one"}, [60.0 + i]) for i in range(1, 6)]
    assert checked(tmp_path, write_report(tmp_path, described(space), trials)) == ALWAYS


def test_no_heat_map_unless_both_are_searched(tmp_path: Path, make_trial: MakeTrial) -> None:
    space = {P_L: SHAKEDROP[P_L], HIGH: SHAKEDROP[HIGH]}
    files = write_report(tmp_path, described(space), swept(make_trial, 5, space))
    assert checked(tmp_path, files) == [*ALWAYS, MAPS[1], *RATED]


def test_odd_short_names_make_plain_file_names(tmp_path: Path, make_trial: MakeTrial) -> None:
    sweep = SweepDescription("t", "val/loss", "min", SHAKEDROP, {P_L: "../P|L", LOW: "α\\low"})
    files = write_report(tmp_path, sweep, swept(make_trial, 5, SHAKEDROP))
    names = checked(tmp_path, files)
    assert "heat_map____P_L___low.png" in names
    assert "heat_map____P_L_model_regularizer_alpha_high.png" in names


def test_a_population_is_neither_fitted_nor_rated(tmp_path: Path, make_trial: MakeTrial) -> None:
    trials = swept(make_trial, 4, SHAKEDROP)
    trials.append(make_trial(5, {P_L: 0.5}, range(9), changes=(Change(3, 1, {P_L: 0.5}),)))
    files = write_report(tmp_path, described(SHAKEDROP), trials)
    assert checked(tmp_path, files) == [*ALWAYS, "schedules.png"]


def test_a_later_report_replaces_the_earlier(tmp_path: Path, make_trial: MakeTrial) -> None:
    space = {P_L: SHAKEDROP[P_L]}
    trials = swept(make_trial, 6, space)
    first = write_report(tmp_path, described(space), trials[:5])
    before = {file: file.read_bytes() for file in first}
    assert write_report(tmp_path, described(space), trials) == first
    assert all(file.read_bytes() != content for file, content in before.items())


def test_a_far_outlier_and_tiny_differences(tmp_path: Path, make_trial: MakeTrial) -> None:
    trials = swept(make_trial, 9, SHAKEDROP)
    trials.append(make_trial(10, {P_L: 0.5, LOW: -1.0, HIGH: 1.0}, [1e30] * 9))
    trials.append(make_trial(11, {P_L: 0.5, LOW: -1.0, HIGH: 1.0}, [-1e-30] * 9))
    checked(tmp_path, write_report(tmp_path, described(SHAKEDROP), trials))
