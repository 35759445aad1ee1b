"""The one training loop: it knows a task and a worker, and nothing of Ray, MLflow or pictures."""

import time
from collections.abc import Callable, Mapping
from typing import Generic

import torch
import torch.distributed as dist
from torch import nn

from service.config.errors import RunError
from service.training.best import best_name
from service.training.checkpoint import CheckpointContent, read_checkpoint
from service.training.length import RunLength
from service.training.memory import out_of_memory_explained
from service.training.schedules import learning_rate_factor, set_learning_rate
from service.training.seeding import make_deterministic
from service.training.settings import Settings
from service.training.state import TrainingState
from service.training.step import TrainingStep
from service.training.task import B, Task
from service.training.turn import Continuation
from service.training.worker import Worker
from service.training.wrapping import autocast, broadcast_buffers, wrap


class NonFiniteError(RunError):
    """Too many steps in a row had a loss or gradient that is not finite."""


def train(task: Task[B], worker: Worker, settings: Settings) -> dict[str, float]:
    """Trains from the latest checkpoint, or from the start, to the end of the run.

    Args:
        task: What is trained.
        worker: This process among those that train together.
        settings: How.

    Returns:
        The last evaluation's metrics; empty if the run was stopped before the first.

    Raises:
        NonFiniteError: More than `training.max_skipped_steps` steps in a row were skipped.
        OutOfMemoryError: The device has too little memory.
        StorageError: A checkpoint could not be written.
        ConfigurationError: The checkpoint is of another run.
    """
    if settings.training.deterministic:
        make_deterministic()
    with out_of_memory_explained(settings.training, worker):
        return _Run(task, worker, settings).run()


