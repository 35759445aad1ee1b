"""Joining a cluster: what a user reads when it does not let this process in."""

import subprocess
import sys
from pathlib import Path

import pytest
import running

_OTHER_CLUSTER = """
import ray, sys
address = ray.init(address="local", num_cpus=1, include_dashboard=False).address_info["gcs_address"]
print(address, flush=True)
sys.stdin.read()
"""


@pytest.mark.slow  # Ray tries for half a minute
def test_a_cluster_with_another_token_is_refused_in_one_line(tmp_path: Path) -> None:
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a" * 64}
    with subprocess.Popen(
        [sys.executable, "-c", _OTHER_CLUSTER],
        env=running.environment(**token),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as other:
        assert other.stdout is not None
        address = other.stdout.readline().strip()
        line = [*running.program("imagenet"), *running.SMALL, f"storage.path={tmp_path}"]
        variables = token | {"RAY_AUTH_TOKEN": "b" * 64, "RAY_ADDRESS": address}
        done = running.run(line, variables)
        other.communicate("")
    assert done.returncode == 2, done.stderr
    assert "does not accept this process's token" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("*/config.yaml"))
