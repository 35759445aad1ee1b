"""A store with S3's interface over HTTP, as a process that can go away and come back."""

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import boto3  # type: ignore[import-untyped]  # it has none
from serving import free_port

BUCKET = "bucket"
KEYS = {
    "AWS_ACCESS_KEY_ID": "testing",
    "AWS_SECRET_ACCESS_KEY": "testing-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
}


class Store:
    """A server with one bucket; what it holds is in its memory."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def variables(self) -> dict[str, str]:
        """What a process needs in its environment to use it."""
        return {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}"}

    def start(self) -> None:
        """Starts it, and makes the bucket."""
        line = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(line, stdout=log, stderr=log, env=_without_keys())
        until = time.monotonic() + 60
        while not self._answers():
            assert time.monotonic() < until, self._log.read_text()
            time.sleep(0.05)
        self.client().create_bucket(Bucket=BUCKET)

    def stop(self) -> None:
        """Ends it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def client(self) -> "boto3.client":
        """Returns Amazon's own client."""
        return boto3.client(
            "s3",
            endpoint_url=self.variables["AWS_ENDPOINT_URL"],
            region_name=KEYS["AWS_DEFAULT_REGION"],
            aws_access_key_id=KEYS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=KEYS["AWS_SECRET_ACCESS_KEY"],
        )

    def objects(self, prefix: str = "") -> dict[str, int]:
        """Returns the bytes of each object."""
        pages = (
            self.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        )
        return {found["Key"]: found["Size"] for page in pages for found in page.get("Contents", [])}

    def ask_for_keys(self, after: int) -> None:
        """Lets it refuse keys that it does not know, from so many requests on."""
        asked = urllib.request.Request(  # noqa: S310  # ours
            f"{self.variables['AWS_ENDPOINT_URL']}/moto-api/reset-auth",
            str(after).encode(),
            {"Content-Type": "text/plain"},
        )
        urllib.request.urlopen(asked, timeout=5).close()  # noqa: S310  # ours

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(self.variables["AWS_ENDPOINT_URL"], timeout=5).close()  # noqa: S310  # ours
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True


def _without_keys() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
