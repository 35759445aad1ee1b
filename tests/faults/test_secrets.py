"""Credentials appear nowhere: not in output, run folders, checkpoints, MLflow, or error texts."""

import base64
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient
from running import OWN_CLUSTER, ROOT, SMALL, environment
from serving import (
    FaultyProxy,
    MlflowServer,
    Relay,
    faulty_proxy,
    only,
    passed,
    refusing,
    silent,
)

from service.cluster import pipeline as pipelines
from service.config.training import TrackingConfig
from service.tracking import source
from service.tracking.address import resolve_uri
from service.tracking.request import RunRequest
from service.tracking.tracker import RunTracker, end_run, start_run

sys.path.insert(0, str(ROOT / "pipelines"))
from imagenet import PIPELINE

pytestmark = [pytest.mark.faults, pytest.mark.timeout(280)]

CANARY = "c4n4ry"
SECRETS = {
    "MLFLOW_TRACKING_USERNAME": "ann",
    "MLFLOW_TRACKING_PASSWORD": f"{CANARY}-password",
    "MLFLOW_TRACKING_TOKEN": f"{CANARY}-token",
    "AWS_ACCESS_KEY_ID": "AKIA",
    "AWS_SECRET_ACCESS_KEY": f"{CANARY}/aws+key",
    "RAY_AUTH_TOKEN": f"{CANARY}-ray-token-of-a-sufficient-length",
    "HF_TOKEN": f"{CANARY}-hf",
}
ENCODED = base64.b64encode(f"ann:{CANARY}".encode()[:9]).decode()
"""How a user name and a password begin in a header."""


