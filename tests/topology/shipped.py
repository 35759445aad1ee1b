"""What docker/compose.yaml starts, to be started here without containers."""

import re
import shlex
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"


def service_command(service: str, **variables: str) -> list[str]:
    """Returns the command of a compose service.

    Args:
        service: Its name.
        **variables: Compose's variables; others take their default.
    """
    services: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]

    def value(match: re.Match[str]) -> str:
        return variables.get(match[1], match[2] or "")

    return shlex.split(re.sub(r"\$\{(\w+):-([^}]*)\}", value, services[service]["command"]))


def changed(command: list[str], **options: str) -> list[str]:
    """Returns a command with other values of some options, `--option=value` each."""
    new = {name.replace("_", "-"): value for name, value in options.items()}
    kept = [word for word in command if word.partition("=")[0].removeprefix("--") not in new]
    return [*kept, *(f"--{name}={value}" for name, value in new.items())]
