"""The detection task under the loop: exact resumption, changes in place, what is kept for later."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from comparing import assert_same_checkpoint, assert_same_metrics
from toy import Recorder

from service.config.coco import COCOConfig
from service.config.errors import ConfigurationError
from service.config.loading import load, to_yaml
from service.data.decoding import DamagedPictureError
from service.detection.task import DetectionTask, check
from service.models.resolution import resolved_run
from service.regularization import ShakeDrop
from service.training.checkpoint import read_checkpoint
from service.training.local import LocalWorker
from service.training.loop import train
from service.training.retention import checkpoint_folder, checkpoint_folders
from service.training.settings import Settings

OPTIONS = (
    "name=run",
    "data.train_pictures=16",
    "data.evaluation_pictures=6",
    "data.picture_size=48",
    "data.train.scale.sides=[32, 40]",
    "data.train.scale.longest=64",
    "data.evaluation.short_side=32",
    "data.evaluation.longest=64",
    "data.evaluation.pictures_shown=1",
    "data.loading_processes=0",
    "model.backbone.depth=18",
    "model.backbone.width=4",
    "model.pyramid_channels=8",
    "model.anchor_sizes=[8, 16, 32, 64, 128]",
    "model.proposals=40",
    "model.region_samples=16",
    "model.box_head_width=16",
    "model.mask_head_width=8",
    "training.duration=2ep",
    "training.batch_size=4",
    "training.log_every=1",
    "training.deterministic=true",
    "checkpoint.every_steps=1",
    "checkpoint.every_minutes=null",
    "checkpoint.keep=100",
    "optimizer.lr=0.01",
)
"""8 steps of 4 pictures, one logged after another."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(False)


def recipe(*more: str) -> COCOConfig:
    return resolved_run(load(COCOConfig, overrides=[*OPTIONS, *more]))


def run(storage: Path, config: COCOConfig) -> Recorder:
    """Trains in `storage/run` from its newest checkpoint to the end."""
    recorder = Recorder()
    worker = LocalWorker(
        storage / "run",
        torch.device("cpu"),
        1,
        config.checkpoint,
        recorder.log,
        recorder.attach,
        recorder.warnings.append,
        lambda: False,
    )
    settings = Settings(
        config.training, config.optimizer, config.schedule, config.checkpoint, to_yaml(config)
    )
    train(DetectionTask(config, storage, worker), worker, settings)
    return recorder


def resumed(whole: Path, cut: Path, step: int, config: COCOConfig) -> Recorder:
    """Goes on from a checkpoint of a finished run, as after a kill."""
    (cut / "run").mkdir(parents=True)
    kept = checkpoint_folder(whole / "run", step)
    shutil.copytree(kept, cut / "run" / kept.name)
    return run(cut, config)


