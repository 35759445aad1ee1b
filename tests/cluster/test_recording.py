"""What training processes record."""

from pathlib import Path
from typing import Any

import pytest
from running import journal

from service.cluster.job import Application, Job
from service.cluster.recording import Recorder
from service.config.imagenet import ImageNetConfig
from service.config.run import RunConfig
from service.tracking import waiting
from service.training.length import RunLength


def _unused(*_: object) -> Any:  # noqa: ANN401  # stands for functions of several types
    raise AssertionError("recording asks nothing of what is trained")


def _job(storage: Path, config: RunConfig) -> Job:
    length = RunLength(100, config.training.batch_size, config.training.duration)
    application = Application(_unused, _unused, _unused, _unused, ())
    return Job(config, storage, application, length, None)


def test_only_the_leader_keeps_metrics_warnings_and_files(tmp_path: Path) -> None:
    job = _job(tmp_path, ImageNetConfig(name="a-run"))
    for leads_run in (False, True):
        with Recorder(job, leads_run=leads_run, node=None) as recorder:
            recorder.log(1, {"train/loss": 1.0})
            recorder.warn("one picture skipped")
            recorder.attach("evaluation/pictures.png", b"picture")
        assert job.folder.exists() == leads_run
    files = {path.relative_to(job.folder).as_posix() for path in job.folder.rglob("*.*")}
    assert files == {"metrics.jsonl", "artifacts.jsonl", "artifacts/evaluation/pictures.png"}
    assert (job.folder / "artifacts/evaluation/pictures.png").read_bytes() == b"picture"


def test_what_was_recorded_is_on_disk_before_a_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "EVERY", 60.0)
    job = _job(tmp_path, ImageNetConfig(name="a-run"))
    with Recorder(job, leads_run=True, node=None) as recorder:
        recorder.log(1, {"train/loss": 1.0})
        assert all(one.step == 0 for one in journal(tmp_path, "a-run"))
        recorder.settle()
        (record,) = [one for one in journal(tmp_path, "a-run") if one.step]
        assert record.metrics == {"train/loss": 1.0}
