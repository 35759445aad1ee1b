"""`pipelines/export.py` as a process, and what MLflow serves of it."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import running
import serving
from mlflow.tracking import MlflowClient

MODEL = "drawn shapes"


def test_a_wrong_call_is_one_line() -> None:
    refused = running.run([*running.program("export"), "--output", "exported"])
    assert refused.returncode == 2
    (line,) = refused.stderr.splitlines()
    assert line.startswith("error: ")
    assert "--checkpoint" in line


def ask(address: str, body: dict[str, Any]) -> tuple[int, Any]:
    request = urllib.request.Request(  # noqa: S310
        f"{address}/invocations",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.loads(error.read())


BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchvision", "ray", "service"):
            raise ImportError(name + " is not installed here")
sys.meta_path.insert(0, Blocked())
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_is_registered_and_served_without_torch_and_the_project(tmp_path: Path) -> None:
    """Measured: probabilities differ by 0.003, because Pillow rounds otherwise."""
    storage = tmp_path / "runs"
    server = serving.MlflowServer(tmp_path)
    server.start()
    try:
        tracking = f"tracking.uri={server.uri}"
        trained = running.run_pipeline(storage, "name=shapes", tracking, "training.duration=1ep")
        assert trained.returncode == 0, trained.stderr
        client = MlflowClient(server.uri)
        experiments = [one.experiment_id for one in client.search_experiments()]
        (run,) = client.search_runs(experiments)
        places = ["--storage", str(storage), "--uri", server.uri]
        for output in ("a", "b"):
            line = ["--checkpoint", f"runs:/{run.info.run_id}", "--output", str(tmp_path / output)]
            line += ["--register", MODEL, "--alias", "champion", *places]
            done = running.run([*running.program("export"), *line])
            assert done.returncode == 0, done.stderr
        assert f"registered as models:/{MODEL}/2, alias champion" in done.stdout
        assert "32 pictures in batches of 1, 3, 8, 20" in done.stdout
        champion = client.get_model_version_by_alias(MODEL, "champion")
        assert (int(champion.version), champion.run_id) == (2, run.info.run_id)
        assert len(client.get_run(run.info.run_id).outputs.model_outputs) == 2

        # The registered model is a checkpoint too.
        pictures = sorted(storage.glob("datasets/drawn-*/val/*/*.jpg"))[::7]
        options = ["--output", str(tmp_path / "c"), *places, *map(str, pictures)]
        address = ["--checkpoint", f"models:/{MODEL}@champion"]
        done = running.run([*running.program("predict"), *address, *options])
        assert done.returncode == 0, done.stderr
        lines = (tmp_path / "c" / "predictions.jsonl").read_text().splitlines()
        predicted = [json.loads(line)["classes"] for line in lines]
        # So is the exported folder, and both know their run.
        for source, name in ((f"models:/{MODEL}@champion", "registered"), (tmp_path / "b", "file")):
            line = ["--checkpoint", str(source), "--name", name, f"storage.path={storage}"]
            done = running.run([*running.program("evaluate"), *line, tracking])
            assert done.returncode == 0, done.stderr
            measured = client.get_run(run.info.run_id).data.metrics
            assert measured[f"evaluation/{name}/top1"] == measured["val/top1"]
        with served(tmp_path, server.uri) as model:
            check_answers(model, pictures, predicted)
    finally:
        server.kill()


def check_answers(model: str, pictures: list[Path], predicted: list[list[dict[str, Any]]]) -> None:
    texts = [base64.b64encode(file.read_bytes()).decode() for file in pictures]
    status, answer = ask(model, {"dataframe_records": [{"picture": one} for one in texts]})
    assert status == 200
    assert len(answer["predictions"]) == len(predicted) == 9
    for found, expected in zip(answer["predictions"], predicted, strict=True):
        assert len(found["classes"]) == 5
        # By name: what is equally likely may change places.
        values = {one["class"]: one["probability"] for one in expected}
        assert found["classes"][0]["class"] == expected[0]["class"]
        for one in found["classes"]:
            assert one["probability"] == pytest.approx(values.get(one["class"], 0.0), abs=0.02)

    body = {"inputs": {"picture": texts[:2]}, "params": {"top": 2}}
    status, answer = ask(model, body)
    assert status == 200
    assert [len(row["classes"]) for row in answer["predictions"]] == [2, 2]

    broken = base64.b64encode(b"no picture").decode()
    status, answer = ask(model, {"dataframe_records": [{"picture": broken}]})
    assert status == 400
    assert "picture 0 cannot be used: it is none of JPEG" in answer["message"]


@contextmanager
def served(folder: Path, uri: str) -> Iterator[str]:
    """Serves the champion in a process that has neither torch nor the project."""
    (folder / "blocked").mkdir()
    (folder / "blocked" / "sitecustomize.py").write_text(BLOCKED)
    port = serving.free_port()
    line = [sys.executable, "-m", "mlflow", "models", "serve", "--env-manager", "local"]
    line += ["-m", f"models:/{MODEL}@champion", "--host", "127.0.0.1", "-p", str(port)]
    environment = running.environment(
        PYTHONPATH=str(folder / "blocked"),
        MLFLOW_TRACKING_URI=uri,
        MLFLOW_ALLOW_PICKLE_DESERIALIZATION="false",
        MLFLOW_DISABLE_TELEMETRY="true",
        PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    )
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            line, env=environment, cwd=folder, stdout=log, stderr=log, start_new_session=True
        )
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address, process, folder / "serve.log")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + 90
    while True:
        try:
            with urllib.request.urlopen(f"{address}/ping", timeout=5):  # noqa: S310
                return
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < give_up, log.read_text()
            time.sleep(0.2)
