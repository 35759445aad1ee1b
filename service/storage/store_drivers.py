"""What differs between fsspec's drivers: what they are told, and what their answers mean."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any


def options(address: str) -> Mapping[str, Any]:
    """Returns what a driver is told beside the address."""
    if address.startswith(("s3://", "s3a://")):
        # Two layers above this one try again; with it, all of them would do so for minutes.
        return {"config_kwargs": {"retries": {"total_max_attempts": 1}, "connect_timeout": 10}}
    return {}


def may_pass(error: Exception) -> bool:
    """Returns whether another attempt may do: each driver has errors of its own for a network."""
    final = (TypeError, ValueError, AttributeError, NotImplementedError)
    return not (isinstance(error, final) or is_beyond_the_end(error))


def is_beyond_the_end(error: Exception) -> bool:
    """Returns whether a range was refused that begins after an object's last byte."""
    response = getattr(error.__cause__, "response", None) or {}
    return bool(response.get("Error", {}).get("Code") in ("InvalidRange", "416"))


def modified(entry: Mapping[str, Any]) -> float:
    """Returns when an object was written, seconds since 1970; 0 where a listing does not say."""
    found = entry.get("LastModified", entry.get("mtime", entry.get("created")))
    if isinstance(found, datetime):
        return found.timestamp()
    return float(found) if isinstance(found, int | float) else 0.0
