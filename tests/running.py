"""Running a pipeline as a user does: as a process, with real Ray and a real MLflow store."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlflow.tracking import MlflowClient

from service.cluster import pipeline as pipelines
from service.cluster.pipeline import Pipeline
from service.tracking.records import EventRecord, MetricRecord, read_records

ROOT = Path(__file__).resolve().parents[1]

SMALL = (
    "data.train_pictures=256",
    "data.evaluation_pictures=61",
    "data.picture_size=32",
    "data.train.size=16",
    "data.evaluation.size=16",
    "data.evaluation.resize=18",
    "model.width=4",
    "model.stem=small",
    "training.batch_size=32",
    "training.log_every=2",
    "tracking.system_metrics_every=null",
)
"""A run of 8 steps an epoch that takes seconds."""

OWN_CLUSTER = "cluster.address=local"
"""A cluster that happens to run on the machine is none of the tests' business."""


def command(storage: Path, *options: str) -> list[str]:
    """Returns the command line of a small run."""
    return [*program("imagenet"), f"storage.path={storage}", OWN_CLUSTER, *SMALL, *options]


def program(pipeline: str) -> list[str]:
    """Returns how a pipeline is started."""
    return [sys.executable, str(ROOT / "pipelines" / f"{pipeline}.py")]


def environment(**variables: str) -> dict[str, str]:
    """Returns the environment of a pipeline; each test starts a cluster of its own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "MLFLOW_"))}
    # Tests run beside each other: more threads would wait for cores that others use.
    return kept | {"PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"} | variables


def run_pipeline(
    storage: Path, *options: str, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs the ImageNet pipeline to its end."""
    return run(command(storage, *options), variables)


def train_here(pipeline: Pipeline, storage: Path, *options: str) -> int:
    """Runs a pipeline in this process, which has imported everything, to its exit status."""
    place = ("--local", f"storage.path={storage}", "data.loading_processes=0")
    return pipelines.run_pipeline(pipeline, [*place, *options])


def run(
    line: Sequence[str], variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command line to its end."""
    return subprocess.run(
        line,
        env=environment(**(variables or {})),
        capture_output=True,
        text=True,
        timeout=270,
        check=False,
    )


def journal(storage: Path, name: str) -> list[MetricRecord]:
    """Returns the metrics that a run recorded."""
    records, _ = read_records(storage / name / "metrics.jsonl", 0)
    return [record for record in records if isinstance(record, MetricRecord)]


def events(storage: Path, name: str) -> list[str]:
    """Returns what people were told while a run went on."""
    records, _ = read_records(storage / name / "metrics.jsonl", 0)
    return [record.text for record in records if isinstance(record, EventRecord)]


def client(storage: Path) -> MlflowClient:
    """Returns a client of the storage folder's MLflow database."""
    return MlflowClient(f"sqlite:///{storage / 'mlflow.db'}")
