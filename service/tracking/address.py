"""Where MLflow is: the tracking URI, its checks, and whether something answers there."""

import os
import urllib.error
import urllib.request
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from service.config.errors import ConfigurationError
from service.config.redaction import redact
from service.config.training import TrackingConfig

__all__ = [
    "artifact_location",
    "database_path",
    "is_sqlite",
    "reachable",
    "redact",
    "resolve_uri",
]

_SQLITE = "sqlite:///"
# Half of the five seconds promised: a host name often has two addresses, tried in turn.
_TIMEOUT = 2.5
_SERVER = (
    "start one with `mlflow server` and set tracking.uri or MLFLOW_TRACKING_URI to its http address"
)


def resolve_uri(tracking: TrackingConfig, storage: Path, nodes: int) -> str:
    """Returns the tracking URI that a configuration means.

    `auto` takes the environment variable MLFLOW_TRACKING_URI, or else `mlflow.db` in the storage
    folder.

    Args:
        tracking: The configuration.
        storage: Folder of all runs.
        nodes: Nodes of the cluster.

    Raises:
        ConfigurationError: The URI is of a kind that loses runs or that several nodes cannot share.
    """
    field, uri = "tracking.uri", tracking.uri
    if uri == "auto":
        field, uri = "MLFLOW_TRACKING_URI", os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        field, uri = "tracking.uri=auto", f"{_SQLITE}{storage.absolute() / 'mlflow.db'}"
    problem = _problem(uri, nodes)
    if problem is not None:
        raise ConfigurationError(f"{field}: {redact(uri)} {problem}")
    return uri


def _problem(uri: str, nodes: int) -> str | None:
    """Returns why a URI cannot be used and what to do, or None."""
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is no address: write http://host:port, and in a password %2F, %40 and %3A for / @ :"
    if parts.scheme in ("http", "https"):
        return None if host else "names no host: write http://host:port"
    if parts.scheme in ("", "file"):
        return (
            "is a folder of files, which MLflow no longer writes: use auto, "
            "sqlite:////absolute/path/mlflow.db or the http address of a server"
        )
    if parts.scheme != "sqlite":
        return f"is neither http, https nor sqlite: {_SERVER}"
    if not uri.startswith(_SQLITE) or not database_path(uri).is_absolute():
        return (
            "is not an absolute path, so each process would make a database of its own: "
            "write four slashes, sqlite:////absolute/path/mlflow.db"
        )
    if nodes > 1:
        return (
            f"is a file, which the {nodes} nodes of the cluster cannot write together: {_SERVER}, "
            "or switch MLflow off with tracking.enabled=false"
        )
    return None


def is_sqlite(uri: str) -> bool:
    """Returns whether a resolved tracking URI is a database file."""
    return uri.startswith(_SQLITE)


def database_path(uri: str) -> Path:
    """Returns the file of a sqlite URI."""
    return Path(uri.removeprefix(_SQLITE).partition("?")[0])


def artifact_location(uri: str, storage: Path) -> str | None:
    """Returns where a new experiment keeps files: beside the runs for sqlite.

    Returns:
        A file URI; None where the server decides.
    """
    if not is_sqlite(uri):
        return None
    return (storage.absolute() / "mlflow-artifacts").as_uri()


def reachable(uri: str, patience: float = _TIMEOUT) -> str | None:
    """Asks whether something answers at a resolved tracking URI.

    Args:
        uri: The address.
        patience: Seconds given to each address that the host's name has.

    Returns:
        None if it does, otherwise the reason in one line.
    """
    if is_sqlite(uri):
        return _database_problem(database_path(uri))
    return _server_problem(uri, patience)


def _database_problem(database: Path) -> str | None:
    """Returns why a database file can be neither written nor made, or None."""
    existing = database
    while not existing.exists():
        existing = existing.parent
    if existing != database and not existing.is_dir():
        return f"{existing} is not a folder"
    return None if os.access(existing, os.W_OK) else f"{existing} is not writable"


def _server_problem(uri: str, patience: float) -> str | None:
    """Returns why a server does not answer, or None; a refusal is an answer."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    address = urlunsplit((parts.scheme, host, f"{parts.path.rstrip('/')}/health", "", ""))
    try:
        with urllib.request.urlopen(address, timeout=patience):  # noqa: S310  # resolve_uri checked it
            return None
    except urllib.error.HTTPError as error:
        with error:
            return f"HTTP status {error.code} for /health" if error.code >= 500 else None
    except urllib.error.URLError as error:
        return _one_line(error.reason)
    except (OSError, ValueError, HTTPException) as error:
        return _one_line(error)


def _one_line(error: object) -> str:
    """Returns a network error without numbers and classes."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return redact(" ".join(str(error).split())) or type(error).__name__
