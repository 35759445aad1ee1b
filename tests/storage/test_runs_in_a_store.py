"""Runs whose storage is an object store survive the loss of a machine with its disk."""

import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
import torch
from mlflow.tracking import MlflowClient
from running import ROOT, SMALL, command, environment, run_pipeline
from storing import BUCKET, Store

from service.cluster import pipeline as pipelines
from service.storage.object_store import ObjectStore
from service.tracking.records import MetricRecord, parse_record
from service.training.checkpoint import CheckpointContent, read_checkpoint

sys.path.insert(0, str(ROOT / "pipelines"))
from imagenet import PIPELINE

OPTIONS = (
    "name=run",
    "training.duration=40st",
    "training.deterministic=true",
    "training.log_every=1",
    "checkpoint.every_steps=6",
)
LAST = "step_00000040"

pytestmark = pytest.mark.timeout(280)


def steps_in_store(address: str) -> list[int]:
    """Returns the steps whose losses the store knows."""
    store = ObjectStore(address)
    parts = [store.read(name) for name in store.list("run/metrics.jsonl")]
    records = [parse_record(line) for line in b"".join(parts).splitlines()]
    return [
        record.step
        for record in records
        if isinstance(record, MetricRecord) and "train/loss" in record.metrics
    ]


def checkpoint_in_store(address: str, folder: Path) -> CheckpointContent:
    """Downloads the last checkpoint, and compares each file with the manifest."""
    store = ObjectStore(f"{address}/run")
    for name in store.list(LAST):
        store.download(name, folder / name)
    return read_checkpoint(folder / LAST)


def started(storage: str, *options: str, store: Store) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(Path("unused"), *OPTIONS, *options, f"storage.path={storage}"),
        env=environment(**store.variables, OMP_NUM_THREADS="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def kill_after(driver: subprocess.Popen[str], address: str, step: int, victim: str | None) -> None:
    """Kills the driver, or one of its processes, once the store knows of a step."""
    try:
        while max(steps_in_store(address), default=0) < step:
            assert driver.poll() is None, driver.communicate()[0]
            time.sleep(0.2)  # the server has other requests to answer
    except BaseException:
        driver.kill()
        raise
    if victim is None:
        driver.kill()
        driver.communicate()
        return
    family = psutil.Process(driver.pid).children(recursive=True)
    next(p for p in family if victim in " ".join(p.cmdline())).kill()


def same(one: CheckpointContent, other: CheckpointContent) -> bool:
    return all(torch.equal(tensor, other.model[name]) for name, tensor in one.model.items())


def check_record(uri: str, address: str) -> None:
    """Checks that MLflow has one run, each step once, and the store the same."""
    client = MlflowClient(uri)
    (run,) = client.search_runs(["1"])
    assert run.info.status == "FINISHED"
    assert run.data.tags["checkpoint"].startswith(f"{address}/run/step_")
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert Counter(point.step for point in history) == Counter(range(1, 41))
    assert steps_in_store(address) == list(range(1, 41))


@pytest.mark.faults
def test_a_run_goes_on_where_the_machine_and_its_disk_were_lost(
    tmp_path: Path, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    address, uri = f"s3://{BUCKET}/alone", f"sqlite:///{tmp_path / 'mlflow.db'}"
    copies = [f"storage.working_folder={tmp_path / name}" for name in ("lost", "new")]
    driver = started(address, "--local", f"tracking.uri={uri}", copies[0], store=store)
    kill_after(driver, address, 10, None)
    reached = max(steps_in_store(address))
    assert reached < 40
    shutil.rmtree(tmp_path / "lost")
    line = ["--local", *SMALL, *OPTIONS]
    again = [*line, "--resume", f"storage.path={address}", f"tracking.uri={uri}", copies[1]]
    assert pipelines.run_pipeline(PIPELINE, again) == 0, capsys.readouterr()
    twin = [*line, f"storage.path={tmp_path / 'twin'}", "tracking.enabled=false"]
    assert pipelines.run_pipeline(PIPELINE, twin) == 0, capsys.readouterr()
    found = checkpoint_in_store(address, tmp_path / "found")
    assert same(read_checkpoint(tmp_path / "twin" / "run" / LAST), found)
    check_record(uri, address)
    kept = {name.split("/")[2] for name in store.objects("alone/run/step_")}
    assert len(kept) <= 3  # the two best and the last
    assert "testing-secret" not in capsys.readouterr().out


@pytest.mark.slow  # Ray starts twice
@pytest.mark.timeout(600)
def test_workers_of_ray_go_on_from_the_store(tmp_path: Path, store: Store) -> None:
    address, uri = f"s3://{BUCKET}/ray", f"sqlite:///{tmp_path / 'mlflow.db'}"
    copies = [f"storage.working_folder={tmp_path / name}" for name in ("lost", "new")]
    one_thread = {"OMP_NUM_THREADS": "1"}
    options = ("cluster.num_workers=2", f"tracking.uri={uri}")
    driver = started(address, *options, copies[0], store=store)
    kill_after(driver, address, 5, "RayTrainWorker")
    kill_after(driver, address, 20, None)
    shutil.rmtree(tmp_path / "lost")
    done = run_pipeline(
        Path("unused"),
        *OPTIONS,
        *options,
        copies[1],
        "--resume",
        f"storage.path={address}",
        variables={**store.variables, **one_thread},
    )
    assert done.returncode == 0, done.stderr
    checkpoint_in_store(address, tmp_path / "found")
    check_record(uri, address)
