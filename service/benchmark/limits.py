"""What limits a recipe on this machine: pictures that a core prepares, or that the device takes."""

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import repeat
from math import ceil
from pathlib import Path
from typing import Any

import torch

from service.benchmark.arguments import positive
from service.benchmark.goals import share
from service.benchmark.records import Record
from service.classification.checking import Recipe
from service.classification.task import ClassificationTask
from service.config.cifar import CIFARConfig
from service.config.imagenet import ImageNetConfig
from service.config.loading import load
from service.models.resolution import resolved_run
from service.training.local import LocalWorker
from service.training.precision import decided, multiplies_bf16
from service.training.state import TrainingState
from service.training.step import TrainingStep
from service.training.threads import one_thread
from service.training.wrapping import wrap

QUICK: tuple[str, ...] = ("--seconds", "5", "data.train_pictures=500", "data.picture_size=160")

_DEFAULT = Path(__file__).resolve().parents[2] / "configs" / "imagenet" / "drawn.yaml"
_SCHEMAS: dict[str, type[Recipe]] = {"imagenet": ImageNetConfig, "cifar": CIFARConfig}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds this measurement's options."""
    parser.add_argument("--config", type=Path, default=_DEFAULT, help="the recipe")
    parser.add_argument("--pipeline", choices=sorted(_SCHEMAS), default="imagenet")
    parser.add_argument("--seconds", type=positive, default=20, help="of either measurement")
    parser.add_argument(
        "--batch", type=positive, help="pictures of a worker at a time; without, the recipe's"
    )
    parser.add_argument("overrides", nargs="*", help="such as data.root=/data/imagenet")


def measure(options: argparse.Namespace) -> Iterator[Record]:
    """Measures as the options say, and tells people what follows."""
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    config = _recipe(options, device)
    with tempfile.TemporaryDirectory(prefix="limits-") as folder:
        worker = _worker(Path(folder), device, config)
        task = ClassificationTask(config, Path(folder), worker)
        a_core = _pictures_a_core(task, options.seconds)
        consumed = _pictures_consumed(task, worker, config, options.seconds)
    cores = worker.cpus
    needed = consumed / a_core
    name = f"{config.model.kind} of {options.config.stem}"
    print(f"a core prepares        {a_core:8.0f} pictures a second")
    print(f"{device.type:<4} takes of {name}: {consumed:8.0f} pictures a second")
    print(
        f"cores to keep it busy  {needed:8.1f}, of {cores} here: {_advice(needed, cores, device)}"
    )
    yield Record(
        what=f"cores that prepare what {device.type} takes, {name}",
        peer="the cores of this machine",
        ours=(needed,),
        peers=(float(cores),),
        goal=share(1),
        agreement=f"{a_core:.0f} pictures/s a core, {consumed:.0f} taken",
        unit="cores",
    )


def _advice(needed: float, cores: int, device: torch.device) -> str:
    if device.type == "cpu":
        return "they are the same cores, which train and prepare in turn"
    if needed <= cores - 1:
        return "the device is the limit"
    speed = cores / needed
    return (
        f"the cores are the limit, training runs at {speed:.0%} of the device's speed; give it "
        f"{ceil(needed) + 1} cores, or have pictures prepared smaller once"
    )


def _recipe(options: argparse.Namespace, device: torch.device) -> Recipe:
    config = load(_SCHEMAS[options.pipeline], [options.config], options.overrides)
    config = resolved_run(config)
    machine = {"here": multiplies_bf16(on_gpu=device.type == "cuda")}
    training = decided(config.training, machine)
    batch = options.batch or min(training.batch_size // training.accumulation, 256)
    training = training.model_copy(update={"batch_size": batch, "accumulation": 1})
    # In this process, and so on one core.
    data = config.data.model_copy(update={"loading_processes": 0})
    return config.model_copy(update={"training": training, "data": data})


def _worker(folder: Path, device: torch.device, config: Recipe) -> LocalWorker:
    nothing: Callable[..., Any] = lambda *_: None  # noqa: E731  # nothing is recorded here
    cores = len(os.sched_getaffinity(0))
    return LocalWorker(
        folder, device, cores, config.checkpoint, nothing, nothing, print, lambda: False
    )


def _pictures_a_core(task: ClassificationTask, seconds: float) -> float:
    """Returns how many training pictures one core reads, decodes and augments in a second."""
    with one_thread():
        batches = task.train_batches(0)
        next(batches)
        began, pictures = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            pictures += len(next(batches))
        return pictures / (time.perf_counter() - began)


def _pictures_consumed(
    task: ClassificationTask, worker: LocalWorker, config: Recipe, seconds: float
) -> float:
    """Returns how many pictures whole steps take in a second, if they need not wait for any."""
    training = config.training
    batch = next(task.train_batches(0))
    state = TrainingState(task.model, config.optimizer, training, {})
    step = TrainingStep(task, wrap(state.model, training), state, worker, training)
    for _ in range(2):
        step(repeat(batch))
    step.meters.read()
    began, steps = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        step(repeat(batch))
        step.meters.read()
        steps += 1
    return steps * training.batch_size / (time.perf_counter() - began)
