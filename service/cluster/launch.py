"""The driver of a run: checks, starts, follows, ends."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType

from service.cluster import runs
from service.cluster.console import Console, announce
from service.cluster.driver_lock import Claim, TakenOverError, only_driver
from service.cluster.job import Application, Job, stop_file
from service.cluster.preparation import prepare
from service.cluster.resources import Plan, plan_workers
from service.cluster.session import absolute_storage, join, leave, submission_id
from service.cluster.watchdog import stack_files
from service.config.errors import ConfigurationError
from service.config.failures import root_cause
from service.config.run import RunConfig
from service.models.resolution import resolved_run, run_label
from service.tracking.address import reachable, redact
from service.tracking.runs import StartedRun, Status
from service.tracking.tracker import end_run, start_run
from service.training.length import check_micro_batches
from service.training.retention import best_checkpoint, checkpoint_folders, read_metrics


@dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    status: Status
    """FINISHED, or KILLED if it was asked to stop."""
    metrics: dict[str, float]
    """Figures of the last checkpoint."""
    checkpoint: Path | None
    """The best checkpoint."""
    job: Job
    started: StartedRun | None
    """The run in MLflow, if it answered at the start."""


def train(config: RunConfig, application: Application, *, resume: bool) -> Outcome:
    """Runs a training job to its end, on Ray or, with `cluster.num_workers=0`, in this process.

    Args:
        config: The configuration.
        application: What is trained.
        resume: Whether to go on with the run of this name, if there is one.

    Raises:
        ConfigurationError: Something cannot be used; nothing was started.
        Exception: What ended the run early. The run is then closed as FAILED.
    """
    storage = absolute_storage(config.storage.path)
    config = _named(config, storage, resume)
    with only_driver(storage / str(config.name), "run", submission_id()) as claim:
        return _drive(config, storage, application, claim)


def _drive(config: RunConfig, storage: Path, application: Application, claim: Claim) -> Outcome:
    announce(f"run {config.name}: checking the data")
    facts = application.check(config, storage)
    for line in facts.findings:
        announce(line)
    plan = _plan(config)
    job = prepare(config, storage, application, facts, nodes=plan.nodes if plan else 1)
    runs.record(job.folder, job.config)
    stop_file(job.folder).unlink(missing_ok=True)
    started = _start_tracking(job)
    job = replace(job, run_id=started.run_id if started else None, claim=claim)
    _announce_start(job, plan)
    return _run(job, plan, started)


def _named(config: RunConfig, storage: Path, resume: bool) -> RunConfig:
    """Resolves what is left to be decided, and checks the name against the runs there are."""
    config = resolved_run(config)
    name = config.name or runs.new_name(run_label(config))
    runs.check_name(name)
    config = config.model_copy(update={"name": name})
    if runs.exists(storage / name):
        if not resume:
            raise ConfigurationError(
                f"name: the run {name} exists in {storage}; continue it with --resume, or choose "
                "another name"
            )
        runs.check_resumable(storage / name, config)
    return config


def _plan(config: RunConfig) -> Plan | None:
    """Joins the cluster and shares it out; None for a run in this process."""
    if config.cluster.num_workers == 0:
        check_micro_batches(config.training, 1)
        return None
    try:
        plan = plan_workers(config.cluster, join(config.cluster))
        check_micro_batches(config.training, plan.num_workers, plan.sizes)
        _check_sync_batch_norm(config, plan)
    except ConfigurationError:
        leave()
        raise
    return plan


def _check_sync_batch_norm(config: RunConfig, plan: Plan) -> None:
    field = config.synchronised_norm_field
    if field is not None and not plan.gpus_per_worker:
        raise ConfigurationError(
            f"{field}: torch synchronises batch normalisation on GPUs only, and the "
            "workers have none"
        )


def _start_tracking(job: Job) -> StartedRun | None:
    if job.request is None:
        return None
    problem = reachable(job.request.uri)
    if problem is None:
        return start_run(job.folder, job.request)
    announce(
        f"warning: MLflow at {redact(job.request.uri)} does not answer ({problem}); training goes "
        f"on, metrics are kept in {job.folder} and delivered when it does"
    )
    return None


def _announce_start(job: Job, plan: Plan | None) -> None:
    where = "this process" if plan is None else _workers_text(plan)
    length = job.length
    announce(
        f"run {job.name}: {length.steps} steps of {length.batch_size} samples on {where}, "
        f"folder {job.folder}"
    )


def _workers_text(plan: Plan) -> str:
    each = f"{plan.cpus_per_worker} CPU" + (
        f" and {plan.gpus_per_worker:g} GPU" if plan.gpus_per_worker else ""
    )
    least = "" if plan.min_workers is None else f"{plan.min_workers} to "
    return f"{least}{plan.num_workers} workers of {each} each"


def _run(job: Job, plan: Plan | None, started: StartedRun | None) -> Outcome:
    run, headlines = _runner(job, plan), job.application.headlines
    try:
        with _stoppable(job.folder), Console(job.folder, job.length, headlines):
            run()
    except BaseException as error:
        if isinstance(root_cause(error), TakenOverError):
            raise  # its end is another driver's to tell
        status: Status = "KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED"
        _end_tracking(job, status, f"{type(error).__name__}: {error}")
        _announce_what_is_kept(job)
        raise
    finally:
        if plan is not None:
            leave()
    stopped = stop_file(job.folder).exists()
    ended: Status = "KILLED" if stopped else "FINISHED"
    _end_tracking(job, ended, "asked to stop" if stopped else None)
    newest = checkpoint_folders(job.folder)
    metrics = read_metrics(newest[0]) if newest else {}
    return Outcome(ended, metrics, _best(job), job, started)


def _announce_what_is_kept(job: Job) -> None:
    """Says where people find what is left of a run that ended early."""
    for file in stack_files(job.folder):
        announce(f"where a worker hung: {file}")
    newest = checkpoint_folders(job.folder)
    kept = f"the last checkpoint is {newest[0]}" if newest else "no checkpoint was written"
    announce(f"{kept}; continue with --resume name={job.name}")


def _runner(job: Job, plan: Plan | None) -> Callable[[], None]:
    """Returns what runs the job; Ray's training library is imported only where it is needed."""
    if plan is None:
        from service.cluster.single import run_here

        return lambda: run_here(job)
    from service.cluster.ray_run import run_on_ray

    return lambda: run_on_ray(job, plan)


def _best(job: Job) -> Path | None:
    retention = job.config.checkpoint
    return best_checkpoint(job.folder, retention.metric, retention.mode)


def _end_tracking(job: Job, status: Status, reason: str | None) -> None:
    if job.request is None:
        return
    best = _best(job)
    tags = {"checkpoint": str(best)} if best else {}
    problem = end_run(job.folder, job.request, status, run_id=job.run_id, reason=reason, tags=tags)
    if problem is not None:
        announce(f"warning: {problem}")


@contextmanager
def _stoppable(folder: Path) -> Iterator[None]:
    """Turns the first SIGTERM into a request to save and end; a second one ends at once."""

    def ask(_number: int, _frame: FrameType | None) -> None:
        if stop_file(folder).exists():
            raise SystemExit(143)
        stop_file(folder).touch()
        announce("asked to stop: saving a checkpoint first; ask again to end at once")

    before = signal.signal(signal.SIGTERM, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
