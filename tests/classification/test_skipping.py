"""Training with damaged pictures: the same on all workers, and the same after a restart."""

import json
import os
import shutil
import socket
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from comparing import assert_same_checkpoint
from damaged import BATCH, DAMAGED_IN_EVALUATION, DAMAGED_POSITIONS, LAST, Seen, draw, run, task

from service.data.decoding import DamagedPictureError
from service.training.checkpoint import read_checkpoint
from service.training.retention import checkpoint_folder

RESUMED = 1


def resumed(root: Path, folder: Path, *options: str) -> Seen:
    """Goes on from the second checkpoint of the run in `folder/whole`, as after a kill."""
    kept = checkpoint_folder(folder / "whole" / "run", RESUMED)
    if dist.get_rank() == 0:
        shutil.copytree(kept, folder / "resumed" / "run" / kept.name)
    dist.barrier()
    return run(root, folder / "resumed", *options)


def work(rank: int, world_size: int, port: int, root: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=world_size)
    divided = f"training.accumulation={BATCH // world_size}"
    once = "checkpoint.every_steps=null"
    bound = "data.max_skipped_fraction=0.05"
    seen = {
        "whole": run(root, folder / "whole", divided),
        "resumed": resumed(root, folder, divided),
        "bounded": run(root, folder / "bounded", divided, once, bound),
        "linear": run(root, folder / "linear", divided, once, linear=True),
    }
    results = {name: asdict(one) for name, one in seen.items()}
    (folder / f"rank{rank}.json").write_text(json.dumps(results))
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str], list[str]]:
    root = tmp_path_factory.mktemp("data") / "set"
    return root, *draw(root)


@dataclass(frozen=True)
class Together:
    """What all workers saw, by rank, and where they trained."""

    folder: Path
    ranks: list[dict[str, Seen]]

    def of(self, name: str) -> list[Seen]:
        return [seen[name] for seen in self.ranks]


@pytest.fixture(scope="module", params=[pytest.param(2, marks=pytest.mark.slow), 3])
def together(
    request: pytest.FixtureRequest,
    data: tuple[Path, list[str], list[str]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Together:
    folder = tmp_path_factory.mktemp(f"workers{request.param}")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    world_size = request.param
    multiprocessing.spawn(work, (world_size, port, data[0], folder), nprocs=world_size)
    results = [json.loads((folder / f"rank{r}.json").read_text()) for r in range(world_size)]
    return Together(
        folder,
        [{name: Seen(**one) for name, one in result.items()} for result in results],
    )


@pytest.fixture(autouse=True)
def _undisturbed_torch() -> Iterator[None]:
    yield
    torch.use_deterministic_algorithms(False)


def figures(seen: Seen, first: int = 0) -> dict[str, dict[str, float]]:
    """Returns what was counted and evaluated from a step on."""
    return {
        step: {k: v for k, v in row.items() if k.startswith("val/") or k.endswith("pictures")}
        for step, row in seen.metrics.items()
        if int(step) >= first
    }


def test_all_workers_count_the_same_and_tell_each_picture_once(
    together: Together, data: tuple[Path, list[str], list[str]]
) -> None:
    _, damaged, damaged_in_evaluation = data
    for seen in together.of("whole"):
        assert (seen.steps, seen.error) == (LAST, "")
        assert figures(seen) == figures(together.of("whole")[0])
        counted = {step: row.get("train/skipped_pictures") for step, row in seen.metrics.items()}
        assert counted == {"3": 2, "4": 2, "6": 2, "8": 2}
        for step in ("4", "8"):
            assert seen.metrics[step]["val/skipped_pictures"] == len(DAMAGED_IN_EVALUATION)
        assert len(seen.warnings) == len(damaged) + len(damaged_in_evaluation)
        for name in (*damaged, *damaged_in_evaluation):
            (line,) = [line for line in seen.warnings if name in line]
            assert line.endswith("; skipped")


def test_a_resumed_run_ends_with_the_same_bits_and_counts(together: Together) -> None:
    """Nothing had been logged before the checkpoint, and rank 0 had found nothing damaged."""
    whole, again = together.of("whole")[0], together.of("resumed")[0]
    assert figures(again) == figures(whole, RESUMED + 1)
    folders = (together.folder / name / "run" for name in ("whole", "resumed"))
    ends = [read_checkpoint(checkpoint_folder(folder, LAST)) for folder in folders]
    assert_same_checkpoint(*ends)
    assert len(ends[0].state["task"]["skipped_training"]) == len(DAMAGED_POSITIONS)
    assert ends[0].state["task"]["skipped_evaluation"].tolist() == list(DAMAGED_IN_EVALUATION)
    # What was found before is not told again.
    assert sum("train/" in line for line in again.warnings) == 1


def test_beyond_the_bound_all_workers_end_at_the_same_step_with_the_same_error(
    together: Together, data: tuple[Path, list[str], list[str]]
) -> None:
    for seen in together.of("bounded"):
        assert seen.steps == 3
        assert seen.error == together.of("bounded")[0].error
        assert seen.error.startswith(
            "2 of 24 training pictures cannot be used, more than data.max_skipped_fraction=0.05 "
            "allows; "
        )
        assert any(name in seen.error for name in data[1])


def test_the_division_among_workers_and_micro_batches_changes_no_gradient(
    together: Together, data: tuple[Path, list[str], list[str]], tmp_path: Path
) -> None:
    """Also where a micro-batch has lost its only picture, and another stands in for it."""
    run(data[0], tmp_path, linear=True)
    ends = [
        read_checkpoint(checkpoint_folder(folder / "run", LAST)).model["1.weight"]
        for folder in (tmp_path, together.folder / "linear")
    ]
    torch.testing.assert_close(*ends, rtol=1e-5, atol=1e-6)


def test_evaluation_counts_only_what_it_can_use(
    data: tuple[Path, list[str], list[str]], tmp_path: Path
) -> None:
    root, _, damaged = data
    shutil.copytree(root, tmp_path / "fewer")
    for name in damaged:
        (tmp_path / "fewer" / name).unlink()
    with torch.no_grad():
        skipped = task(root, tmp_path)
        left_out = task(tmp_path / "fewer", tmp_path, "data.on_error=fail")
        found = skipped.evaluate(skipped.model)
        assert found.pop("skipped_pictures") == len(damaged)
        assert found == pytest.approx(left_out.evaluate(left_out.model), rel=1e-6)


def test_evaluation_has_the_same_bound(
    data: tuple[Path, list[str], list[str]], tmp_path: Path
) -> None:
    bounded = task(data[0], tmp_path, "data.max_skipped_fraction=0.2")
    with (
        torch.no_grad(),
        pytest.raises(DamagedPictureError, match=r"^3 of 10 evaluation pictures .*=0\.2 allows"),
    ):
        bounded.evaluate(bounded.model)


def test_by_default_a_damaged_picture_ends_the_run_with_the_remedy(
    data: tuple[Path, list[str], list[str]], tmp_path: Path
) -> None:
    seen = run(data[0], tmp_path, "data.on_error=fail")
    assert any(f"{data[0]}/{name} cannot be used" in seen.error for name in data[1])
    assert seen.error.endswith("; set data.on_error=skip to leave such pictures out")
    assert all("train/skipped_pictures" not in row for row in seen.metrics.values())
