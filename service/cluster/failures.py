"""What ended a run, below the layers that Ray wraps around it."""


def root_cause(error: BaseException) -> BaseException:
    """Returns the first worker's own exception where Ray wrapped it, or the error itself."""
    failures = getattr(error, "worker_failures", None)
    if failures:
        return root_cause(failures[min(failures)])
    wrapped = getattr(error, "cause", None) or getattr(error, "controller_failure", None)
    return root_cause(wrapped) if isinstance(wrapped, BaseException) else error
