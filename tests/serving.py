"""Real servers that tests talk to: of files, of MLflow, and a faulty proxy before it."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar, NamedTuple

from service.tracking.address import reachable


class Handler(SimpleHTTPRequestHandler):
    meanwhile: ClassVar[Callable[[], object] | None] = None
    """What happens while a file is on its way."""

    def do_GET(self) -> None:
        if Handler.meanwhile is not None:
            Handler.meanwhile()
        super().do_GET()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def running(server: ThreadingHTTPServer) -> Iterator[None]:
    """Lets a server answer in a thread."""
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serves a folder; the address ends with a slash."""
    handler = partial(Handler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as serving, running(serving):
        yield f"http://127.0.0.1:{serving.server_port}/"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class MlflowServer:
    """`mlflow server` on a database file; killed and started again, it knows what it knew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.database = folder / "server.db"
        self.uri = f"http://127.0.0.1:{self._port}"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the first of its processes."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        environment = {
            **os.environ,
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", str(self._port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{self.database}"]
        command += ["--artifacts-destination", str(self._folder / "files")]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True
            )
        give_up = time.monotonic() + 90
        while reachable(self.uri) is not None:
            assert self._process.poll() is None, (self._folder / "server.log").read_text()
            assert time.monotonic() < give_up, (self._folder / "server.log").read_text()
            time.sleep(0.1)

    def kill(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Relay(BaseHTTPRequestHandler):
    """One connection to the proxy."""

    protocol_version = "HTTP/1.1"
    server: "FaultyProxy"

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        self.body = self.rfile.read(length)
        self.server.asked.append(f"{self.command} {self.path}")
        self.server.fault(self)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET  # noqa: N815  # the standard library's names

    def forward(self) -> Answer:
        """Returns what the server behind answers."""
        connection = HTTPConnection(self.server.upstream, timeout=60)
        passed_on = {
            k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")
        }
        connection.request(self.command, self.path, self.body, passed_on)
        with connection.getresponse() as answer:
            kept = {"Content-Type": answer.headers.get("Content-Type", "text/plain")}
            found = Answer(answer.status, kept, answer.read())
        connection.close()
        return found

    def answer(self, answer: Answer, sent: int | None = None) -> None:
        """Sends an answer, or its first bytes, after which the connection is cut."""
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body[:sent])
        self.server.answered += 1
        self.close_connection = sent is not None

    def log_message(self, *_: object) -> None:
        pass


Fault = Callable[[Relay], None]


class FaultyProxy(ThreadingHTTPServer):
    """Passes requests on to a server, each as `fault` says, which may change at any time."""

    daemon_threads = True
    block_on_close = False

    def __init__(self, behind: str) -> None:
        super().__init__(("127.0.0.1", 0), Relay)
        self.upstream = behind.removeprefix("http://")
        self.uri = f"http://127.0.0.1:{self.server_port}"
        self.fault: Fault = passed
        self.asked: list[str] = []
        """Every request, such as `POST /api/2.0/mlflow/runs/log-batch`."""
        self.answered = 0
        """Answers that were sent."""
        self.holding = threading.Event()
        """Set once a request waits for an answer that does not come."""
        self.released = threading.Event()
        """Setting it cuts the connections that wait."""

    def handle_error(self, *_: object) -> None:
        """Says nothing of clients that went away."""


def passed(relay: Relay) -> None:
    relay.answer(relay.forward())


def silent(relay: Relay) -> None:
    """Takes the request and never answers."""
    relay.close_connection = True
    relay.server.holding.set()
    relay.server.released.wait(120)


def lost(relay: Relay) -> None:
    """Has the request carried out and cuts the connection instead of answering."""
    relay.close_connection = True
    relay.forward()


def cut(relay: Relay) -> None:
    """Has the request carried out and cuts the connection in the middle of the answer."""
    answer = relay.forward()
    relay.answer(answer, len(answer.body) // 2)


def refusing(status: int, **headers: str) -> Fault:
    """Answers with an error without asking the server behind."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda relay: relay.answer(Answer(status, named, b"broken on purpose"))


def slow(seconds: float) -> Fault:
    """Answers late."""

    def late(relay: Relay) -> None:
        answer = relay.forward()
        time.sleep(seconds)
        relay.answer(answer)

    return late


def only(part: str, fault: Fault, otherwise: Fault = passed) -> Fault:
    """Has a fault in requests whose path holds a part."""
    return lambda relay: (fault if part in relay.path else otherwise)(relay)


def but_health(fault: Fault) -> Fault:
    """Has a fault in everything but the question whether the server is well."""
    return only("/health", passed, otherwise=fault)


@contextmanager
def faulty_proxy(behind: str) -> Iterator[FaultyProxy]:
    """Runs a proxy before a server."""
    with FaultyProxy(behind) as proxy, running(proxy):
        try:
            yield proxy
        finally:
            proxy.released.set()
