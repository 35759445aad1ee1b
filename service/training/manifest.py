"""What a checkpoint folder holds: each file's size and SHA-256, written last and checked on load.

It tells a damaged file from a whole one. It is no signature: whoever can write the files can write
the manifest as well.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

MANIFEST = "manifest.json"
_FORMAT = 1


class DamagedCheckpoint(Exception):  # noqa: N818  # it says what was found, not what went wrong here
    """A checkpoint that cannot be used: one line that names the file and what is wrong with it."""


@dataclass(frozen=True)
class FileRecord:
    """What a file must look like."""

    size: int
    """Bytes."""
    sha256: str
    """Hexadecimal digest."""


def flushed(path: Path) -> FileRecord:
    """Waits until a file is on the disk and returns its record."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256")
        return FileRecord(file.tell(), digest.hexdigest())


def write_manifest(folder: Path, records: Mapping[str, FileRecord]) -> None:
    """Writes the manifest of a folder's files."""
    content = {"format": _FORMAT, "files": {name: asdict(r) for name, r in records.items()}}
    (folder / MANIFEST).write_text(json.dumps(content, indent=2, sort_keys=True), "utf-8")
    flushed(folder / MANIFEST)


def read_manifest(folder: Path) -> dict[str, FileRecord]:
    """Returns the records of a folder's files by name.

    Raises:
        DamagedCheckpoint: There is no manifest, or not one that this version reads.
    """
    path = folder / MANIFEST
    content = parse_json(path, _read(path))
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise DamagedCheckpoint(f"{path}: not a manifest of format {_FORMAT}")
    try:
        records = {name: FileRecord(**record) for name, record in content["files"].items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise DamagedCheckpoint(f"{path}: its list of files is malformed") from error
    if not all(type(one.size) is int and type(one.sha256) is str for one in records.values()):
        raise DamagedCheckpoint(f"{path}: its list of files is malformed")
    return records


def read_verified(path: Path, record: FileRecord) -> bytes:
    """Returns a file's content after comparing it with its record.

    What is returned is what was hashed: the file is read once.

    Raises:
        DamagedCheckpoint: The file is missing or not the one recorded.
    """
    data = _read(path)
    if len(data) != record.size:
        raise DamagedCheckpoint(f"{path}: {len(data)} bytes, the manifest says {record.size}")
    if hashlib.sha256(data).hexdigest() != record.sha256:
        raise DamagedCheckpoint(f"{path}: its SHA-256 differs from the manifest's")
    return data


def parse_json(path: Path, data: bytes) -> object:
    """Returns the value of a JSON file.

    Raises:
        DamagedCheckpoint: The file is not JSON.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedCheckpoint(f"{path}: not valid JSON") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DamagedCheckpoint(f"{path}: missing") from error
    except OSError as error:
        raise DamagedCheckpoint(f"{path}: cannot be read ({error.strerror})") from error
