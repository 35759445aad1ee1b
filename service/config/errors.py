"""The one error a user's input can cause before work starts."""


class ConfigurationError(ValueError):
    """Input that cannot be used: one clear line that names the field, file or value and the remedy.

    Pipelines print the message and end with exit status 2.
    """


class SecretError(ValueError):
    """A value that must not be repeated in the message about it."""
