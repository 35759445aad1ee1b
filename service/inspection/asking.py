"""Which MLflow is asked about runs, and what it answers."""

from pathlib import Path

from service.config.errors import ConfigurationError
from service.config.loading import validate
from service.config.training import TrackingConfig
from service.inspection.configurations import kept_tree
from service.inspection.folders import Contents, Place
from service.tracking.address import database_path, is_sqlite, redact, resolve_uri
from service.tracking.client import TrackingUnavailableError
from service.tracking.outbox import CURSOR
from service.tracking.recorded import (
    RecordedRun,
    named_files,
    recorded_run,
    recorded_runs,
)


def all_recorded(given: str, storage: Path) -> list[RecordedRun]:
    """Returns what the MLflow at a given address knows.

    Raises:
        ConfigurationError: The address cannot be used, or nothing answers there.
    """
    uri = _given(given, storage)
    try:
        return recorded_runs(uri)
    except TrackingUnavailableError as error:
        raise ConfigurationError(
            f"--tracking: MLflow at {redact(uri)} cannot be used now ({error}); start it, or leave "
            "the option away"
        ) from error


def recorded_of(
    place: Place, given: str | None, storage: Path
) -> tuple[RecordedRun | None, str | None]:
    """Returns what MLflow knows of a run, and why it could not be asked, if so.

    Args:
        place: The run.
        given: Address of the MLflow; None takes the one in the run's configuration.
        storage: Folder of all runs.

    Raises:
        ConfigurationError: The given address cannot be used.
    """
    own = _own(place)
    if given is None and own is None:
        return None, "was not used by the run"
    try:
        uri = _resolved(own or "", storage) if given is None else _given(given, storage)
    except ConfigurationError as error:
        if given is not None:
            raise
        return None, f"cannot be asked: {error}"
    try:
        return recorded_run(uri, storage, place.name), None
    except TrackingUnavailableError as error:
        return None, f"at {redact(uri)} cannot be asked now: {error}"


def everything_named(contents: Contents, given: str | None) -> tuple[list[str], list[str]]:
    """Returns all addresses that the MLflows of a storage folder's runs name.

    Args:
        contents: What lies in it.
        given: Address of one more MLflow, if any.

    Returns:
        The addresses; and a line for each MLflow that could not be asked.

    Raises:
        ConfigurationError: The given address cannot be used.
    """
    texts: list[str] = []
    away: list[str] = []
    uris = set() if given is None else {_given(given, contents.storage)}
    owns = {_own(place) for place in contents.places}
    for address in sorted({"auto", *(own for own in owns if own is not None)}):
        try:
            uris.add(_resolved(address, contents.storage))
        except ConfigurationError as error:
            away.append(f"MLflow of a run cannot be asked: {error}")
    for uri in sorted(uris):
        if is_sqlite(uri) and not database_path(uri).is_file():
            # Nothing was recorded there, or what was is not known by this process's environment.
            if given is None and any(map(_was_delivered, contents.places)):
                away.append(
                    f"there is no {database_path(uri)}, and runs were recorded in some MLflow; "
                    "give its address with --tracking"
                )
            continue
        try:
            texts += named_files(uri)
        except TrackingUnavailableError as error:
            away.append(f"MLflow at {redact(uri)} cannot be asked now: {error}")
    return texts, away


def _was_delivered(place: Place) -> bool:
    return (place.folder / CURSOR).exists()


def _own(place: Place) -> str | None:
    """Returns the MLflow in a run's configuration; None if it used none."""
    try:
        tracking = kept_tree(place).get("tracking")
    except ConfigurationError:
        return None
    if not isinstance(tracking, dict) or tracking.get("enabled") is not True:
        return None
    uri = tracking.get("uri")
    return uri if isinstance(uri, str) else None


def _given(address: str, storage: Path) -> str:
    try:
        return _resolved(address, storage)
    except ConfigurationError as error:
        raise ConfigurationError(f"--tracking: {error}") from error


def _resolved(address: str, storage: Path) -> str:
    return resolve_uri(validate(TrackingConfig, {"uri": address}), storage, nodes=1)
