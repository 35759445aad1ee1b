"""What all processes of a run share."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from service.cluster.carried_weights import at_hand
from service.cluster.driver_lock import Claim
from service.cluster.start_up import StartUp
from service.config.loading import to_yaml
from service.config.run import RunConfig
from service.storage.address import is_address
from service.storage.folders import storage_folder
from service.tracking.request import DatasetSplit, RunRequest
from service.training.length import RunLength
from service.training.settings import Settings

if TYPE_CHECKING:
    from service.tracking.shared_parameters import Params
    from service.training.task import Task
    from service.training.worker import Worker


_HERE = ".driver"


@dataclass(frozen=True)
class Facts:
    """What the driver finds out before any worker starts."""

    samples_per_epoch: int
    """Training samples."""
    datasets: tuple[DatasetSplit, ...]
    """The data, as tracking records it."""
    findings: tuple[str, ...] = ()
    """What people should know of the data and the starting weights before the run, a line each."""


@dataclass(frozen=True)
class Application:
    """A kind of training: how a worker builds its task, and what is checked before."""

    build_task: "Callable[[Any, Path, Worker], Task[Any]]"
    """Makes the task on a worker from the configuration and the storage folder."""
    check: Callable[[Any, Path], Facts]
    """Raises ConfigurationError for what would fail on a worker."""
    params: "Callable[[Any], Params]"
    """What MLflow's comparison page shows of a configuration."""
    metrics: Callable[[Any], tuple[str, ...]]
    """Names of what an evaluation measures."""
    headlines: tuple[str, ...]
    """The few of them that the driver shows."""


@dataclass(frozen=True)
class Job:
    """One run, as its driver hands it to its workers. It can be pickled."""

    config: RunConfig
    """The resolved configuration."""
    storage: Path
    """Folder of all runs, absolute."""
    application: Application
    """What is trained."""
    length: RunLength
    """How long."""
    request: RunRequest | None
    """The run in MLflow; None if nothing is recorded there."""
    steered: bool = False
    """Whether the run waits after each evaluation for a turn, as population based training asks
    for; see `service.cluster.turns`."""
    claim: Claim | None = None
    """Its driver's right to the run, or to the sweep it belongs to."""
    began: float = field(default_factory=time.time)
    """When its driver made it, seconds since 1970."""
    start_up: StartUp | None = None
    """What its driver has done so far; None if nobody waits for the first step."""

    @property
    def name(self) -> str:
        """Name of the run, for Ray, for the checkpoints and for MLflow."""
        if self.config.name is None:
            raise ValueError("the configuration of a job has a name")
        return self.config.name

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return self.storage / self.name

    def settle_here(self) -> None:
        """Marks the run's folder as the one in which its driver works, for `is_here`."""
        (self.folder / _HERE).write_text(repr(self.began), "utf-8")

    @property
    def is_here(self) -> bool:
        """Whether the run's folder is the one in which its driver works.

        That can differ only where each machine has a copy of what lies in an object store.
        """
        if not is_address(self.config.storage.path):
            return True
        try:
            return (self.folder / _HERE).read_text("utf-8") == repr(self.began)
        except FileNotFoundError:
            return False

    def here(self) -> "Job":
        """Returns the job with the folders of this machine, where each has a copy of its own."""
        if not is_address(self.config.storage.path):
            return self
        storage = storage_folder(self.config.storage, Path.home())
        return replace(self, storage=storage, config=at_hand(self.config, self.storage, storage))

    def check_claim(self) -> None:
        """Returns if its driver still has the run.

        Raises:
            TakenOverError: Another driver goes on with it.
        """
        if self.claim is not None:
            self.claim.check()

    @property
    def settings(self) -> Settings:
        """What the loop reads."""
        return settings_of(self.config)


def settings_of(config: RunConfig) -> Settings:
    """Returns what the loop reads of a resolved configuration."""
    return Settings(
        config.training, config.optimizer, config.schedule, config.checkpoint, to_yaml(config)
    )


def stop_file(folder: Path) -> Path:
    """Returns the file whose existence asks a run to save and end."""
    return folder / "stop"