@pytest.mark.parametrize(
    "arguments",
    [
        ["tracking.uri=http://ann:c4n4ry@host:5000"],
        ["--tracking.uri", "http://ann:c4n4ry@host:5000"],
        ["tracking.uri=http://ann:c4n4/c4n4ry@host:5000"],
        ["tracking.uri=http://[c4n4ry:x@host"],
        ["tracking.uri=http://host/?access_token=c4n4ry"],
        ["tracking.uri=postgresql://ann:c4n4ry@host/mlflow"],
        ["tracking.uri=[http://ann:c4n4ry@host]"],
        ["tracking.uri='http://ann:c4n4ry@host"],
        ["tracking.address=http://ann:c4n4ry@host"],
        ["tracking=http://ann:c4n4ry@host"],
        ["http://ann:c4n4ry@host"],
        ["--config", "https://ann:c4n4ry@host/recipe.yaml"],
        ["training.batch_size=http://ann:c4n4ry@host"],
        ["model.kind=http://ann:c4n4ry@host"],
        ["model.weights=s3://AKIA:c4n4ry/+=@bucket/step_00000010"],
        ["model.weights=https://ann:c4n4ry@host/weights.pth"],
        ["data.root=s3://AKIA:c4n4ry@bucket/pictures"],
        ["storage.path=s3://AKIA:c4n4ry@bucket/runs"],
        ["cluster.address=ray://ann:c4n4ry@host:10001"],
        ["name=http://ann:c4n4ry@host"],
        [f"training.batch_size=http://ann:{'c4n4ry' * 99}@host"],
    ],
)
def test_an_address_with_a_password_is_refused_and_not_repeated(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert pipelines.run_pipeline(PIPELINE, ["--print-config", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert "c4n4" not in captured.out + captured.err


def test_a_printed_configuration_and_the_help_know_no_environment(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:{CANARY}@host")
    assert pipelines.run_pipeline(PIPELINE, ["--print-config"]) == 0
    assert pipelines.run_pipeline(PIPELINE, ["--help"]) == 0
    captured = capsys.readouterr()
    assert "tracking.uri=auto" in captured.out
    assert CANARY not in captured.out + captured.err


@pytest.mark.parametrize(
    "uri",
    [
        "http://ann:c4n4ry/x@host",
        "http://ann:c4n4ry#x@host",
        "http://ann:c4n4ry?x@host",
        "http://[c4n4ry@host",
        "http://ann:c4n4ry@:5000",
        "mysql://ann:c4n4ry@host/mlflow",
        "ftp://host/?password=c4n4ry",
    ],
)
def test_an_unusable_address_in_the_environment_is_not_repeated(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(ValueError, match=r"^MLFLOW_TRACKING_URI: ") as error:
        resolve_uri(TrackingConfig(), Path("/data/runs"), 1)
    assert "c4n4ry" not in str(error.value)


@pytest.mark.parametrize(
    "token", [f"{CANARY}-of-a-file\r\nwith two lines", f" {CANARY}-after-a-space", f"{CANARY}-ü"]
)
def test_a_token_that_no_header_takes_is_not_repeated(
    token: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", token)
    for name in ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    with faulty_proxy("http://127.0.0.1:1") as proxy:
        proxy.fault = refusing(401)
        request = RunRequest(proxy.uri, "experiment", "0" * 32, "a-run", "")
        with caplog.at_level(logging.DEBUG):
            assert start_run(tmp_path, request) is None
            tracker = RunTracker(tmp_path, request, run_id="0" * 32, ship_every=0.02)
            tracker.log(1, {"train/loss": 1.0})
            assert tracker.close(60) == 1
            line = end_run(tmp_path, request, "FINISHED")
    assert line is not None
    assert "--resume delivers them" in line
    assert CANARY not in line + caplog.text
    assert not files_with(CANARY, tmp_path)


def test_a_git_remote_with_a_token_is_no_source_tag(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_repository(tmp_path)
    monkeypatch.setattr(source, "_ROOT", tmp_path)
    tags = source.source_tags("pipelines/imagenet.py")
    assert len(tags["mlflow.source.git.commit"]) == 40
    assert CANARY not in str(tags)


def make_repository(folder: Path) -> None:
    """Makes a folder a repository whose remote address holds a token."""
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b.c"]
    for command in (
        ["init", "--quiet"],
        ["remote", "add", "origin", f"https://ann:{CANARY}@host/code.git"],
        ["commit", "--quiet", "--allow-empty", "-m", "first"],
    ):
        subprocess.run([*git, *command], check=True)


def files_with(text: str, *folders: Path) -> list[Path]:
    """Returns the files whose bytes or names hold a text, as it is or in base64."""
    needles = [text.encode(), ENCODED.encode()]
    return [
        file
        for folder in folders
        for file in folder.rglob("*")
        if text in file.name
        or (file.is_file() and any(needle in file.read_bytes() for needle in needles))
    ]


@dataclass
class Place:
    """A checkout, a server that asks for a password, and where runs lie."""

    code: Path
    server: Path
    storage: Path
    proxy: FaultyProxy

    def run(self, name: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs the pipeline of the checkout with all secrets in its environment."""
        line = [sys.executable, str(self.code / "pipelines" / "imagenet.py")]
        line += [f"storage.path={self.storage}", OWN_CLUSTER, *SMALL, f"name={name}", *options]
        uri = self.proxy.uri.replace("://", f"://ann:{CANARY}-uri@")
        secrets = {**SECRETS, "MLFLOW_TRACKING_URI": uri, "PYTHONPATH": str(self.code)}
        return subprocess.run(
            line,
            env=environment(**secrets, **variables),
            cwd=self.storage.parent,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    code, server_folder, storage = (folder / name for name in ("code", "server", "runs"))
    for part in ("service", "pipelines", "configs"):
        shutil.copytree(ROOT / part, code / part, ignore=shutil.ignore_patterns("__pycache__"))
    make_repository(code)
    server_folder.mkdir()
    storage.mkdir()
    server = MlflowServer(server_folder)
    server.start()
    try:
        with faulty_proxy(server.uri) as proxy:
            yield Place(code, server_folder, storage, proxy)
    finally:
        server.kill()


def asking_for_a_password(relay: Relay) -> None:
    """Lets through what carries the password, which it asks for."""
    known = relay.headers.get("Authorization", "").startswith(f"Basic {ENCODED}")
    (passed if known or relay.path == "/health" else refusing(401))(relay)


def recorded(place: Place, name: str) -> Run:
    """Returns the finished run that the server holds."""
    client = MlflowClient(f"sqlite:///{place.server / 'server.db'}")
    (run,) = client.search_runs(["1"], f"attributes.run_name = '{name}'")
    assert run.info.status == "FINISHED"
    return run


@pytest.mark.slow
def test_a_run_and_its_faults_give_no_credentials_away(place: Place) -> None:
    failures = iter(range(4))

    def failing_at_first(relay: Relay) -> None:
        fault = refusing(500) if next(failures, None) is not None else asking_for_a_password
        fault(relay)

    place.proxy.fault = only("log-batch", failing_at_first, otherwise=asking_for_a_password)
    first = place.run("here", "--local", "training.duration=2ep", "tracking.ship_every=0.1")
    assert first.returncode == 0, first.stderr
    assert len(recorded(place, "here").data.tags["mlflow.source.git.commit"]) == 40

    # No right to anything, and then no answer at all.
    place.proxy.fault = only("/health", passed, otherwise=refusing(401))
    second = place.run("here", "--local", "--resume", "training.duration=3ep")
    assert second.returncode == 0, second.stderr
    assert "--resume delivers them" in second.stdout
    place.proxy.fault = silent
    third = place.run("here", "--local", "--resume", "model.weights=runs:/0123")
    assert third.returncode == 2, third.stdout
    assert "model.weights: runs:/0123: MLflow at http://***@127.0.0.1" in third.stderr
    for done in (first, second, third):
        assert CANARY not in done.stdout + done.stderr
        assert ENCODED not in done.stdout + done.stderr
    assert not files_with(CANARY, place.storage, place.server)


@pytest.mark.slow
def test_a_run_on_ray_leaves_none_in_its_logs(place: Place) -> None:
    place.proxy.fault = asking_for_a_password
    # Ray's sockets need a short path.
    temporary = Path(os.environ.get("TMPDIR", "/tmp")) / f"ray-{os.getpid()}"  # noqa: S108
    try:
        done = place.run(
            "on-ray",
            "training.duration=2ep",
            "cluster.num_workers=1",
            RAY_TMPDIR=str(temporary),
            RAY_AUTH_MODE="token",
        )
        assert done.returncode == 0, done.stderr
        assert CANARY not in done.stdout + done.stderr
        assert "val/top1" in recorded(place, "on-ray").data.metrics
        assert list(temporary.rglob("*.log"))
        assert not files_with(CANARY, place.storage, place.server, temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
