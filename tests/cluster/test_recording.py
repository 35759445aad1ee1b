"""What training processes record."""

from pathlib import Path
from typing import Any

from service.cluster.job import Application, Job
from service.cluster.recording import Recorder
from service.config.imagenet import ImageNetConfig
from service.config.run import RunConfig
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
        with Recorder(job, leads_run=leads_run, leads_node=False) as recorder:
            recorder.log(1, {"train/loss": 1.0})
            recorder.warn("one picture skipped")
            recorder.attach("evaluation/pictures.png", b"picture")
        assert job.folder.exists() == leads_run
    files = {path.relative_to(job.folder).as_posix() for path in job.folder.rglob("*.*")}
    assert files == {"metrics.jsonl", "artifacts.jsonl", "artifacts/evaluation/pictures.png"}
    assert (job.folder / "artifacts/evaluation/pictures.png").read_bytes() == b"picture"
