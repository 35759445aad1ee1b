"""`pipelines/imagenet.py` as its users meet it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import running
from running import OWN_CLUSTER, ROOT, SMALL, client, command, environment, journal, train_here

from service.cluster import pipeline as pipelines
from service.config.imagenet import ImageNetConfig
from service.config.loading import load
from service.tracking.used import read_used

sys.path.insert(0, str(ROOT / "pipelines"))
from imagenet import PIPELINE

pytestmark = pytest.mark.timeout(280)


def refused(capsys: pytest.CaptureFixture[str], storage: Path, *options: str) -> str:
    """Runs the pipeline in this process; returns the one line of its refusal."""
    status = pipelines.run_pipeline(PIPELINE, [f"storage.path={storage}", OWN_CLUSTER, *options])
    captured = capsys.readouterr()
    assert status == 2, captured
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert not list(storage.glob("*/config.yaml"))
    return lines[0]


def picture_folder(root: Path, train: str, val: str) -> Path:
    """Copies a drawn set's classes, named as asked, into an ImageNet tree."""
    from PIL import Image

    for split, names in (("train", train), ("val", val)):
        for name in names.split():
            folder = root / split / name
            folder.mkdir(parents=True)
            Image.new("L", (40, 30), 99).save(folder / "grey.JPEG")
    return root


@pytest.mark.parametrize(
    ("epochs", "steps", "top1"),
    # Ten classes: chance is 10 %. Half of the default reaches 54 %, all of it about 60 %.
    [(6, 282, 40), pytest.param(12, 563, 45, marks=pytest.mark.slow)],
)
def test_the_default_learns_evaluates_and_is_recorded(
    tmp_path: Path, epochs: int, steps: int, top1: float
) -> None:
    half = [] if epochs == 12 else [f"training.duration={epochs}ep"]
    place = (f"storage.path={tmp_path}", OWN_CLUSTER)
    done = running.run([*running.program("imagenet"), *place, *half])
    assert done.returncode == 0, done.stderr
    (run,) = client(tmp_path).search_runs(["1"])
    assert run.data.metrics["val/best_top1"] > top1
    lines = done.stdout.splitlines()
    assert sum("| " in line and "top1" in line for line in lines) == epochs
    assert any(line.startswith("top1 ") for line in lines)
    best = next(line for line in lines if line.startswith("best checkpoint: "))
    metadata = json.loads((Path(best.partition(": ")[2]) / "metadata.json").read_text())
    assert len(metadata["classes"]) == 10
    assert any(f"sqlite:///{tmp_path}/mlflow.db" in line for line in lines)
    assert any(line.startswith("this run: ") and run.info.run_id in line for line in lines)
    check_record(run, tmp_path, steps)


def check_record(run, storage: Path, last: int) -> None:  # noqa: ANN001  # mlflow's Run
    assert run.info.status == "FINISHED"
    params = run.data.params
    assert params["P_L"] == "0.5"
    assert (params["alpha_low"], params["alpha_high"]) == ("-1.0", "1.0")
    assert params["model"] == "resnet18_erase_relu_w16"
    assert len(params) < 25
    assert {"config_digest", "checkpoint", "mlflow.source.name"} <= set(run.data.tags)
    assert {d.dataset.name.rpartition("-")[2] for d in run.inputs.dataset_inputs} == {
        "train",
        "val",
    }
    assert "config.yaml" in [f.path for f in client(storage).list_artifacts(run.info.run_id)]
    assert any(re.match("system/.+/", name) for name in run.data.metrics)
    for name in ("train/loss", "time/images_per_second"):
        points = client(storage).get_metric_history(run.info.run_id, name)
        steps = [point.step for point in points]
        assert steps == sorted(set(steps))
        assert steps[-1] == last


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("model.regularizer.pl=0.3", "did you mean model.regularizer.p_l"),
        ("model.regularizer.p_l=1.2", "model.regularizer.p_l: 1.2 is not allowed"),
        ("model.regularizer.alpha={low: 1, high: 0}", "alpha: low must not exceed high"),
        ("data.root=missing", "data.root: cannot list missing/train"),
        ("model.weights=missing.pth", "model.weights: missing.pth: no such file"),
        ("cluster.num_workers=99", "cluster.num_workers: 99 workers of 1 CPU each do not fit"),
        ("tracking.uri=file:///tmp/x", "tracking.uri: file:///tmp/x is a folder of files"),
        ("name=../elsewhere", "name: '../elsewhere' is no plain folder name"),
    ],
)
def test_bad_input_is_one_line_and_nothing_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, message: str
) -> None:
    assert message in refused(capsys, tmp_path, *SMALL, option)