class _Run(Generic[B]):
    """A run of the loop on one worker."""

    def __init__(self, task: Task[B], worker: Worker, settings: Settings) -> None:
        self._task = task
        self._worker = worker
        self._settings = settings
        config = settings.training
        self._length = RunLength(task.samples_per_epoch, config.batch_size, config.duration)
        self._state = TrainingState(
            task.model, settings.optimizer, config, task.learning_rate_factors
        )
        self._metrics: dict[str, float] = {}
        latest = worker.latest_checkpoint()
        if latest is not None:
            self._restore(latest)
        self._step = TrainingStep(
            task, wrap(self._state.model, config), self._state, worker, config
        )
        self._factor = self._learning_rate_factor()
        self._saved_at = time.monotonic()
        self._saved_step: int | None = self._state.step or None
        self._interval = _Interval(self._state.step)

    def run(self) -> dict[str, float]:
        """Steps, logs, evaluates and saves until the end, or until asked to stop."""
        state, length = self._state, self._length
        evaluations = length.moments(self._settings.training.evaluate_every)
        if state.step >= length.steps:
            return self._metrics
        self._batches = self._task.train_batches(state.position)
        state.model.train()
        self._start_interval()
        while state.step < length.steps:
            set_learning_rate(state.optimizer, self._factor(state.step))
            self._task.begin_step(state.step, length)
            self._step(self._batches)
            self._worker.moved_on()
            stop, due = self._look_around(state.step in evaluations)
            if state.step in evaluations:
                self._evaluate()
                self._save(self._metrics)
                stop = stop or self._take_turn()
            elif due or stop:
                # Without the figures of an earlier evaluation, which are not this checkpoint's.
                self._save({})
            if stop:
                break
        self._worker.finish()
        return self._metrics

    def _restore(self, content: CheckpointContent) -> None:
        self._task.load_state_dict(self._state.restore(content, self._settings.optimizer))
        self._metrics = dict(content.metrics)

    def _learning_rate_factor(self) -> Callable[[int], float]:
        length = self._length
        return learning_rate_factor(self._settings.schedule, length.steps, length.steps_per_epoch)

    def _take_turn(self) -> bool:
        """Asks how to go on, unless the run ends here; returns whether to stop."""
        if self._state.step >= self._length.steps:
            return False
        turn = self._worker.turn(self._state.step)
        if isinstance(turn, Continuation):
            self._continue(turn)
        # Waiting is no part of the training speed, and loses no work.
        self._start_interval()
        self._saved_at = time.monotonic()
        return turn == "stop"

    def _continue(self, turn: Continuation) -> None:
        """Goes on from another state and with other values, without replacing any tensor in use."""
        content, position = read_checkpoint(turn.checkpoint), self._state.position
        self._task.change(turn.config)
        self._settings = turn.settings
        self._factor = self._learning_rate_factor()
        self._restore(content)
        self._saved_step = self._state.step
        if self._state.position != position:
            self._batches.close()
            self._batches = self._task.train_batches(self._state.position)

    def _look_around(self, evaluating: bool) -> tuple[bool, bool]:
        """Logs where it is due; returns whether to stop and whether to write a checkpoint."""
        step, config = self._state.step, self._settings
        every_steps = config.checkpoint.every_steps
        due = every_steps is not None and step % every_steps == 0
        if step % config.training.log_every and not evaluating:
            return False, due
        self._log()
        minutes = config.checkpoint.every_minutes
        late = minutes is not None and time.monotonic() - self._saved_at > 60 * minutes
        stop, late, asked = self._agree(
            self._worker.stop_requested(), late, self._worker.save_requested()
        )
        return stop, due or late or asked

    def _agree(self, *flags: bool) -> list[bool]:
        """Returns rank 0's flags on every worker: clocks and stop requests differ between them."""
        row = torch.tensor(flags, dtype=torch.int32, device=self._worker.device)
        if dist.is_initialized():
            dist.broadcast(row, src=0)
        return [bool(flag) for flag in row.tolist()]

    def _log(self) -> None:
        state = self._state
        metrics = {f"train/{name}": value for name, value in self._step.meters.read().items()}
        self._check_skipped()
        metrics["train/lr"] = state.optimizer.param_groups[0]["lr"]
        metrics["train/skipped_steps"] = float(state.guard.skipped)
        metrics["system/workers"] = float(self._worker.world_size)
        metrics |= {f"train/{name}": value for name, value in self._counts().items()}
        metrics |= self._interval.figures(
            state.step, self._settings.training.batch_size, self._step.data_seconds
        )
        self._start_interval()
        self._worker.log(state.step, metrics)

    def _counts(self) -> dict[str, float]:
        try:
            return self._task.counts()
        except RunError:
            self._worker.finish()
            raise

    def _check_skipped(self) -> None:
        in_row = int(self._state.guard.skipped_in_row)
        if in_row > self._settings.training.max_skipped_steps:
            self._worker.finish()
            raise NonFiniteError(
                f"{in_row} steps in a row up to step {self._state.step} had a loss or gradient "
                "that is not finite; lower optimizer.lr, set training.clip_norm, or look at the "
                f"data; {self._kept()}"
            )

    def _kept(self) -> str:
        if self._saved_step is None:
            return "no checkpoint was written before"
        return f"the last good checkpoint is the one of step {self._saved_step}"

    def _evaluate(self) -> None:
        start = time.monotonic()
        figures = self._figures_of(self._state.model, "val/")
        self._state.model.train()
        if self._state.average is not None:
            self._state.average.follow()
            figures |= self._figures_of(self._state.average.module, "val/ema_")
        figures["time/evaluation_seconds"] = time.monotonic() - start
        self._metrics = self._with_best(figures)
        self._worker.log(self._state.step, self._metrics)
        # Evaluation is no part of the training speed.
        self._start_interval()

    def _start_interval(self) -> None:
        self._step.data_seconds = 0.0
        self._interval = _Interval(self._state.step)

    def _figures_of(self, model: nn.Module, prefix: str) -> dict[str, float]:
        broadcast_buffers(model)
        model.eval()
        with torch.no_grad(), autocast(self._worker.device, self._settings.training):
            figures = self._task.evaluate(model)
        return {prefix + name: value for name, value in figures.items()}

    def _with_best(self, figures: Mapping[str, float]) -> dict[str, float]:
        """Puts the best value so far first: MLflow's comparison page shows the first metric."""
        metric, mode = self._settings.checkpoint.metric, self._settings.checkpoint.mode
        if metric not in figures:
            raise ValueError(
                f"checkpoint.metric: {metric} is not measured; choose from {', '.join(figures)}"
            )
        choose = max if mode == "max" else min
        values = [figures[metric]] + ([] if self._state.best is None else [self._state.best])
        self._state.best = choose(values)
        return {best_name(metric): self._state.best, **figures}

    def _save(self, figures: Mapping[str, float]) -> None:
        self._counts()  # what the workers agree on is in the checkpoint
        self._saved_at = time.monotonic()
        self._saved_step = self._state.step
        metrics = {**figures, "train/epoch": self._length.epoch(self._state.step)}
        content = None
        if self._worker.rank == 0:
            # The copy goes where the one before is written from.
            self._worker.finish()
            content = self._state.content(
                self._task.state_dict(), self._task.metadata(), self._settings.config_yaml, metrics
            )
        self._worker.save(self._state.step, content)


class _Interval:
    """Time since the last log."""

    def __init__(self, step: int) -> None:
        self._step = step
        self._start = time.monotonic()

    def figures(self, step: int, batch_size: int, data_seconds: float) -> dict[str, float]:
        """Returns speed and the share of time spent waiting for data, once the device is done."""
        seconds = max(time.monotonic() - self._start, 1e-9)
        return {
            "time/images_per_second": (step - self._step) * batch_size / seconds,
            "time/step_seconds": seconds / max(step - self._step, 1),
            "time/data_wait": min(data_seconds / seconds, 1.0),
        }
