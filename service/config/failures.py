"""What ended a run, below the layers that Ray wraps around it, and what the program then says.

What it says holds no credentials.
"""

import sys
import traceback

from service.config.errors import ConfigurationError, RunError
from service.config.redaction import redact


def root_cause(error: BaseException) -> BaseException:
    """Returns the first worker's own exception where Ray wrapped it, or the error itself."""
    failures = getattr(error, "worker_failures", None)
    if failures:
        return root_cause(failures[min(failures)])
    wrapped = getattr(error, "cause", None) or getattr(error, "controller_failure", None)
    return root_cause(wrapped) if isinstance(wrapped, BaseException) else error


def refuse(error: ConfigurationError) -> int:
    """Prints why an input cannot be used; returns the exit status."""
    for line in redact(str(error)).splitlines():
        print(f"error: {line}", file=sys.stderr)
    return 2


def report(error: Exception, what: str) -> int:
    """Prints why something failed; what explains itself in one line, without a traceback.

    Args:
        error: What was raised, perhaps by Ray.
        what: What failed, such as "the run".

    Returns:
        The exit status: 2 where it was an input, else 1.
    """
    cause = root_cause(error)
    if isinstance(cause, ConfigurationError):
        return refuse(cause)
    if isinstance(cause, RunError):
        print(redact(f"error: {cause}"), file=sys.stderr)
        return 1
    print(redact("".join(traceback.format_exception(cause))), end="", file=sys.stderr)
    line = f"error: {what} failed: {type(cause).__name__}: {cause}"
    print(redact(line), file=sys.stderr)
    return 1
