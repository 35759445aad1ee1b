"""How long a run is, in samples, steps and epochs, and into what its steps are divided."""

from collections.abc import Iterable
from dataclasses import dataclass

from service.config.durations import Duration
from service.config.errors import ConfigurationError
from service.config.training import TrainingConfig


@dataclass(frozen=True)
class RunLength:
    """The run as a stretch of the endless stream of samples; step t covers samples [tB, (t+1)B)."""

    samples_per_epoch: int
    """Training samples of an epoch, over all workers."""
    batch_size: int
    """Samples of an optimiser step, B."""
    duration: Duration
    """Length of the run."""

    @property
    def steps_per_epoch(self) -> float:
        """Optimiser steps of an epoch; not whole if B does not divide the samples."""
        return self.samples_per_epoch / self.batch_size

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole run."""
        return self.duration.in_steps(self.steps_per_epoch)

    def moments(self, every: Duration) -> frozenset[int]:
        """Returns the steps at which something due at an interval happens, and the last step.

        Args:
            every: The interval; the k-th moment is the first step that completes k of them.
        """
        steps = self.steps
        found = {steps}
        count = 1
        while (moment := self._moment(every, count)) < steps:
            found.add(moment)
            count += 1
        return frozenset(found)

    @property
    def epochs(self) -> float:
        """Epochs of the whole run."""
        in_epochs = self.duration.unit == "ep"
        return self.duration.value if in_epochs else self.steps / self.steps_per_epoch

    def epoch(self, step: int) -> float:
        """Returns the epochs done after `step` optimiser steps, at most those of the run."""
        return min(step / self.steps_per_epoch, self.epochs)

    def _moment(self, every: Duration, count: int) -> int:
        multiple = Duration(every.value * count, every.unit)
        # An interval below one step still moves by whole steps.
        return max(count, multiple.in_steps(self.steps_per_epoch, self.steps))


def micro_batches(accumulation: int, workers: int, present: int) -> int:
    """Returns the micro-batches that each worker takes of a step while some workers are missing.

    None of them holds more samples than with all workers, so none needs more memory.

    Args:
        accumulation: Micro-batches of each worker where all are there.
        workers: All workers.
        present: Workers that are there.
    """
    return -(-accumulation * workers // present)


def check_micro_batches(config: TrainingConfig, workers: int, sizes: Iterable[int] = ()) -> None:
    """Checks that every worker gets samples for each of its micro-batches.

    Args:
        config: What divides a step.
        workers: All workers.
        sizes: Numbers of workers with which the run may go on.

    Raises:
        ConfigurationError: Some micro-batch would be empty.
    """
    for present in (workers, *sizes):
        parts = micro_batches(config.accumulation, workers, present)
        if config.batch_size < present * parts:
            raise ConfigurationError(
                f"training.batch_size: {config.batch_size} samples do not give each of {present} "
                f"workers {parts} micro-batches; raise it or lower training.accumulation"
            )
