"""What an evaluation after training found, in the MLflow run of the training."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from service.tracking.client import connect_to_existing, unavailable_on_failure
from service.tracking.links import run_url
from service.tracking.origin import Origin, run_of

FOLDER = "evaluation"
"""First part of the names of figures, tags and files."""

_UNFIT = re.compile(r"[^\w.\-]+", re.ASCII)
_LONGEST = 100


@dataclass(frozen=True)
class EvaluationResult:
    """What is logged of an evaluation."""

    name: str
    """What tells its figures from those on other pictures; see `plain_name`."""
    step: int
    """Optimiser steps that the weights were trained for."""
    figures: Mapping[str, float]
    """Value by name, such as top1."""
    summary: str
    """What was evaluated on what, and how: a line for people; the run's page cuts a long one."""
    files: Mapping[str, Path]
    """Its files by the paths, with slashes, that they get."""


def plain_name(text: str) -> str:
    """Returns a name that MLflow takes, without slashes."""
    return _UNFIT.sub("-", text).strip("-.")[:_LONGEST] or "data"


def log_evaluation(uri: str, origin: Origin, result: EvaluationResult) -> str | None:
    """Adds an evaluation to the run that the weights came from.

    Figures become `evaluation/<name>/<figure>` at the step of the weights, so that the checkpoints
    of a run make a curve; files go to `evaluation/<name>/step_<step>/`; the summary becomes the tag
    `evaluation.<name>`. What training logged stays as it is, and so does the run's state.

    Args:
        uri: Resolved tracking URI.
        origin: Where the weights came from.
        result: What was found.

    Returns:
        The address of the run's page; None where MLflow knows no such run.

    Raises:
        TrackingUnavailableError: MLflow cannot be used now.
    """
    with unavailable_on_failure():
        client = connect_to_existing(uri)
        run = run_of(client, origin)
        if run is None:
            return None
        from mlflow.entities import Metric, RunTag

        run_id, now = run.info.run_id, int(time.time() * 1000)
        where = f"{FOLDER}/{result.name}"
        # Files first: figures without them would say less than they seem to.
        folder = PurePosixPath(where, f"step_{result.step:08d}")
        for path, file in result.files.items():
            client.log_artifact(run_id, str(file), str((folder / path).parent))
        client.log_batch(
            run_id,
            metrics=[
                Metric(f"{where}/{name}", value, now, result.step)
                for name, value in result.figures.items()
            ],
            tags=[RunTag(f"{FOLDER}.{result.name}", result.summary)],
        )
        return run_url(uri, run.info.experiment_id, run_id)
