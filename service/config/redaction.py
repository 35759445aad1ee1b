"""Credentials in texts: whether there are any, and the text without them."""

import os
import re

# What stands before the last @ of an address. After a colon that begins no port it is a password,
# which may hold slashes that should have been escaped; a Path has made one slash of two.
_USER_INFO = r"[^/\s:@]*:(?!\d+(?:[^\w@%.\-]|$))\S*"
_USER = re.compile(rf"(?<=://)(?:{_USER_INFO}|[^/\s]*)@|(?<=:/)(?!/){_USER_INFO}@")
_QUERY = re.compile(
    r"([?&](?:[\w.%\-]*(?:password|passwd|token|key|secret|signature|credential)|sig)=)[^&\s]+",
    re.IGNORECASE,
)
_VARIABLE = re.compile(r"(?:PASSWORD|PASSWD|TOKEN|SECRET|ACCESS_KEY|SECRET_KEY|API_KEY)$")
# Shorter values, such as 1 or true, are no secrets, and stand in many texts.
_SHORTEST = 6


def redact(text: str) -> str:
    """Returns a text without the credentials of its addresses and of the environment.

    User names, passwords and tokens in addresses become ***, and so do the values of environment
    variables whose names end like MLFLOW_TRACKING_PASSWORD or RAY_AUTH_TOKEN.
    """
    text = _QUERY.sub(r"\1***", _USER.sub("***@", text))
    for secret in _environment_secrets():
        text = text.replace(secret, "***")
    return text


def holds_credentials(text: str) -> bool:
    """Returns whether an address in a text holds a user name, a password or a token."""
    return bool(_USER.search(text) or _QUERY.search(text))


def _environment_secrets() -> list[str]:
    """Returns the secret values of the environment, longest first: one may hold another."""
    values = [value.strip() for name, value in os.environ.items() if _VARIABLE.search(name)]
    # An error may show a value as Python writes it: a token with a line end that is refused.
    written = {text for value in values for text in (value, repr(value)[1:-1])}
    return sorted((text for text in written if len(text) >= _SHORTEST), key=len, reverse=True)
