"""From a configuration to a job: what its workers and MLflow are told."""

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from service.cluster.job import Application, Facts, Job
from service.cluster.session import submission_id
from service.config.run import RunConfig
from service.tracking.address import artifact_location, resolve_uri
from service.tracking.comparison import EXPECTED_TAG
from service.tracking.request import RunRequest, digest_of, run_key
from service.tracking.source import source_tags
from service.tracking.used import keep_used
from service.training.length import RunLength


def prepare(
    config: RunConfig,
    storage: Path,
    application: Application,
    facts: Facts,
    *,
    nodes: int,
) -> Job:
    """Returns the job of a named, resolved configuration.

    Args:
        config: The configuration.
        storage: Folder of all runs.
        application: What is trained.
        facts: What its check found.
        nodes: Machines of the cluster.

    Raises:
        ConfigurationError: The tracking URI cannot be used on so many machines.
    """
    training = config.training
    length = RunLength(facts.samples_per_epoch, training.batch_size, training.duration)
    job = Job(config, storage, application, length, None)
    return replace(job, request=_request(job, facts, nodes)) if config.tracking.enabled else job


def check_several_nodes(config: RunConfig, storage: Path) -> None:
    """Checks what a run on several nodes would be refused for once they are there.

    Args:
        config: The configuration.
        storage: Folder of all runs.

    Raises:
        ConfigurationError: The tracking URI cannot be used on several machines.
    """
    if config.tracking.enabled:
        resolve_uri(config.tracking, storage, 2)


def base_request(
    config: RunConfig, storage: Path, name: str, config_yaml: str, nodes: int
) -> RunRequest:
    """Returns what any run in MLflow is asked for with: where, under which name, from where.

    Args:
        config: The configuration, whose section `tracking` says where.
        storage: Folder of all runs.
        name: Name of the run.
        config_yaml: What is kept as its configuration.
        nodes: Machines of the cluster.

    Raises:
        ConfigurationError: The tracking URI cannot be used on so many machines.
    """
    uri = resolve_uri(config.tracking, storage, nodes)
    return RunRequest(
        uri=uri,
        experiment=config.tracking.experiment,
        key=run_key(storage, name),
        name=name,
        config_yaml=config_yaml,
        tags=source_tags(sys.argv[0], submission_id()),
        artifact_location=artifact_location(uri, storage),
    )


def keep_what_is_used(job: Job, facts: Facts) -> None:
    """Writes into the run's folder what it is made with, whether or not MLflow is told, too.

    Args:
        job: The run.
        facts: What the application's check found.

    Raises:
        OSError: The storage refuses.
    """
    if job.request is not None:
        tags = job.request.tags
    else:
        tags = {**source_tags(sys.argv[0], submission_id()), **_expected(job.config)}
    keep_used(job.folder, digest_of(job.settings.config_yaml), tags, facts.datasets)


def _request(job: Job, facts: Facts, nodes: int) -> RunRequest:
    request = base_request(job.config, job.storage, job.name, job.settings.config_yaml, nodes)
    return replace(
        request,
        params=job.application.params(job.config),
        tags={**request.tags, **_expected(job.config)},
        datasets=facts.datasets,
    )


def _expected(config: RunConfig) -> Mapping[str, str]:
    """Returns the published figure as a tag, for comparisons."""
    expected = config.expected
    if expected is None or expected.value == "unknown":
        return {}
    return {EXPECTED_TAG: str(expected.value)}
