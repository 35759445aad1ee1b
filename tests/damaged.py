"""Training small classifiers on a set with damaged pictures."""

from dataclasses import dataclass, field
from pathlib import Path

import torch
import torch.distributed as dist
from toy import Recorder

from service.classification.task import ClassificationTask
from service.config.data import DrawnDataConfig
from service.config.errors import RunError
from service.config.imagenet import ImageNetConfig
from service.config.loading import load, to_yaml
from service.data.drawing.tree import draw_pictures
from service.data.folder import FolderPictures, list_folder
from service.data.order import SampleOrder
from service.training.length import RunLength
from service.training.local import LocalWorker
from service.training.loop import train
from service.training.settings import Settings

TRAINING, EVALUATION, BATCH = 24, 10, 6
DAMAGED_POSITIONS = (5, 13)
"""Places of the damaged pictures in the stream, in the first and third step. Two or three workers
make micro-batches of one picture each, and rank 0 sees neither of these two."""
DAMAGED_IN_EVALUATION = (4, 5, 9)
"""With two or three workers some batch has no other picture."""

OPTIONS = (
    "name=run",
    "data.on_error=skip",
    "data.max_skipped_fraction=0.3",
    "data.train.size=16",
    "data.evaluation.resize=18",
    "data.evaluation.size=16",
    "data.evaluation.batch_size=2",
    "data.loading_processes=0",
    "model.kind=cifar_resnet",
    "model.depth=8",
    "model.width=4",
    "training.duration=2ep",
    f"training.batch_size={BATCH}",
    "training.log_every=3",
    "training.deterministic=true",
    "checkpoint.every_steps=1",
    "checkpoint.every_minutes=null",
    "checkpoint.keep=100",
)
"""8 steps; logged after 3, 4, 6 and 8; evaluated after 4 and 8."""
LAST = 8


def draw(root: Path) -> tuple[list[str], list[str]]:
    """Draws a set with damaged pictures; returns their paths, in training and in evaluation."""
    draw_pictures(
        root,
        DrawnDataConfig(
            classes=3, train_pictures=TRAINING, evaluation_pictures=EVALUATION, picture_size=24
        ),
    )
    train_set, evaluation_set = list_folder(root / "train"), list_folder(root / "val")
    indices, _, _ = SampleOrder(TRAINING, 0).at(torch.tensor(DAMAGED_POSITIONS).numpy())
    return damage(train_set, *indices.tolist()), damage(evaluation_set, *DAMAGED_IN_EVALUATION)


def damage(pictures: FolderPictures, *indices: int) -> list[str]:
    for index in indices:
        path = pictures.folder / pictures.name(index)
        path.write_bytes(path.read_bytes()[:200])
    return [f"{pictures.folder.name}/{pictures.name(index)}" for index in indices]


@dataclass
class Seen:
    """What a worker saw of a run."""

    metrics: dict[str, dict[str, float]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    steps: int = 0
    error: str = ""


class Member(LocalWorker):
    """One of several workers; rank 0 alone writes checkpoints."""

    def __init__(self, folder: Path, recorder: Recorder, config: ImageNetConfig) -> None:
        super().__init__(
            folder,
            torch.device("cpu"),
            1,
            config.checkpoint,
            recorder.log,
            recorder.attach,
            recorder.warnings.append,
            recorder.stop_requested,
        )
        if dist.is_initialized():
            self.rank, self.world_size = dist.get_rank(), dist.get_world_size()

    def finish(self) -> None:
        if self.rank == 0:
            super().finish()


class Task(ClassificationTask):
    """Counts its steps, and may have a network that does not depend on how a batch is divided."""

    def __init__(self, *args: object, linear: bool) -> None:
        super().__init__(*args)
        self.steps = 0
        if linear:
            torch.manual_seed(0)
            self.model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 16 * 16, 3))

    def begin_step(self, step: int, length: RunLength) -> None:
        super().begin_step(step, length)
        self.steps = step + 1


def run(root: Path, folder: Path, *options: str, linear: bool = False) -> Seen:
    """Trains in `folder/run` from its newest checkpoint to the end, or to an error."""
    config = load(ImageNetConfig, overrides=[f"data.root={root}", *OPTIONS, *options])
    recorder = Recorder()
    worker = Member(folder / "run", recorder, config)
    task = Task(config, folder, worker, linear=linear)
    settings = Settings(
        config.training, config.optimizer, config.schedule, config.checkpoint, to_yaml(config)
    )
    seen = Seen()
    try:
        train(task, worker, settings)
    except RunError as error:
        seen.error = str(error)
    seen.metrics = {str(step): values for step, values in recorder.metrics.items()}
    seen.warnings, seen.steps = recorder.warnings, task.steps
    return seen


def task(root: Path, storage: Path, *options: str) -> ClassificationTask:
    config = load(ImageNetConfig, overrides=[f"data.root={root}", *OPTIONS, *options])
    made = Task(config, storage, Member(storage / "run", Recorder(), config), linear=False)
    made.model.eval()
    return made
