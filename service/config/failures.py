"""What ended a run, below the layers that Ray wraps around it, and what the program then says.

What it says holds no credentials.
"""

import sys
import traceback
from collections.abc import Callable

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


def ended(work: Callable[[], int], what: str, interrupted: str = "interrupted") -> int:
    """Does a program's work; whatever ends it early becomes what people read of it.

    Args:
        work: Reads the command line, does what it asks for, and returns the exit status.
        what: What fails if it fails, such as "the evaluation".
        interrupted: What is said after Ctrl-C.

    Returns:
        The exit status: the work's own, 1 if it failed, 2 where an input cannot be used, 130 after
        Ctrl-C.
    """
    try:
        return work()
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130
    except OSError as error:
        if error.filename is None:
            return report(error, what)
        line = f"error: {what} failed: {error.filename}: {error.strerror}"
        print(redact(line), file=sys.stderr)
        return 1
    except Exception as error:
        return report(error, what)
