"""Taking over another trial's checkpoint."""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from service.cluster.sweeps import adoption
from service.cluster.sweeps.adoption import adopt
from service.cluster.sweeps.ending import remove_losers
from service.cluster.sweeps.sweep import Sweep
from service.search.ledger import Ledger
from service.training.checkpoint import (
    CheckpointContent,
    newest_valid,
    read_checkpoint,
    write_checkpoint,
)
from service.training.retention import checkpoint_folder, checkpoint_folders


def save(folder: Path, step: int, value: float) -> Path:
    state = {"position": step}
    content = CheckpointContent({"weight": torch.tensor([value])}, None, state, "", {}, {})
    write_checkpoint(checkpoint_folder(folder, step), content)
    return checkpoint_folder(folder, step)


def weight(folder: Path) -> float:
    return float(read_checkpoint(folder).model["weight"])


def test_the_copy_is_whole_and_stays_when_the_source_goes_on(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine", tmp_path / "other"
    own, source = save(mine, 4, 1.0), save(other, 4, 2.0)
    copy = adopt(mine, other, 4)
    assert weight(copy) == 2.0
    adoption.remove_checkpoint(source)
    assert weight(copy) == 2.0
    # It is not one of the run's own, which stay.
    assert checkpoint_folders(mine) == [own]
    assert weight(own) == 1.0
    found, complaints = newest_valid([copy])
    assert found is not None
    assert complaints == []


def test_the_step_that_is_asked_for_is_taken(tmp_path: Path) -> None:
    for step in (4, 8, 12):
        save(tmp_path / "other", step, float(step))
    assert weight(adopt(tmp_path / "mine", tmp_path / "other", 8)) == 8.0


def test_only_the_newest_adopted_one_stays(tmp_path: Path) -> None:
    """Each is as large as a checkpoint, and nobody else deletes them."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    for step in (4, 8, 12):
        save(other, step, float(step))
        copy = adopt(mine, other, step)
        assert weight(copy) == step
        assert list(copy.parent.iterdir()) == [copy]


def test_adopting_again_takes_what_is_there_now(tmp_path: Path) -> None:
    """After a restart the same turn is prepared again, from another source perhaps."""
    mine = tmp_path / "mine"
    save(tmp_path / "one", 4, 1.0)
    save(tmp_path / "two", 4, 2.0)
    adopt(mine, tmp_path / "one", 4)
    assert weight(adopt(mine, tmp_path / "two", 4)) == 2.0
    assert len(list((mine / "adopted").iterdir())) == 1


def test_a_checkpoint_that_is_still_written_is_waited_for(tmp_path: Path) -> None:
    def write() -> None:
        time.sleep(0.2)
        save(tmp_path / "other", 4, 2.0)

    writer = threading.Thread(target=write)
    writer.start()
    assert weight(adopt(tmp_path / "mine", tmp_path / "other", 4)) == 2.0
    writer.join()


def test_what_a_trial_adopted_goes_when_it_ended(
    make_sweep: Callable[..., Sweep], ledger: Ledger, train: Callable[..., None]
) -> None:
    sweep = make_sweep("sweep.keep=1")
    save(sweep.folder / "donor", 4, 2.0)
    for number, value in ((1, 80.0), (2, 70.0), (3, 60.0)):
        ledger.propose({"optimizer.lr": 0.1})
        train(number, value)
        save(sweep.trial_folder(number), 8, value)
        adopt(sweep.trial_folder(number), sweep.folder / "donor", 4)
    ledger.end(1, "finished", None, {})
    ledger.end(2, "stopped", "by pbt", {})
    remove_losers(sweep, ledger.trials)
    assert [_left(sweep, number) for number in (1, 2, 3)] == [
        ["step_00000008"],  # the best one
        [],
        ["adopted/step_00000004", "step_00000008"],  # it may start again
    ]


def _left(sweep: Sweep, number: int) -> list[str]:
    """Returns the checkpoints in a trial's folder, and folders that hold none."""
    folder = sweep.trial_folder(number)
    empty = [path for path in folder.rglob("*") if path.is_dir() and not any(path.iterdir())]
    kept = [path.parent for path in folder.rglob("manifest.json")]
    return sorted(str(path.relative_to(folder)) for path in (*kept, *empty))


def test_one_that_does_not_appear_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adoption, "_PATIENCE", 0.1)
    save(tmp_path / "other", 8, 1.0)
    with pytest.raises(TimeoutError, match=r"other/step_00000004 was not written within 0\.1 s"):
        adopt(tmp_path / "mine", tmp_path / "other", 4)
    assert not (tmp_path / "mine").exists()
