"""`pipelines/coco.py` as its users meet it."""

import json
import sys
from pathlib import Path

import pytest
import running
from running import OWN_CLUSTER, ROOT, client

from service.cluster import pipeline as pipelines
from service.config.coco import COCOConfig
from service.config.loading import load
from service.detection.task import open_splits
from service.training.retention import checkpoint_folders

sys.path.insert(0, str(ROOT / "pipelines"))
from coco import PIPELINE
from imagenet import PIPELINE as CLASSIFIER

pytestmark = pytest.mark.timeout(280)

TINY = (
    "data.train_pictures=16",
    "data.evaluation_pictures=6",
    "data.picture_size=48",
    "data.train.scale.sides=[32]",
    "data.evaluation.short_side=32",
    "model.backbone.width=4",
    "model.pyramid_channels=8",
    "model.proposals=40",
    "model.region_samples=16",
    "model.box_head_width=16",
    "model.mask_head_width=8",
    "training.batch_size=4",
    "training.duration=1ep",
    "tracking.system_metrics_every=null",
)
"""A run of 4 steps."""


def run(storage: Path, *options: str) -> tuple[int, str, str]:
    done = running.run([*running.program("coco"), f"storage.path={storage}", OWN_CLUSTER, *options])
    return done.returncode, done.stdout, done.stderr


def refused(capsys: pytest.CaptureFixture[str], storage: Path, *options: str) -> str:
    """Runs the pipeline in this process; returns the one line of its refusal."""
    line = [f"storage.path={storage}", "--local", *options]
    assert pipelines.run_pipeline(PIPELINE, line) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert not list(storage.glob("*/config.yaml"))
    return lines[0]


def test_the_default_learns_on_two_workers_and_is_recorded(tmp_path: Path) -> None:
    """A third of the default's epochs on two thirds of its pictures; all of it reaches about 31."""
    status, output, errors = run(
        tmp_path,
        "name=run",
        "data.train_pictures=160",
        "data.evaluation_pictures=41",
        "data.evaluation.pictures_shown=2",
        "training.duration=4ep",
        "training.batch_size=4",
        "training.evaluate_every=4ep",
        "tracking.system_metrics_every=null",
    )
    assert status == 0, errors
    assert "on 2 workers" in output
    (found,) = client(tmp_path).search_runs(["1"])
    # Random weights reach 0.0; the same run here reached 6.0.
    assert found.data.metrics["val/box_ap"] > 2.5
    assert found.data.metrics["val/mask_ap"] > 2.5
    assert found.data.params["P_L"] == "0.9"
    folder = "evaluation/step_00000160"
    files = {entry.path for entry in client(tmp_path).list_artifacts(found.info.run_id, folder)}
    named = ("categories.csv", "precision_recall.png", "pictures", "worst")
    assert {f"{folder}/{name}" for name in named} <= files
    results = json.loads((tmp_path / "run" / "detections_mask.json").read_text())
    assert {"image_id", "category_id", "score", "segmentation"} == results[0].keys()


def test_a_classifier_is_one_flag_away_from_a_detector(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = ("model.depth=18", "model.width=4", "model.regularizer.p_l=0.3")
    short = (*running.SMALL, "name=classifier", "training.duration=2st")
    assert running.train_here(CLASSIFIER, tmp_path, *short, *network) == 0
    (trained,) = client(tmp_path).search_runs(["1"])
    # By its run, as the person who looks at MLflow knows it.
    weights = f"model.weights=runs:/{trained.info.run_id}"
    options = ("model.trained_stages=3", "model.batch_norm=frozen", "model.backbone.stem=small")
    assert running.train_here(PIPELINE, tmp_path, "name=detector", weights, *TINY, *options) == 0
    output = capsys.readouterr().out
    table = {parts[1]: parts[2:] for parts in map(str.split, output.splitlines()) if len(parts) > 4}
    assert table["layer4"][1:] == ["0", "0", "0"]
    assert int(table["layer4"][0]) > 0
    assert int(table["pyramid"][1]) > 0
    (detector,) = client(tmp_path).search_runs(["2"])
    # The recipe of the default says 0.9, and a recipe wins over a checkpoint.
    assert detector.data.params["P_L"] == "0.9"
    # A detector goes on from another one.
    first = checkpoint_folders(tmp_path / "detector")[0]
    again = ("name=again", f"model.weights={first}", *TINY, "training.duration=1st")
    assert running.train_here(PIPELINE, tmp_path, *again) == 0


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("model.kind=mask_cnn", "model.kind: must be one of faster_rcnn, mask_rcnn, retinanet"),
        ("model.trained_stages=3", "without weights nothing may be frozen"),
        ("model.weights=missing.pth", "model.weights: missing.pth: no such file"),
        ("model.backbone.kind=cifar_resnet", "model.backbone.kind: must be one of resnet"),
        ("training.compile=true", "training.compile: the number of a detector's proposals"),
        ("data.root=missing", "data.root: there is no folder missing"),
        (
            "model.kind=retinanet data.train.copy_paste=0.5",
            "data.train.copy_paste: objects are pasted by their masks",
        ),
    ],
)
def test_bad_input_is_one_line_and_nothing_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str, message: str
) -> None:
    assert message in refused(capsys, tmp_path, *TINY, *option.split())


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The drawn set of `TINY`, to be damaged."""
    splits = open_splits(load(COCOConfig, overrides=TINY), tmp_path_factory.mktemp("drawn"))
    return Path(splits.train.source).parent


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("images", 0, "file_name"), "../secret.jpg", "file_name"),
        (("images", 0, "file_name"), "absent.jpg", "absent.jpg"),
        (("annotations", 0, "image_id"), 999, "999"),
        (("annotations", 0, "category_id"), 77, "77"),
        (
            ("annotations", 0, "segmentation"),
            {"size": [5, 5], "counts": [25]},
            "segmentation",
        ),
    ],
)
def test_a_contradictory_annotation_file_is_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    drawn: Path,
    where: tuple[str, int, str],
    value: object,
    message: str,
) -> None:
    root = copied(drawn, tmp_path / "own")
    file = root / "annotations" / "instances_train2017.json"
    content = json.loads(file.read_text())
    section, index, field = where
    content[section][index][field] = value
    file.write_text(json.dumps(content))
    line = refused(capsys, tmp_path / "runs", *without_drawing(), f"data.root={root}")
    assert "instances_train2017.json" in line
    assert message in line


def test_a_truncated_annotation_file_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], drawn: Path
) -> None:
    root = copied(drawn, tmp_path / "own")
    file = root / "annotations" / "instances_val2017.json"
    file.write_bytes(file.read_bytes()[:-20])
    line = refused(capsys, tmp_path / "runs", *without_drawing(), f"data.root={root}")
    assert "instances_val2017.json" in line


def copied(source: Path, target: Path) -> Path:
    """Copies a data set."""
    for path in source.rglob("*"):
        if path.is_file():
            copy = target / path.relative_to(source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    return target


def without_drawing() -> list[str]:
    """Returns `TINY` without what only a drawn set has."""
    drawn_only = ("data.train_pictures", "data.evaluation_pictures", "data.picture_size")
    return [option for option in TINY if not option.startswith(drawn_only)]
