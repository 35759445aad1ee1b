"""What a run is before MLflow knows of it: plain values that travel between processes."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from service.storage.working_copy import address_of

_LONGEST_DIGEST = 36


def run_key(storage: Path, name: str) -> str:
    """Returns what identifies a run in MLflow, whatever restarts: its folder, as a digest.

    Of a copy of what lies in an object store that is its address there, which all machines share.
    A digest needs no quoting in a search.

    Args:
        storage: Folder of all runs.
        name: Name of the run in it.
    """
    place = address_of(storage) or str(storage.absolute())
    return key_at(f"{place}/{name}")


def key_at(place: str) -> str:
    """Returns the key of the run at a place.

    Args:
        place: Absolute path of its folder, or its address in an object store.
    """
    return hashlib.sha256(place.encode()).hexdigest()[:32]


def digest_of(config_yaml: str) -> str:
    """Returns the digest of a configuration, 16 hexadecimal digits."""
    return hashlib.sha256(config_yaml.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class DatasetSplit:
    """A split of the data that a run used."""

    name: str
    """Such as imagenet-train."""
    digest: str
    """At most 36 characters that change with the content."""
    source: str
    """Folder or address the data came from."""
    context: str
    """Split: train or val."""
    samples: int
    """Number of samples."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.digest) <= _LONGEST_DIGEST:
            raise ValueError(f"digest of {self.name} must have 1 to {_LONGEST_DIGEST} characters")


@dataclass(frozen=True)
class RunRequest:
    """Everything needed to find or create a run. It can be pickled."""

    uri: str = field(repr=False)
    """Resolved tracking URI; it may hold a password."""
    experiment: str
    """Name of the experiment."""
    key: str
    """What `run_key` returned."""
    name: str
    """Name of the run."""
    config_yaml: str = field(repr=False)
    """The whole resolved configuration."""
    params: Mapping[str, str | float | int] = field(default_factory=dict)
    """What the comparison page shows; recorded once."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """What may change when the run is resumed."""
    datasets: tuple[DatasetSplit, ...] = ()
    """Data that goes in."""
    artifact_location: str | None = None
    """Where a new experiment keeps files; None leaves it to the server."""

    @property
    def config_digest(self) -> str:
        """Digest of the configuration; see `digest_of`."""
        return digest_of(self.config_yaml)
