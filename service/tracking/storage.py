"""Weights in a storage that pyarrow reads, copied to this machine."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from service.config.errors import ConfigurationError
from service.storage.atomic import whole_folder
from service.tracking.client import reason
from service.training.checkpoint_files import MODEL

if TYPE_CHECKING:
    from pyarrow.fs import FileInfo, FileSystem

STORAGES = frozenset({"s3", "gs", "file"})
"""Schemes of addresses that `copied` takes."""

# Without it pyarrow asks Google's storage for a quarter of an hour.
_PATIENCE = "retry_limit_seconds=60"


def copied(address: str, cache: Path) -> Path:
    """Copies a file, or the files of a checkpoint folder, and returns where the copy lies.

    The copy is whole or not there. One that is there is used again, as long as names, sizes and
    times at the address are the same.

    Args:
        address: Such as s3://bucket/runs/a-run/step_00001200; options follow a question mark, such
            as ?endpoint_override=minio:9000&scheme=http.
        cache: Folder for the copies.

    Raises:
        ConfigurationError: There is nothing, or no checkpoint, or the storage refuses.
    """
    try:
        from pyarrow.fs import FileSystem

        storage, path = FileSystem.from_uri(_patient(address))
        files = _files(storage, path)
        facts = [(info.base_name, info.size, info.mtime_ns) for info in files]
        target = cache / hashlib.sha256(repr((address, sorted(facts))).encode()).hexdigest()[:16]
        name = Path(path).name
        if not target.is_dir():
            with whole_folder(target) as partial:
                _copy(storage, files, path, partial / name)
    except ConfigurationError:
        raise
    # pyarrow's errors are of these two kinds.
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"cannot be read ({reason(error)}); see that the address is right and that this "
            "machine may read it"
        ) from error
    return target / name


def _files(storage: "FileSystem", path: str) -> "list[FileInfo]":
    """Returns the file at a path, or the files of the checkpoint folder there."""
    from pyarrow.fs import FileSelector, FileType

    there = storage.get_file_info(path)
    if there.type == FileType.NotFound:
        raise ConfigurationError("there is nothing at this address; see that it is right")
    if there.type == FileType.File:
        return [there]
    files = [i for i in storage.get_file_info(FileSelector(path)) if i.type == FileType.File]
    if not any(info.base_name == MODEL for info in files):
        raise ConfigurationError(
            f"the folder holds no {MODEL}; give a checkpoint's folder (step_…) or a file of weights"
        )
    return files


def _copy(storage: "FileSystem", files: "list[FileInfo]", path: str, target: Path) -> None:
    """Copies files in pieces, so that none is in memory as a whole."""
    from pyarrow.fs import LocalFileSystem, copy_files

    is_file = files[0].path == path
    if not is_file:
        target.mkdir()
    for info in files:
        end = target if is_file else target / info.base_name
        copy_files(info.path, str(end), storage, LocalFileSystem())


def _patient(address: str) -> str:
    """Returns an address with a bound on how long its storage is asked, where pyarrow has one."""
    parts = urlsplit(address)
    if parts.scheme.lower() != "gs" or "retry_limit_seconds" in parts.query:
        return address
    return f"{address}{'&' if parts.query else '?'}{_PATIENCE}"
