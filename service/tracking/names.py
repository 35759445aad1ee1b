"""Names that MLflow takes: of metrics and of files."""

import posixpath
import re

# What MLflow admits in a metric name, and its greatest length (mlflow.utils.validation).
_METRIC_NAME = re.compile(r"[/\w.\- :]{1,250}")
# MLflow decodes %-escapes, splits at # and reads a scheme before a colon.
_ARTIFACT_PATH = re.compile(r"[/\w.\- +=,()]{1,200}")


def check_metric_name(name: str) -> None:
    """Refuses a name that MLflow would refuse, which would hold up all that is delivered after it.

    Raises:
        ValueError: The name has another character, is too long, or is not a plain relative path.
    """
    if not _METRIC_NAME.fullmatch(name):
        raise ValueError(
            f"metric name {name!r}: use 1 to 250 letters, digits, spaces and any of _ - . : /"
        )
    if name == "." or name.startswith(("/", "..")) or posixpath.normpath(name) != name:
        raise ValueError(f"metric name {name!r}: write a plain path such as val/top1")


def check_artifact_path(path: str) -> None:
    """Refuses a path of a file that leads out of its folder, or that MLflow would refuse.

    Raises:
        ValueError: The path has another character, is too long, is absolute, climbs, is not in its
            shortest form, or has a hidden part.
    """
    if not _ARTIFACT_PATH.fullmatch(path):
        raise ValueError(
            f"artifact path {path!r}: use 1 to 200 letters, digits, spaces and any of "
            "_ - . + = , ( ) /"
        )
    if any(part.startswith(".") or not part.strip() for part in path.split("/")):
        raise ValueError(
            f"artifact path {path!r}: write a plain path such as evaluation/pictures.png"
        )
