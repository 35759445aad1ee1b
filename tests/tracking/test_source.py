"""A run says which program made it."""

import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest

from service.tracking import source
from service.tracking.source import CODE_DIGEST_TAG, VERSIONS_TAG, source_tags


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source tree of its own, without history yet."""
    monkeypatch.setattr(source, "_ROOT", tmp_path)
    monkeypatch.delenv("SERVICE_GIT_COMMIT", raising=False)
    return tmp_path


def git(tree: Path, *arguments: str) -> str:
    author = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    command = ["git", "-C", str(tree), *author, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_that_of_the_source_tree(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVICE_GIT_COMMIT", "of the image")
    git(tree, "init", "--quiet")
    (tree / "a.py").write_text("a = 1\n")
    git(tree, "add", "a.py")
    git(tree, "commit", "--quiet", "-m", "first")
    tags = source_tags("pipelines/imagenet.py", "raysubmit_1")
    assert tags["mlflow.source.git.commit"] == git(tree, "rev-parse", "HEAD")
    assert tags["mlflow.source.name"] == "pipelines/imagenet.py"
    assert tags["ray.submission_id"] == "raysubmit_1"
    assert "mlflow.git.dirty" not in tags
    (tree / "a.py").write_text("a = 2\n")
    assert source_tags("pipelines/imagenet.py")["mlflow.git.dirty"] == "true"


def test_without_history_the_image_names_the_commit(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = source_tags("pipelines/imagenet.py")
    assert not {"mlflow.source.git.commit", "mlflow.git.dirty", "ray.submission_id"} & set(tags)
    monkeypatch.setenv("SERVICE_GIT_COMMIT", "0123abc")
    assert source_tags("pipelines/imagenet.py")["mlflow.source.git.commit"] == "0123abc"


def test_code_that_no_commit_names_has_a_digest(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "service").mkdir()
    (tree / "service" / "a.py").write_text("a = 1\n")
    first = source_tags("pipelines/imagenet.py")[CODE_DIGEST_TAG]
    assert source_tags("pipelines/cifar.py")[CODE_DIGEST_TAG] == first
    (tree / "service" / "a.py").write_text("a = 2\n")
    assert source_tags("pipelines/imagenet.py")[CODE_DIGEST_TAG] != first
    monkeypatch.setenv("SERVICE_GIT_COMMIT", "0123abc")
    assert CODE_DIGEST_TAG not in source_tags("pipelines/imagenet.py")


def test_the_versions_are_those_that_are_installed(tree: Path) -> None:
    versions = source_tags("pipelines/imagenet.py")[VERSIONS_TAG].split(", ")
    assert f"torch {version('torch')}" in versions
    assert versions[0] == f"python {platform.python_version()}"