@pytest.mark.parametrize(
    "options",
    [
        (
            "data.train.photometric_distortion=0.5",
            "data.train.copy_paste=0.5",
            "training.average.enabled=true",
        ),
        (
            "model.kind=retinanet",
            "model.backbone.order=pre_activation",
            "model.backbone.regularizer={kind: drop_block, block_size: 2, ramp: {over: 1run}}",
            "model.pyramid_drop_block={drop_prob: 0.2, block_size: 2, ramp: {over: 1run}}",
            "data.train.scale={kind: large_scale_jitter, size: 64, low: 0.5, high: 2.0}",
            "training.accumulation=2",
        ),
    ],
    ids=["mask_rcnn", "retinanet"],
)
def test_a_run_killed_in_mid_epoch_goes_on_bit_for_bit(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    config = recipe(*options)
    whole = run(tmp_path, config)
    assert sorted(whole.metrics) == list(range(1, 9))
    # The second step of the second epoch.
    again = resumed(tmp_path, tmp_path / "cut", 6, config)
    assert min(again.metrics) == 7
    assert_same_metrics(whole, again, 7)
    ends = (checkpoint_folder(root / "run", 8) for root in (tmp_path, tmp_path / "cut"))
    assert_same_checkpoint(*map(read_checkpoint, ends))


def test_what_a_run_logs_and_keeps(tmp_path: Path) -> None:
    recorder = run(tmp_path, recipe("training.duration=1ep"))
    parts = ("classifier", "box_reg", "mask", "objectness", "rpn_box_reg")
    for step in range(1, 5):
        logged = recorder.metrics[step]
        total = sum(logged[f"train/loss_{part}"] for part in parts)
        assert logged["train/loss"] == pytest.approx(total, rel=1e-5)
    assert {"val/box_ap", "val/mask_ap", "val/best_box_ap"} <= recorder.metrics[4].keys()
    found = sorted(recorder.files)
    assert "evaluation/step_00000004/categories.csv" in found
    assert "evaluation/step_00000004/precision_recall.png" in found
    assert sum("/pictures/" in path for path in found) == 1
    assert sum("/worst/" in path for path in found) == 6
    for kind, field in (("box", "bbox"), ("mask", "segmentation")):
        results = json.loads((tmp_path / "run" / f"detections_{kind}.json").read_text())
        assert all(field in one for one in results)
    metadata = read_checkpoint(checkpoint_folders(tmp_path / "run")[0]).metadata
    assert metadata["task"] == "detection"
    assert [category["name"] for category in metadata["categories"]]


def test_strengths_change_in_place(tmp_path: Path) -> None:
    worker = LocalWorker(
        tmp_path / "run",
        torch.device("cpu"),
        1,
        recipe().checkpoint,
        lambda *_: None,
        lambda *_: None,
        lambda _: None,
        lambda: False,
    )
    task = DetectionTask(recipe(), tmp_path, worker)
    before = {name: id(value) for name, value in task.model.state_dict(keep_vars=True).items()}
    task.change(recipe("model.backbone.regularizer.p_l=0.25"))
    last = [unit for unit in task.model.modules() if isinstance(unit, ShakeDrop)][-1]
    assert float(last.p) == 0.25
    after = {name: id(value) for name, value in task.model.state_dict(keep_vars=True).items()}
    assert before == after
    with pytest.raises(ConfigurationError, match=r"^model\.region_samples: cannot change"):
        task.change(recipe("model.region_samples=8"))


def damaged(tmp_path: Path, *options: str) -> COCOConfig:
    """A drawn set whose first training and evaluation picture do not decode."""
    root = Path(check(recipe(), tmp_path / "drawn").splits.train.source).parent
    shutil.copytree(root, tmp_path / "own")
    for split in ("train2017", "val2017"):
        first = min((tmp_path / "own" / split).iterdir())
        first.write_bytes(first.read_bytes()[:200])
    return recipe(f"data.root={tmp_path / 'own'}", *options)


def test_a_damaged_picture_ends_the_run_and_is_named(tmp_path: Path) -> None:
    with pytest.raises(DamagedPictureError, match=r"train2017/.* cannot be used"):
        run(tmp_path, damaged(tmp_path, "training.duration=1ep"))


def test_damaged_pictures_are_skipped_told_and_counted(tmp_path: Path) -> None:
    config = damaged(
        tmp_path, "training.duration=1ep", "data.on_error=skip", "data.max_skipped_fraction=0.2"
    )
    recorder = run(tmp_path, config)
    assert len(recorder.metrics) == 4
    assert recorder.metrics[4]["train/skipped_pictures"] == 1
    assert recorder.metrics[4]["val/skipped_pictures"] == 1
    ends = {"train2017": "; skipped", "val2017": "; counted as without detections"}
    for split, end in ends.items():
        (line,) = [line for line in recorder.warnings if split in line]
        assert line.endswith(end)


def test_more_damaged_pictures_than_allowed_end_the_run(tmp_path: Path) -> None:
    config = damaged(
        tmp_path, "training.duration=1ep", "data.on_error=skip", "data.max_skipped_fraction=0.01"
    )
    with pytest.raises(DamagedPictureError, match=r"1 of 16 training pictures .*max_skipped"):
        run(tmp_path, config)
