"""Weights by address: an MLflow run, a registered model, or a storage, brought to this machine."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname

from service.config.errors import ConfigurationError
from service.storage.address import is_address
from service.storage.atomic import whole_folder
from service.storage.working_copy import address_of
from service.tracking.address import redact
from service.tracking.client import TrackingUnavailableError, connect, unavailable_on_failure
from service.tracking.storage import STORAGES, copied
from service.training.checkpoint_files import MODEL
from service.training.stored_checkpoints import bring_checkpoint

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.store.artifact.artifact_repo import ArtifactRepository
    from mlflow.tracking import MlflowClient

CHECKPOINT_TAG = "checkpoint"
"""Tag of a run: the folder of its best checkpoint."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):/")
_RUN = re.compile(r"runs:/([\w\-]+)(?:/([^/].*?))?/?")
MODEL_ADDRESS = re.compile(r"models:/([^/@]+)(?:/(\d+)|@([^/@]+))/?")
"""A version of a registered model, by its number or by an alias."""
_LOGGED = re.compile(r"models:/(m-\w+)")
# MLflow's words for a name that it does not know, and for one that it could never know.
_UNKNOWN = frozenset({"RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"})


def local_weights(address: str, tracking_uri: str, cache: Path) -> Path:
    """Returns where weights lie on this machine, which are fetched if need be.

    - `runs:/<run id>`: the best checkpoint of a run, where the run left it, or among its artifacts;
      of several there, the one of the latest step. `runs:/<run id>/<path>` looks at that path.
    - `models:/<name>/<version>`, `models:/<name>@<alias>`: the checkpoint registered so.
    - `s3://…`, `gs://…`, `file://…`: a checkpoint folder or a file of weights.
    - A path is returned as it is.

    What is fetched is kept in `cache`, whole or not at all, and fetched again when it has changed.

    Args:
        address: Where the weights are.
        tracking_uri: A resolved tracking URI, for runs and models.
        cache: Folder for what is fetched.

    Raises:
        ConfigurationError: There are no weights, or they cannot be fetched.
    """
    scheme = _SCHEME.match(address)
    if scheme is None:
        return Path(address)
    kind = scheme[1].lower()
    with _named(f"model.weights: {redact(address)}"):
        if kind in STORAGES:
            return _of_a_run(address, cache.parent) or copied(address, cache)
        if kind == "runs":
            return _run_weights(address, tracking_uri, cache)
        if kind == "models":
            return _model_weights(address, tracking_uri, cache)
        raise ConfigurationError(
            "unknown kind of address; give a path, runs:/<run id>, models:/<name>/<version>, "
            "s3://…, gs://… or file://…"
        )


def _of_a_run(address: str, storage: Path) -> Path | None:
    """Returns the checkpoint of a run whose copy lies in the storage folder, brought there whole.

    There it is known which run it is of.

    Raises:
        ConfigurationError: The store cannot be read.
    """
    root = address_of(storage)
    if root is None or not address.startswith(f"{root}/"):
        return None
    folder = storage / address.removeprefix(f"{root}/").rstrip("/")
    if not folder.resolve().is_relative_to(storage.resolve()):
        return None
    try:
        return folder if bring_checkpoint(folder) else None
    except OSError as error:
        raise ConfigurationError(str(error)) from error


def _run_weights(address: str, uri: str, cache: Path) -> Path:
    """Returns the checkpoint that a run's tag names, or else one of its artifacts."""
    parts = _RUN.fullmatch(address)
    if parts is None:
        raise ConfigurationError("write runs:/<run id>, with the id that the run's page shows")
    run_id, path = parts[1], parts[2] or ""
    unknown = "knows no such run; give the id that the run's page shows, or set tracking.uri"
    with _answering(uri, unknown):
        tag = connect(uri).get_run(run_id).data.tags.get(CHECKPOINT_TAG)
    if tag and not path and is_address(tag):
        with _named(f"its checkpoint {redact(tag)}"):
            return _of_a_run(tag, cache.parent) or copied(tag, cache)
    folder = Path(tag) if tag and not path else None
    if folder is not None and _is_checkpoint(folder):
        return folder
    found = _from_artifacts(f"runs:/{run_id}", path, uri, cache)
    if found is not None:
        return found
    if folder is not None:
        raise ConfigurationError(_gone(folder))
    raise ConfigurationError(
        f"the run's artifacts hold no checkpoint below {path}; see their page"
        if path
        else "the run has no checkpoint: neither its tag `checkpoint` nor its artifacts name one; "
        "give a checkpoint's folder, or another run"
    )


