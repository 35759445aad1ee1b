"""The winner's recipe, ready for its pipeline."""

from collections.abc import Sequence
from pathlib import Path

import yaml

from service.cluster.sweeps.sweep import Sweep
from service.search.trials import Trial, ranked
from service.storage.atomic import whole_file

BEST = "best.yaml"


def write_best(sweep: Sweep, trials: Sequence[Trial]) -> list[Path]:
    """Writes the best trial's recipe as `best.yaml` into the sweep's folder.

    Returns:
        The file; nothing if no trial has a value.
    """
    leaders = ranked(trials, sweep.search.mode)
    if not leaders:
        return []
    file = sweep.folder / BEST
    with whole_file(file) as unfinished:
        unfinished.write_text(best_recipe(sweep, leaders[0], file), "utf-8")
    return [file]


def best_recipe(sweep: Sweep, winner: Trial, file: Path) -> str:
    """Returns the winner's recipe as a configuration file for its pipeline.

    What a trial was given of the cluster is left out: the winner gets what there is.

    Args:
        sweep: The sweep.
        winner: Its best trial.
        file: Where the recipe will stand.
    """
    config = sweep.configurations().configure(winner.point)
    value = winner.best(sweep.search.mode)
    lines = [
        f"# python pipelines/{sweep.search.pipeline}.py --config {file}",
        f"# Trial {winner.number:03d} of the sweep {sweep.name}: {sweep.search.metric} {value:.4f} "
        f"within {winner.epochs:g} epochs.",
    ]
    if len(winner.changes) > 1:
        lines.append("# Its values changed in training; these are the last ones.")
    tree = config.model_dump(mode="json", exclude={"name", "expected", "cluster"})
    return "\n".join(lines) + "\n" + yaml.safe_dump(tree, sort_keys=False, allow_unicode=True)
