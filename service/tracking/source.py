"""Which program made a run, for MLflow's tags."""

import getpass
import os
import subprocess
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]


def source_tags(entry: str, submission_id: str | None = None) -> dict[str, str]:
    """Returns tags that name the program, its version, its user and its Ray job.

    The commit is that of the source tree; where the tree came without its history, as in a
    container, it is the environment variable SERVICE_GIT_COMMIT.

    Args:
        entry: What was run, such as pipelines/imagenet.py.
        submission_id: Ray's name for the job, if it is one.
    """
    tags = {"mlflow.source.name": entry, "mlflow.source.type": "LOCAL"}
    commit = _git("rev-parse", "HEAD") or os.environ.get("SERVICE_GIT_COMMIT")
    if commit:
        tags["mlflow.source.git.commit"] = commit
    if _git("status", "--porcelain"):
        tags["mlflow.git.dirty"] = "true"
    if submission_id:
        tags["ray.submission_id"] = submission_id
    user = _user()
    if user:
        tags["mlflow.user"] = user
    return tags


def _git(*arguments: str) -> str | None:
    """Returns what git says about the source tree, or None where there is no history or no git."""
    if not (_ROOT / ".git").exists():
        return None
    try:
        answer = subprocess.run(  # noqa: S603  # fixed arguments
            ["git", "-C", str(_ROOT), *arguments],  # noqa: S607  # git stands where it stands
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()


def _user() -> str | None:
    """Returns the user's name; a container's user may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None
