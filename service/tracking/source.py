"""Which program made a run, for MLflow's tags."""

import getpass
import hashlib
import os
import subprocess
from pathlib import Path

from service.config.versions import versions

CODE_DIGEST_TAG = "code_digest"
"""Tag of a run: digest of the program's files, where no commit names them."""
VERSIONS_TAG = "versions"
"""Tag of a run: versions of Python and of what its figures depend on."""

_PACKAGES = ("torch", "torchvision", "torchcodec", "ray", "mlflow", "numpy", "pycocotools")
_ROOT = Path(__file__).resolve().parents[2]


def source_tags(entry: str, submission_id: str | None = None) -> dict[str, str]:
    """Returns tags that name the program, its version, its user and its Ray job.

    The commit is that of the source tree; where the tree came without its history, as in a
    container, it is the environment variable SERVICE_GIT_COMMIT. Where the tree is not that commit,
    a digest of its files tells whether two runs had the same.

    Args:
        entry: What was run, such as pipelines/imagenet.py.
        submission_id: Ray's name for the job, if it is one.
    """
    tags = {"mlflow.source.name": entry, "mlflow.source.type": "LOCAL"}
    commit = _git("rev-parse", "HEAD") or os.environ.get("SERVICE_GIT_COMMIT")
    if commit:
        tags["mlflow.source.git.commit"] = commit
    dirty = bool(_git("status", "--porcelain"))
    if dirty:
        tags["mlflow.git.dirty"] = "true"
    if dirty or not commit:
        tags[CODE_DIGEST_TAG] = _code_digest()
    tags[VERSIONS_TAG] = ", ".join(f"{name} {one}" for name, one in versions(_PACKAGES).items())
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


def _code_digest() -> str:
    """Returns a digest of the program's files, 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for folder in ("service", "pipelines"):
        for file in sorted((_ROOT / folder).rglob("*.py")):
            content = file.read_bytes()
            digest.update(f"{file.relative_to(_ROOT).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    return digest.hexdigest()[:16]


def _user() -> str | None:
    """Returns the user's name; a container's user may have none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return None
