"""The driver of a run: checks, starts, follows, ends."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from service.cluster import runs
from service.cluster.arrival import planned
from service.cluster.collection import collection_paused
from service.cluster.console import Console, announce
from service.cluster.driver_lock import Claim, TakenOverError, only_driver
from service.cluster.job import Application, Job, stop_file
from service.cluster.precision import with_begun_precision, with_precision
from service.cluster.preparation import check_several_nodes, keep_what_is_used, prepare
from service.cluster.resources import Plan, plan_workers
from service.cluster.run_copy import begin_copy, drivers_mirror, say_what_stays_here
from service.cluster.session import absolute_storage, join, leave, submission_id
from service.cluster.start_up import StartUp
from service.cluster.stopping import stoppable
from service.cluster.telling import STOPPED, ask_to_stop, best_of, end_tracking, start_tracking
from service.cluster.watchdog import stack_files
from service.config.errors import ConfigurationError
from service.config.failures import root_cause
from service.config.run import RunConfig
from service.models.resolution import resolved_run, run_label
from service.storage.working_copy import store_answering, told, withdraw
from service.tracking.address import resolve_uri
from service.tracking.opening import Opening
from service.tracking.runs import StartedRun, Status
from service.training.length import check_micro_batches
from service.training.retention import checkpoint_folders, read_metrics


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
    storage = absolute_storage(config.storage)
    config = _named(config, storage, resume)
    with only_driver(storage / str(config.name), "run", submission_id()) as claim:
        return _drive(config, storage, application, claim)


def _drive(config: RunConfig, storage: Path, application: Application, claim: Claim) -> Outcome:
    with collection_paused():
        job, plan, opening, lone = _made_ready(config, storage, application, claim)
    return _run(job, plan, opening, lone=lone)


def _made_ready(
    config: RunConfig, storage: Path, application: Application, claim: Claim
) -> tuple[Job, Plan | None, Opening | None, bool]:
    """Returns the job, its workers, its run in MLflow, and whether the cluster is its own."""
    with store_answering():
        begin_copy(storage / str(config.name))
    start_up = StartUp().after("imports")
    announce(f"run {config.name}: checking the data")
    facts = application.check(config, storage)
    start_up = start_up.after("data")
    for line in facts.findings:
        announce(line)
    # One that no number of nodes could use is refused before anything starts.
    uri = resolve_uri(config.tracking, storage, 1) if config.tracking.enabled else None
    say_what_stays_here(uri, storage)
    plan, lone = _plan(config, storage)
    config = _with_precision(config, plan)
    start_up = start_up.after("Ray")
    job = prepare(config, storage, application, facts, nodes=plan.nodes if plan else 1)
    runs.record(job.folder, job.config)
    keep_what_is_used(job, facts)
    withdraw(stop_file(job.folder))
    opening = start_tracking(job)
    job = replace(job, claim=claim, start_up=start_up.after("preparation"))
    _announce_start(job, plan)
    return job, plan, opening, lone


def _named(config: RunConfig, storage: Path, resume: bool) -> RunConfig:
    """Resolves what is left to be decided, and checks the name against the runs there are."""
    config = resolved_run(config)
    name = config.name or runs.new_name(run_label(config))
    runs.check_name(name)
    config = config.model_copy(update={"name": name})
    if runs.exists(storage / name):
        if not resume:
            raise ConfigurationError(
                f"name: the run {name} exists in {told(storage)}; continue it with --resume, or "
                "choose another name"
            )
        runs.check_resumable(storage / name, config)
    return with_begun_precision(config, storage / name / runs.CONFIG)


def _plan(config: RunConfig, storage: Path) -> tuple[Plan | None, bool]:
    """Joins the cluster and shares it out; no plan for a run in this process.

    Args:
        config: The configuration.
        storage: Folder of all runs.

    Returns:
        The plan, and whether the cluster was started for this run.
    """
    if config.cluster.num_workers == 0:
        check_micro_batches(config.training, 1)
        return None, False
    try:
        cluster = join(config.cluster, dashboard=False, meanwhile=_import_ahead)
        plan = planned(
            config.cluster,
            cluster,
            partial(plan_workers, config.cluster),
            partial(check_several_nodes, config, storage),
        )
        check_micro_batches(config.training, plan.num_workers, plan.sizes)
        _check_sync_batch_norm(config, plan)
    except ConfigurationError:
        leave()
        raise
    return plan, cluster.ours


def _with_precision(config: RunConfig, plan: Plan | None) -> RunConfig:
    if plan is None:
        import torch  # the run needs it in this process, and others do not

        return with_precision(config, nodes=1, on_gpu=torch.cuda.is_available())
    try:
        return with_precision(config, nodes=plan.nodes, on_gpu=bool(plan.gpus_per_worker))
    except ConfigurationError:
        leave()
        raise


def _import_ahead() -> None:
    """Imports what the driver needs next."""
    import service.cluster.ray_run  # noqa: F401


def _check_sync_batch_norm(config: RunConfig, plan: Plan) -> None:
    field = config.synchronised_norm_field
    if field is not None and not plan.gpus_per_worker:
        raise ConfigurationError(
            f"{field}: torch synchronises batch normalisation on GPUs only, and the "
            "workers have none"
        )


def _announce_start(job: Job, plan: Plan | None) -> None:
    where = "this process" if plan is None else _workers_text(plan)
    length = job.length
    announce(
        f"run {job.name}: {length.steps} steps of {length.batch_size} samples on {where}, "
        f"folder {told(job.folder)}"
    )


def _workers_text(plan: Plan) -> str:
    each = f"{plan.cpus_per_worker} CPU" + (
        f" and {plan.gpus_per_worker:g} GPU" if plan.gpus_per_worker else ""
    )
    least = "" if plan.min_workers is None else f"{plan.min_workers} to "
    return f"{least}{plan.num_workers} workers of {each} each"


def _run(job: Job, plan: Plan | None, opening: Opening | None, *, lone: bool) -> Outcome:
    run, headlines = _runner(job, plan, lone=lone), job.application.headlines
    try:
        with (
            stoppable(lambda: ask_to_stop(job, opening), saving="saving a checkpoint"),
            Console(job.folder, job.length, headlines),
            drivers_mirror(job, alone=plan is None or plan.nodes == 1),
        ):
            run()
    except BaseException as error:
        if isinstance(root_cause(error), TakenOverError):
            raise  # its end is another driver's to tell
        status: Status = "KILLED" if isinstance(error, KeyboardInterrupt | SystemExit) else "FAILED"
        end_tracking(job, opening, status, f"{type(error).__name__}: {error}")
        _announce_what_is_kept(job)
        raise
    finally:
        if plan is not None:
            leave()
    stopped = stop_file(job.folder).exists()
    ended: Status = "KILLED" if stopped else "FINISHED"
    end_tracking(job, opening, ended, STOPPED if stopped else None)
    newest = checkpoint_folders(job.folder)
    metrics = read_metrics(newest[0]) if newest else {}
    return Outcome(ended, metrics, best_of(job), job, opening.started() if opening else None)


def _announce_what_is_kept(job: Job) -> None:
    """Says where people find what is left of a run that ended early."""
    for file in stack_files(job.folder):
        announce(f"where a worker hung: {file}")
    newest = checkpoint_folders(job.folder)
    kept = f"the last checkpoint is {told(newest[0])}" if newest else "no checkpoint was written"
    announce(f"{kept}; continue with --resume name={job.name}")


def _runner(job: Job, plan: Plan | None, *, lone: bool) -> Callable[[], None]:
    """Returns what runs the job; Ray's training library is imported only where it is needed."""
    if plan is None:
        from service.cluster.single import run_here

        return lambda: run_here(job)
    from service.cluster.ray_run import run_on_ray

    return lambda: run_on_ray(job, plan, lone=lone)
