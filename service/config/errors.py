"""The one error a user's input can cause before work starts."""


class ConfigurationError(ValueError):
    """Input that cannot be used: one clear line that names the field, file or value and the remedy.

    Pipelines print the message and end with exit status 2.
    """
