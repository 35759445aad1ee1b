"""A served model's folder as a version of a registered model, with an alias."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from service.config.errors import ConfigurationError
from service.config.showing import shown
from service.tracking.address import artifact_location, redact
from service.tracking.client import TrackingUnavailableError, connect, unavailable_on_failure
from service.tracking.origin import Origin, run_of

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

_NAME = re.compile(r"\w(?:[\w.\- ]{0,198}[\w\-])?")
# MLflow's rules for an alias (mlflow.utils.validation).
_ALIAS = re.compile(r"[\w\-]{1,200}", re.ASCII)
_RESERVED = re.compile(r"latest|v\d+", re.IGNORECASE)
_UPLOAD_SECONDS = "600"


@dataclass(frozen=True)
class Registration:
    """What is registered where, and as what."""

    uri: str
    """Resolved tracking URI."""
    storage: Path
    """Folder of all runs."""
    experiment: str
    """Of a model that comes from no run that MLflow knows."""
    name: str
    """Name of the registered model."""
    alias: str | None
    """What the new version is called; it is taken from the version that had it."""
    origin: Origin
    """What was exported."""
    description: str
    """What people read on the version's page beside it."""


@dataclass(frozen=True)
class RegisteredVersion:
    """A version of a registered model."""

    name: str
    """Name of the model."""
    version: int
    """Its number, from 1."""
    run_id: str | None
    """The run that it comes from."""

    @property
    def address(self) -> str:
        """Where `--checkpoint` and MLflow find it."""
        return f"models:/{self.name}/{self.version}"


def check_registry(registration: Registration) -> None:
    """Finds out what would fail before a model is exported.

    Raises:
        ConfigurationError: MLflow cannot be reached, or takes no such name or alias.
    """
    if not _NAME.fullmatch(registration.name):
        raise ConfigurationError(
            f"--register: {shown(registration.name)}: use 1 to 200 letters, digits, spaces and any "
            "of _ - ."
        )
    alias = registration.alias
    if alias is not None and (not _ALIAS.fullmatch(alias) or _RESERVED.fullmatch(alias)):
        raise ConfigurationError(
            f"--alias: {shown(alias)}: use 1 to 200 letters, digits, _ and -, and neither latest "
            "nor a version such as v1"
        )
    with _answering(registration.uri):
        connect(registration.uri).search_registered_models(max_results=1)


def register(folder: Path, registration: Registration) -> RegisteredVersion:
    """Uploads a model's folder and registers it; nothing is registered that is not there in full.

    Args:
        folder: What `write_served_model` wrote.
        registration: Where, and as what.

    Raises:
        ConfigurationError: MLflow refuses or cannot be reached.
    """
    name, alias = registration.name, registration.alias
    with _answering(registration.uri):
        client = connect(registration.uri)
        run = run_of(client, registration.origin)
        run_id = run.info.run_id if run else None
        model = _uploaded(client, folder, run, registration)
        _create(client, name)
        note = f"{redact(registration.origin.address)}, {registration.description}"
        # A database looks up the model's files by another client, without being told where.
        with _environment("MLFLOW_TRACKING_URI", registration.uri):
            made = client.create_model_version(
                name, f"models:/{model}", run_id, description=note, model_id=model
            )
        if alias is not None:
            client.set_registered_model_alias(name, alias, made.version)
    return RegisteredVersion(name, int(made.version), run_id)


def _uploaded(
    client: "MlflowClient", folder: Path, run: "Run | None", registration: Registration
) -> str:
    """Returns MLflow's name for the model whose files are now in its store."""
    from mlflow.entities import LoggedModelOutput

    experiment = run.info.experiment_id if run else _experiment(client, registration)
    run_id = run.info.run_id if run else None
    model = client.create_logged_model(
        experiment, registration.name, run_id, model_type="classifier"
    )
    try:
        # A server needs time to pass large files on to its store.
        with _environment("MLFLOW_HTTP_REQUEST_TIMEOUT", _UPLOAD_SECONDS):
            client.log_model_artifacts(model.model_id, str(folder))
        client.finalize_logged_model(model.model_id, "READY")
    except BaseException:
        # What went wrong is told by the first failure.
        with suppress(Exception):
            client.finalize_logged_model(model.model_id, "FAILED")
        raise
    if run_id is not None:
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return str(model.model_id)


def _experiment(client: "MlflowClient", registration: Registration) -> str:
    """Returns the id of the experiment for models without a run, made if it does not exist."""
    found = client.get_experiment_by_name(registration.experiment)
    if found is not None:
        return str(found.experiment_id)
    location = artifact_location(registration.uri, registration.storage)
    return str(client.create_experiment(registration.experiment, artifact_location=location))


def _create(client: "MlflowClient", name: str) -> None:
    """Makes the registered model, if there is none of this name."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


@contextmanager
def _environment(variable: str, value: str) -> Iterator[None]:
    """Sets what MLflow reads from the environment and from nowhere else."""
    before = os.environ.get(variable)
    os.environ[variable] = value
    try:
        yield
    finally:
        if before is None:
            del os.environ[variable]
        else:
            os.environ[variable] = before


@contextmanager
def _answering(uri: str) -> Iterator[None]:
    """Turns failures of MLflow inside into what a user can do about them."""
    try:
        with unavailable_on_failure():
            yield
    except TrackingUnavailableError as error:
        raise ConfigurationError(
            f"--register: MLflow at {redact(uri)} cannot be used now ({error}); start it, or give "
            "its address with --uri"
        ) from error
