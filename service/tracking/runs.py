"""One MLflow run for one run, whatever restarts."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from service.tracking.address import redact
from service.tracking.client import TrackingUnavailableError, reason
from service.tracking.links import run_url
from service.tracking.request import DatasetSplit, RunRequest

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

logger = logging.getLogger(__name__)

RUN_KEY_TAG = "service.run_key"
"""Tag that identifies a run."""
_DIGEST_TAG = "config_digest"

Status = Literal["FINISHED", "FAILED", "KILLED"]
"""How a run ends."""


@dataclass(frozen=True)
class StartedRun:
    """A run that MLflow knows."""

    run_id: str
    """MLflow's name for it."""
    experiment_id: str
    """MLflow's name for its experiment."""
    url: str
    """Address of its page."""


def open_run(client: "MlflowClient", request: RunRequest) -> StartedRun:
    """Finds the run by its key, or creates it, and completes what it lacks.

    A run that is found is set to RUNNING again. Its params stay as they were first recorded: one
    that has another value now becomes the tag `resumed_with.<param>`.

    Args:
        client: Connection to the server.
        request: The run.

    Raises:
        TrackingUnavailableError: The experiment was deleted.
        Exception: Whatever MLflow raises when the server fails.
    """
    experiment_id = _experiment(client, request)
    run = _find(client, experiment_id, request) or _create(client, experiment_id, request)
    run_id = run.info.run_id
    if run.info.status != "RUNNING":
        client.update_run(run_id, status="RUNNING")
    if "status_reason" in run.data.tags:
        client.delete_tag(run_id, "status_reason")
    _record_params_and_tags(client, run, request)
    _record_datasets(client, run, request.datasets)
    _record_configuration(client, run, request)
    return StartedRun(run_id, experiment_id, run_url(request.uri, experiment_id, run_id))


def finish_run(
    client: "MlflowClient", run_id: str, status: Status, reason: str | None, tags: Mapping[str, str]
) -> None:
    """Closes a run.

    Args:
        client: Connection to the server.
        run_id: MLflow's name for the run.
        status: How it ended.
        reason: Why, for the tag `status_reason`; its first line is kept.
        tags: What is known only at the end, such as the best checkpoint's address.

    Raises:
        Exception: Whatever MLflow raises when the server fails.
    """
    from mlflow.entities import RunTag

    last = dict(tags)
    if reason and reason.strip():
        last["status_reason"] = redact(reason).strip().splitlines()[0]
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in last.items()])
    client.set_terminated(run_id, status=status)


def tidy_run(client: "MlflowClient", run_id: str, request: RunRequest) -> None:
    """Makes up for what a failing server did to a run: one that ends well has nothing to tidy.

    The configuration is stored if it could not be before. Other runs with the key are deleted: a
    request to create one may be carried out very late.

    Args:
        client: Connection to the server.
        run_id: MLflow's name for the run that counts.
        request: The run.

    Raises:
        Exception: Whatever MLflow raises when the server fails.
    """
    run = client.get_run(run_id)
    _record_configuration(client, run, request)
    for other in _with_key(client, run.info.experiment_id, request):
        if other.info.run_id != run_id:
            client.delete_run(other.info.run_id)


def _experiment(client: "MlflowClient", request: RunRequest) -> str:
    """Returns the id of the experiment, which is created if it does not exist."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(request.experiment)
    if found is None:
        try:
            return client.create_experiment(
                request.experiment, artifact_location=request.artifact_location
            )
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            # Another run created it in between.
            found = client.get_experiment_by_name(request.experiment)
    if found is None or found.lifecycle_stage != "active":
        raise TrackingUnavailableError(
            f"experiment {request.experiment!r} was deleted: restore it with "
            "`mlflow experiments restore` or set tracking.experiment to another name"
        )
    return str(found.experiment_id)


def _find(client: "MlflowClient", experiment_id: str, request: RunRequest) -> "Run | None":
    """Returns the first run with the key; one that was created and no more counts last."""
    found = _with_key(client, experiment_id, request)
    return min(found, key=lambda run: _DIGEST_TAG not in run.data.tags, default=None)


def _with_key(client: "MlflowClient", experiment_id: str, request: RunRequest) -> "list[Run]":
    """Returns the runs with the key, the oldest first; there should be one."""
    return list(
        client.search_runs(
            [experiment_id],
            filter_string=f"tags.`{RUN_KEY_TAG}` = '{request.key}'",
            order_by=["attributes.start_time ASC", "attributes.run_id ASC"],
        )
    )


def _create(client: "MlflowClient", experiment_id: str, request: RunRequest) -> "Run":
    """Creates the run.

    A request that timed out may have been carried out all the same, and is sent again. So the run
    is looked up once more: of two, the first counts, and the other one is deleted.
    """
    created = client.create_run(
        experiment_id, run_name=request.name, tags={RUN_KEY_TAG: request.key}
    )
    first = _find(client, experiment_id, request)
    if first is None or first.info.run_id == created.info.run_id:
        return created
    client.delete_run(created.info.run_id)
    return first


def _record_params_and_tags(client: "MlflowClient", run: "Run", request: RunRequest) -> None:
    """Records the params that the run lacks, and all tags."""
    from mlflow.entities import Param, RunTag

    params = {name: str(value) for name, value in request.params.items()}
    fixed = {**params, _DIGEST_TAG: request.config_digest}
    known = {**run.data.params, _DIGEST_TAG: _first_digest(run, request)}
    changed = {name: value for name, value in fixed.items() if known.get(name, value) != value}
    tags = {
        **request.tags,
        _DIGEST_TAG: known[_DIGEST_TAG],
        **{f"resumed_with.{name}": value for name, value in changed.items()},
    }
    client.log_batch(
        run.info.run_id,
        params=[Param(name, value) for name, value in params.items() if name not in known],
        tags=[RunTag(name, value) for name, value in tags.items()],
    )


def _record_datasets(client: "MlflowClient", run: "Run", splits: tuple[DatasetSplit, ...]) -> None:
    """Records the data that the run does not name yet."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    inputs = run.inputs.dataset_inputs if run.inputs is not None else []
    known = {(entry.dataset.name, entry.dataset.digest) for entry in inputs}
    fresh = [split for split in splits if (split.name, split.digest) not in known]
    if not fresh:
        return
    added = []
    for split in fresh:
        source = json.dumps({"uri": redact(split.source)})
        tags = [
            InputTag("mlflow.data.context", split.context),
            InputTag("samples", str(split.samples)),
        ]
        added.append(DatasetInput(Dataset(split.name, split.digest, "local", source), tags))
    client.log_inputs(run.info.run_id, added)


def _first_digest(run: "Run", request: RunRequest) -> str:
    """Returns the digest of the configuration that the run was created with."""
    return str(run.data.tags.get(_DIGEST_TAG, request.config_digest))


def _record_configuration(client: "MlflowClient", run: "Run", request: RunRequest) -> None:
    """Stores the configuration as `config.yaml`, one that came later as `config-<digest>.yaml`.

    The files may lie elsewhere than the metrics, so a failure here is reported and goes no further.
    """
    run_id = run.info.run_id
    name = "config.yaml"
    if _first_digest(run, request) != request.config_digest:
        name = f"config-{request.config_digest}.yaml"
    try:
        if name not in {file.path for file in client.list_artifacts(run_id)}:
            text = request.config_yaml.replace(request.uri, redact(request.uri))
            client.log_text(run_id, text, name)
    except Exception as error:
        logger.warning("%s was not stored in MLflow: %s", name, reason(error))
