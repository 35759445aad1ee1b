"""Which checkpoints go and which stay."""

import json
import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.training.checkpoint_files import remove_checkpoint
from service.training.retention import checkpoint_folder, checkpoint_folders, keep_best_and_last


def make(parent: Path, figures: dict[int, object]) -> None:
    for step, figure in figures.items():
        folder = checkpoint_folder(parent, step)
        folder.mkdir()
        metrics = {} if figure is None else {"val/top1": figure}
        (folder / "metrics.json").write_text(json.dumps(metrics))


def deleted(parent: Path, mode: str, keep: int) -> list[int]:
    folders = keep_best_and_last(parent, "val/top1", mode, keep)  # type: ignore[arg-type]
    return sorted(int(folder.name[-8:]) for folder in folders)


@pytest.mark.parametrize(
    ("mode", "keep", "expected"),
    [("max", 1, [1, 3, 4]), ("max", 2, [1, 4]), ("min", 1, [2, 3, 4]), ("min", 9, [])],
)
def test_the_best_and_the_last_stay(
    tmp_path: Path, mode: str, keep: int, expected: list[int]
) -> None:
    make(tmp_path, {1: 10.0, 2: 40.0, 3: 30.0, 4: 20.0, 5: 15.0})
    assert deleted(tmp_path, mode, keep) == expected


@pytest.mark.parametrize("mode", ["max", "min"])
def test_a_missing_figure_is_worse_than_any(tmp_path: Path, mode: str) -> None:
    make(tmp_path, {1: None, 2: math.nan, 3: 5, 4: math.inf, 5: -math.inf, 6: 7.0, 7: "8", 8: None})
    assert deleted(tmp_path, mode, 2) == [1, 2, 4, 5, 7]


def test_damaged_metrics_rank_like_missing_ones(tmp_path: Path) -> None:
    make(tmp_path, {1: 90.0, 2: 10.0, 3: 20.0, 4: 0.0})
    (checkpoint_folder(tmp_path, 1) / "metrics.json").write_text("{")
    (checkpoint_folder(tmp_path, 2) / "metrics.json").unlink()
    assert deleted(tmp_path, "max", 1) == [1, 2]


def test_of_equal_ones_the_newer_stays(tmp_path: Path) -> None:
    make(tmp_path, {1: 50.0, 2: 50.0, 3: 1.0, 4: 0.0})
    assert deleted(tmp_path, "max", 1) == [1, 3]


@settings(deadline=None)
@given(
    figures=st.lists(st.one_of(st.none(), st.floats()), max_size=8),
    keep=st.integers(1, 4),
    mode=st.sampled_from(["max", "min"]),
)
def test_what_stays_is_the_last_and_no_worse_than_what_goes(
    tmp_path_factory: pytest.TempPathFactory,
    figures: list[float | None],
    keep: int,
    mode: str,
) -> None:
    parent = tmp_path_factory.mktemp("run")
    make(parent, dict(enumerate(figures)))
    gone = deleted(parent, mode, keep)
    kept = [step for step in range(len(figures)) if step not in gone]
    assert len(kept) in {min(keep, len(figures)), min(keep + 1, len(figures))}
    assert not figures or kept[-1] == len(figures) - 1

    def worth(step: int) -> float:
        figure = figures[step]
        if figure is None or not math.isfinite(figure):
            return -math.inf
        return figure if mode == "max" else -figure

    best = sorted(kept, key=worth, reverse=True)[:keep]
    assert all(worth(good) >= worth(bad) for good in best for bad in gone)


def test_what_a_killed_writer_left_behind_goes(tmp_path: Path) -> None:
    assert keep_best_and_last(tmp_path / "nowhere", "val/top1", "max", 1) == []
    make(tmp_path, {1: 1.0})
    for name in (".step_00000002.unfinished", ".step_00000001.removed", ".hidden", ".step_a"):
        (tmp_path / name).mkdir()
    for folder in keep_best_and_last(tmp_path, "val/top1", "max", 1):
        remove_checkpoint(folder)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".hidden",
        ".step_a",
        "step_00000001",
    ]


def test_only_checkpoints_are_listed_newest_first(tmp_path: Path) -> None:
    make(tmp_path, {5: 1.0, 123456789: 1.0, 40: 1.0})
    (tmp_path / ".step_00000050.unfinished").mkdir()
    (tmp_path / "step_50").mkdir()
    (tmp_path / "step_00000060").write_text("a file")
    names = [folder.name for folder in checkpoint_folders(tmp_path)]
    assert names == ["step_123456789", "step_00000040", "step_00000005"]
    assert checkpoint_folders(tmp_path / "nowhere") == []


def test_a_removed_checkpoint_is_gone_and_removing_twice_is_no_error(tmp_path: Path) -> None:
    make(tmp_path, {1: 1.0})
    remove_checkpoint(checkpoint_folder(tmp_path, 1))
    remove_checkpoint(checkpoint_folder(tmp_path, 1))
    assert list(tmp_path.iterdir()) == []
