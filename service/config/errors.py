"""Errors that are told in one line: of an input before work starts, and of a run."""


class ConfigurationError(ValueError):
    """Input that cannot be used: one clear line that names the field, file or value and the remedy.

    Pipelines print the message and end with exit status 2.
    """


class RunError(RuntimeError):
    """What ended a run, in one line that also says what to do; a traceback would add nothing.

    Trying again would meet it again, so nobody restarts the run.
    """


class SecretError(ValueError):
    """A value that must not be repeated in the message about it."""