def test_a_data_folder_that_is_empty_or_has_an_unknown_class(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty" / "train").mkdir(parents=True)
    line = refused(capsys, tmp_path / "runs", f"data.root={tmp_path / 'empty'}")
    assert "no class folders" in line
    unknown = picture_folder(tmp_path / "unknown", "cat dog", "cat fox")
    assert "'fox'" in refused(capsys, tmp_path / "runs", f"data.root={unknown}")


def test_photographs_with_a_class_absent_from_val(tmp_path: Path) -> None:
    root = picture_folder(tmp_path / "pictures", "ant bee cat", "ant cat")
    options = ("name=run", f"data.root={root}", "training.duration=2st", "training.batch_size=3")
    trained = train_here(PIPELINE, tmp_path / "runs", *SMALL, *options, "tracking.enabled=false")
    assert trained == 0
    assert journal(tmp_path / "runs", "run")[-1].metrics["val/top5"] == 100
    # What it was made with is known without MLflow, too.
    (used,) = read_used(tmp_path / "runs" / "run")
    assert [(split.context, split.samples) for split in used.datasets] == [("train", 3), ("val", 2)]
    assert used.tags["versions"].startswith("python 3.")


def test_a_checkpoint_of_another_model_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (*SMALL, "name=first", "training.duration=2st", "tracking.enabled=false")
    assert train_here(PIPELINE, tmp_path, *options) == 0
    first = tmp_path / "first"
    weights = f"model.weights={next(first.glob('step_*'))}"
    line = refused(capsys, tmp_path / "other", *SMALL, "model.depth=34", weights)
    assert "checkpoint of another model" in line
    status = pipelines.run_pipeline(PIPELINE, [f"storage.path={tmp_path}", *SMALL, "name=first"])
    assert status == 2
    assert "continue it with --resume, or choose another name" in capsys.readouterr().err
    status = pipelines.run_pipeline(
        PIPELINE, [f"storage.path={tmp_path}", "--resume", "name=first", "model.depth=34"]
    )
    assert status == 2
    assert "model.depth: the run first began with 18" in capsys.readouterr().err


def test_a_stopped_run_is_closed_killed_and_goes_on(tmp_path: Path) -> None:
    """A terminal sends Ctrl-C to the loading processes too."""
    options = ("--local", "name=run", "training.duration=40ep", "training.log_every=1")
    driver = subprocess.Popen(
        command(tmp_path, *options, "data.loading_processes=1"),
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )
    while not journal(tmp_path, "run") or journal(tmp_path, "run")[-1].step < 4:
        assert driver.poll() is None
        time.sleep(0.02)
    os.killpg(driver.pid, signal.SIGINT)
    output, _ = driver.communicate(timeout=60)
    assert driver.returncode == 143
    assert "continue with --resume name=run" in output
    (run,) = client(tmp_path).search_runs(["1"])
    assert run.info.status == "KILLED"
    stopped_at = journal(tmp_path, "run")[-1].step
    again = (*SMALL, "--resume", "name=run", "training.duration=2ep")
    assert train_here(PIPELINE, tmp_path, *again) == 0
    steps = [r.step for r in journal(tmp_path, "run") if "train/loss" in r.metrics]
    assert steps == sorted(set(steps))
    assert stopped_at in steps
    (run,) = client(tmp_path).search_runs(["1"])
    assert run.info.status == "FINISHED"


def test_an_absent_tracking_server_costs_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (*SMALL, "name=run", "training.duration=1ep")
    assert train_here(PIPELINE, tmp_path, *options, "tracking.uri=http://127.0.0.1:9") == 0
    said = capsys.readouterr().out
    assert said.count("does not answer (Connection refused); training goes on") == 1
    assert "--resume delivers them" in said
    kept = [r.step for r in journal(tmp_path, "run") if "train/loss" in r.metrics]
    assert kept == [2, 4, 6, 8]
    # The same run, once something answers.
    assert train_here(PIPELINE, tmp_path, *options, "--resume", "tracking.uri=auto") == 0
    (run,) = client(tmp_path).search_runs(["1"])
    points = client(tmp_path).get_metric_history(run.info.run_id, "train/loss")
    assert [point.step for point in points] == kept


def test_help_and_print_config(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert pipelines.run_pipeline(PIPELINE, ["--help"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(PIPELINE.summary)
    assert "model.regularizer.p_l=0.5" in shown
    assert pipelines.run_pipeline(PIPELINE, ["--print-config", "--model.depth", "50"]) == 0
    file = tmp_path / "printed.yaml"
    file.write_text(capsys.readouterr().out)
    config = load(ImageNetConfig, [file])
    assert config.model.depth == 50
    assert config.model.regularizer.alpha.low == -1
