"""An object store over HTTP for tests."""

import contextlib
import select
import socket
import socketserver
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "reader",
    "AWS_SECRET_ACCESS_KEY": "between-tests",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_MAX_ATTEMPTS": "1",  # by the driver itself
}
_UNSIGNED = "AWS4-HMAC-SHA256 Credential=writer/20260101/us-east-1/s3/aws4_request"


class Server:
    """moto's S3, in a process of its own, and a gateway to it that can go away."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as chosen:
            self._port = chosen.getsockname()[1]
        command = ["-m", "moto.server", "--host", "127.0.0.1", "--port", str(self._port)]
        self._process = subprocess.Popen(
            [sys.executable, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not self._answers():
            assert self._process.poll() is None
            time.sleep(0.05)
        self._gateway = _Gateway(0, self._port)
        self.url = f"http://127.0.0.1:{self._gateway.port}"

    def _answers(self) -> bool:
        with contextlib.suppress(urllib.error.URLError):
            urllib.request.urlopen(f"http://127.0.0.1:{self._port}/moto-api/data.json").close()
            return True
        return False

    def close(self) -> None:
        self._gateway.close()
        self._process.kill()
        self._process.wait()

    def go_away(self) -> None:
        """Refuses connections, and breaks those there are."""
        self._gateway.close()

    def come_back(self) -> None:
        self._gateway = _Gateway(self._gateway.port, self._port)

    def put(self, folder: Path, bucket: str) -> str:
        """Copies a folder into a new bucket; returns its address."""
        self._send("PUT", bucket)
        address = f"s3://{bucket}/set"
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            self.write(address, path.relative_to(folder).as_posix(), path.read_bytes())
        return address

    def write(self, address: str, name: str, content: bytes) -> None:
        self._send("PUT", f"{address.removeprefix('s3://')}/{name}", content)

    def delete(self, address: str, name: str) -> None:
        self._send("DELETE", f"{address.removeprefix('s3://')}/{name}")

    def _send(self, method: str, path: str, content: bytes | None = None) -> None:
        """Asks without a driver: moto looks at no signature."""
        address = f"http://127.0.0.1:{self._port}/{path}"
        headers = {"Content-Type": "application/octet-stream", "Authorization": _UNSIGNED}
        request = urllib.request.Request(address, content or b"", headers, method=method)
        urllib.request.urlopen(request, timeout=60).close()  # noqa: S310


class _Gateway(socketserver.ThreadingTCPServer):
    """Passes connections on to another port."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int, target: int) -> None:
        self.target = target
        self.connections: set[socket.socket] = set()
        super().__init__(("127.0.0.1", port), _Passing)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in list(self.connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


class _Passing(socketserver.BaseRequestHandler):
    server: _Gateway

    def handle(self) -> None:
        here = self.request
        self.server.connections.add(here)
        target = ("127.0.0.1", self.server.target)
        with contextlib.suppress(OSError), socket.create_connection(target) as there:
            other = {here: there, there: here}
            while True:
                for ready in select.select([here, there], [], [])[0]:
                    content = ready.recv(1 << 16)
                    if not content:
                        return
                    other[ready].sendall(content)
        self.server.connections.discard(here)