def _model_weights(address: str, uri: str, cache: Path) -> Path:
    """Returns the checkpoint from which a version of a registered model was made."""
    if not MODEL_ADDRESS.fullmatch(address):
        raise ConfigurationError("write models:/<name>/<version> or models:/<name>@<alias>")
    with _answering(uri, "knows no such model or version; see its page of models"):
        client = connect(uri)
        source = str(model_version(client, address).source)
        logged = _LOGGED.fullmatch(source)
        if logged is not None:
            # Asked for by that name, MLflow would look into the database of this process alone.
            files = str(client.get_logged_model(logged[1]).artifact_location)
            return _within(files, "", source, uri, cache)
    scheme = _SCHEME.match(source)
    if scheme is None or scheme[1].lower() == "file":
        folder = Path(source if scheme is None else url2pathname(urlsplit(source).path))
        if not _is_checkpoint(folder):
            raise ConfigurationError(_gone(folder))
        return folder
    if scheme[1].lower() in STORAGES:
        with _named(f"its source {redact(source)}"):
            return copied(source, cache)
    run = _RUN.fullmatch(source)
    root, path = (f"runs:/{run[1]}", run[2] or "") if run else (source, "")
    return _within(root, path, source, uri, cache)


def model_version(client: "MlflowClient", address: str) -> "ModelVersion":
    """Returns what MLflow knows of a version.

    Args:
        client: Connection to the server.
        address: What `MODEL_ADDRESS` matches.

    Raises:
        ValueError: It does not match.
        Exception: Whatever MLflow raises when there is none, or the server fails.
    """
    parts = MODEL_ADDRESS.fullmatch(address)
    if parts is None:
        raise ValueError(f"{address}: names no version of a model")
    name, version, alias = parts.groups()
    if alias is None:
        return client.get_model_version(name, version)
    return client.get_model_version_by_alias(name, alias)


def _within(root: str, path: str, source: str, uri: str, cache: Path) -> Path:
    """Returns the checkpoint among a model's files."""
    found = _from_artifacts(root, path, uri, cache)
    if found is None:
        raise ConfigurationError(
            f"the model's files at {redact(source)} hold no checkpoint; register a checkpoint's "
            "folder (step_…)"
        )
    return found


class _Found(NamedTuple):
    """A checkpoint among artifacts."""

    name: str
    """Name of its folder, by which the steps are in order."""
    path: str
    """Path of its folder; empty for the top."""
    files: tuple[tuple[str, int | None], ...]
    """Path and bytes of each of its files."""


def _from_artifacts(root: str, path: str, uri: str, cache: Path) -> Path | None:
    """Returns the last checkpoint at or below a path of an artifact store, or None."""
    with _answering(uri, f"has no artifacts at {redact(root)}"):
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        repository = get_artifact_repository(root, uri, uri)
        found = max(_checkpoints(repository, path), default=None)
        if found is None:
            return None
        digest = hashlib.sha256(repr((uri, root, found)).encode()).hexdigest()[:16]
        target = cache / digest
        if not target.is_dir():
            with whole_folder(target) as partial:
                repository.download_artifacts(found.path, str(partial))  # type: ignore[no-untyped-call]  # MLflow's
        return target / found.path


def _checkpoints(repository: "ArtifactRepository", start: str) -> Iterator[_Found]:
    """Yields the checkpoints at or below a path."""
    waiting = [start]
    while waiting:
        folder = waiting.pop()
        entries = repository.list_artifacts(folder or None)
        files = tuple(sorted((e.path, e.file_size) for e in entries if not e.is_dir))
        if any(Path(path).name == MODEL for path, _ in files):
            yield _Found(Path(folder).name, folder, files)
        waiting += [entry.path for entry in entries if entry.is_dir]


def _is_checkpoint(folder: Path) -> bool:
    return (folder / MODEL).is_file()


def _gone(folder: Path) -> str:
    return (
        f"its checkpoint {folder} is not on this machine; copy it here and give its folder, or "
        "give a storage address"
    )


@contextmanager
def _named(what: str) -> Iterator[None]:
    """Says of what something is wrong."""
    try:
        yield
    except ConfigurationError as error:
        raise ConfigurationError(f"{what}: {error}") from error


@contextmanager
def _answering(uri: str, unknown: str) -> Iterator[None]:
    """Turns failures of MLflow inside into what a user can do about them.

    Args:
        uri: The resolved tracking URI.
        unknown: What MLflow does when it does not know what it is asked for, and the remedy.
    """
    try:
        with unavailable_on_failure():
            yield
    except TrackingUnavailableError as error:
        where = f"MLflow at {redact(uri)}"
        if getattr(error.__cause__, "error_code", None) in _UNKNOWN:
            raise ConfigurationError(f"{where} {unknown}") from error
        raise ConfigurationError(
            f"{where} cannot be used now ({error}); start it, set tracking.uri, or give the "
            "checkpoint's folder"
        ) from error
