"""The report of a sweep: its tables and pictures in a folder."""

import re
from collections.abc import Sequence
from pathlib import Path

from service.search.report.canvas import save
from service.search.report.comparison import compare
from service.search.report.description import SweepDescription
from service.search.report.front import draw_front
from service.search.report.heat_map import draw_heat_map
from service.search.report.importance import draw_importances, importances, table_of
from service.search.report.parallel_coordinates import draw_parallel_coordinates
from service.search.report.progress import draw_progress
from service.search.report.response import draw_response
from service.search.report.schedules import draw_schedules
from service.search.report.tables import write_csv, write_tables
from service.search.trials import Trial, ranked

_P_L = "model.regularizer.p_l"
_ALPHA = ("model.regularizer.alpha.low", "model.regularizer.alpha.high")
_NO_FILE_NAME = re.compile(r"[^A-Za-z0-9_-]")


def write_report(folder: Path, sweep: SweepDescription, trials: Sequence[Trial]) -> list[Path]:
    """Writes what a sweep showed; each file appears whole, and replaces that of an earlier report.

    Pictures that nothing can be drawn in are left out: with no value yet, only the tables are
    written. Where values changed during the trials (population based training), a last value
    says little of the values that stood at its end: then nothing is fitted, averaged or rated.

    Args:
        folder: Where to; created if missing.
        sweep: The sweep.
        trials: All its trials, in any order, also running and failed ones.

    Returns:
        The files, in the order in which a reader wants them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = write_tables(folder, sweep, trials)
    shown = ranked(trials, sweep.mode)
    if not shown or not sweep.space:
        return tables
    pictures = [
        save(draw_parallel_coordinates(sweep, trials), folder / "parallel_coordinates.png"),
        save(draw_progress(sweep, trials), folder / "best_so_far.png"),
    ]
    if any(trial.changes for trial in shown):
        pictures.append(save(draw_response(sweep, trials, None), folder / "response.png"))
        pictures.append(save(draw_schedules(sweep, trials), folder / "schedules.png"))
    else:
        pictures += _comparisons(folder, sweep, trials)
    if sweep.objectives == "metric_and_time":
        pictures.append(save(draw_front(sweep, trials), folder / "pareto.png"))
    return [*tables, *pictures]


def _comparisons(folder: Path, sweep: SweepDescription, trials: Sequence[Trial]) -> list[Path]:
    """Writes what compares trials whose values stayed the same."""
    compared = compare(trials, sweep.mode)
    files = [save(draw_response(sweep, trials, compared), folder / "response.png")]
    for end in _ALPHA:
        if _P_L in sweep.space and end in sweep.space:
            name = f"heat_map_{sweep.name(_P_L)}_{sweep.name(end)}"
            figure = draw_heat_map(sweep, trials, compared, (_P_L, end))
            if figure is not None:
                files.append(save(figure, folder / f"{_NO_FILE_NAME.sub('_', name)}.png"))
    found = importances(sweep, trials, compared)
    if found:
        files.append(write_csv(folder / "importance.csv", table_of(sweep, found)))
        figure = draw_importances(sweep, trials, compared, found)
        files.append(save(figure, folder / "importance.png"))
    return files
