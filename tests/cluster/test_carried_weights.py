"""Starting weights that a driver fetched are there on machines that share no folder with it."""

from pathlib import Path
from uuid import uuid4

from service.cluster.applications import CLASSIFICATION
from service.cluster.carried_weights import at_hand, carry
from service.cluster.job import Job
from service.config.durations import Duration
from service.config.imagenet import ImageNetConfig
from service.config.loading import load
from service.storage.working_copy import working_copy
from service.training.length import RunLength


def test_weights_in_a_copy_come_to_the_workers_copy(tmp_path: Path) -> None:
    address = f"memory://{uuid4().hex}/runs"
    drivers, workers = (working_copy(address, tmp_path / name) for name in ("driver", "worker"))
    weights = drivers / "weights" / "0123" / "step_00000008"
    weights.mkdir(parents=True)
    (weights / "model.safetensors").write_bytes(b"tensors")
    (weights / "manifest.json").write_bytes(b"{}")
    carry(weights)
    config = load(ImageNetConfig, (), [f"model.weights={weights}"])
    found = Path(str(at_hand(config, drivers, workers).model.weights))
    assert found == workers / weights.relative_to(drivers)
    assert (found / "model.safetensors").read_bytes() == b"tensors"
    # The driver's own machine, and a path that all machines see, stay as they are.
    assert at_hand(config, drivers, drivers) == config
    shared = load(ImageNetConfig, (), ["model.weights=/shared/weights.pt"])
    assert at_hand(shared, drivers, workers) == shared


def test_a_job_finds_the_copies_of_the_machine_it_comes_to(tmp_path: Path) -> None:
    options = ["name=run", "storage.path=memory://bucket/runs"]
    options += [f"storage.working_folder={tmp_path / 'here'}"]
    config = load(ImageNetConfig, (), options)
    length = RunLength(10, 1, Duration(1, "ep"))
    job = Job(config, tmp_path / "drivers", CLASSIFICATION, length, None)
    here = job.here()
    assert here.folder == working_copy("memory://bucket/runs", tmp_path / "here") / "run"
    here.folder.mkdir()
    assert not here.is_here
    here.settle_here()
    assert here.is_here
    plain = load(ImageNetConfig, (), ["name=run", f"storage.path={tmp_path}"])
    shared = Job(plain, tmp_path, CLASSIFICATION, length, None)
    assert shared.here() == shared
    assert shared.is_here
