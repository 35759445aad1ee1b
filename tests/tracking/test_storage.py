"""Weights are copied from a storage whole or not at all, and once."""

import http.server
import resource
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

from service.config.errors import ConfigurationError
from service.tracking.storage import copied
from service.training.checkpoint import read_checkpoint

WRITTEN = "2026-01-01T00:00:00.000Z"


class Bucket(http.server.BaseHTTPRequestHandler):
    """As much of the S3 protocol as reading needs: HEAD, GET with a range, and lists."""

    protocol_version = "HTTP/1.1"

    def __init__(self, root: Path, *arguments: object) -> None:
        self._root = root
        super().__init__(*arguments)  # type: ignore[arg-type]  # the server's own

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        if "list-type" in query:
            delimiter = query.get("delimiter", [None])[0]
            listing = self._listing(parts.path, query["prefix"][0], delimiter)
            self._send(200, listing.encode())
        else:
            self._answer(with_body=True)

    def _answer(self, *, with_body: bool) -> None:
        file = self._root / unquote(urlsplit(self.path).path).strip("/")
        if not file.is_file():
            self._send(404, b"", with_body=with_body)
            return
        content, status = file.read_bytes(), 200
        if "Range" in self.headers and with_body:
            first, last = self.headers["Range"].removeprefix("bytes=").split("-")
            content, status = content[int(first) : int(last) + 1], 206
        self._send(status, content, with_body=with_body)

    def _listing(self, bucket: str, prefix: str, delimiter: str | None) -> str:
        base = self._root / bucket.strip("/")
        files = [file for file in sorted(base.rglob("*")) if file.is_file()]
        found: dict[str, None] = {}
        for file in files:
            key = file.relative_to(base).as_posix()
            if not key.startswith(prefix):
                continue
            if delimiter and delimiter in key[len(prefix) :]:
                end = key.index(delimiter, len(prefix)) + 1
                common = f"<Prefix>{escape(key[:end])}</Prefix>"
                found[f"<CommonPrefixes>{common}</CommonPrefixes>"] = None
            else:
                facts = f"<Key>{escape(key)}</Key><Size>{file.stat().st_size}</Size>"
                found[f"<Contents>{facts}<LastModified>{WRITTEN}</LastModified></Contents>"] = None
        count = f"<KeyCount>{len(found)}</KeyCount>"
        return f"<ListBucketResult>{count}{''.join(found)}</ListBucketResult>"

    def _send(self, status: int, content: bytes, *, with_body: bool = True) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keeps the test's output clean."""


@pytest.fixture
def buckets(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder whose folders are buckets, and what an address needs to find them."""
    root = tmp_path / "buckets"
    root.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Bucket, root)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        host = f"127.0.0.1:{server.server_port}"
        yield root, f"endpoint_override={host}&scheme=http&region=us-east-1"
        server.shutdown()
        thread.join()


Save = Callable[..., Path]


def value_of(folder: Path) -> float:
    """A value of the checkpoint, all of whose files are as its manifest says."""
    return float(read_checkpoint(folder).model["conv1.weight"][0])


def test_a_checkpoint_is_copied_once_and_again_when_it_changed(
    tmp_path: Path, save_checkpoint: Save
) -> None:
    source, cache = save_checkpoint(tmp_path / "a run" / "step_00000008"), tmp_path / "cache"
    first = copied(source.as_uri(), cache)
    assert value_of(first) == 1.0
    assert first.name == source.name
    assert first.is_relative_to(cache)
    written = (first / "model.safetensors").stat().st_ino
    assert copied(source.as_uri(), cache) == first
    assert (first / "model.safetensors").stat().st_ino == written

    save_checkpoint(source, 2.0)
    second = copied(source.as_uri(), cache)
    assert (value_of(first), value_of(second)) == (1.0, 2.0)


def test_a_file_keeps_its_name(tmp_path: Path) -> None:
    source = tmp_path / "resnet50.pth"
    source.write_bytes(b"weights")
    found = copied(source.as_uri(), tmp_path / "cache")
    assert found.name == "resnet50.pth"
    assert found.read_bytes() == b"weights"


def test_a_bucket_is_read_as_a_folder_is(
    buckets: tuple[Path, str], tmp_path: Path, save_checkpoint: Save
) -> None:
    root, options = buckets
    save_checkpoint(root / "bucket" / "runs" / "a-run" / "step_00000008", 3.0)
    (root / "bucket" / "resnet50.pth").write_bytes(b"weights")
    base = "s3://someone:secret@bucket"
    found = copied(f"{base}/runs/a-run/step_00000008?{options}", tmp_path / "cache")
    assert value_of(found) == 3.0
    found = copied(f"{base}/resnet50.pth?{options}", tmp_path / "cache")
    assert found.read_bytes() == b"weights"
    with pytest.raises(ConfigurationError, match=r"nothing at this address"):
        copied(f"{base}/runs/another?{options}", tmp_path / "cache")
    with pytest.raises(ConfigurationError, match=r"holds no model\.safetensors.*step_"):
        copied(f"{base}/runs?{options}", tmp_path / "cache")


def test_what_cannot_be_copied_whole_is_not_there(tmp_path: Path, save_checkpoint: Save) -> None:
    source, cache = save_checkpoint(tmp_path / "step_00000008"), tmp_path / "cache"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The tensors alone are 2,000 bytes.
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(ConfigurationError, match="cannot be read"):
            copied(source.as_uri(), cache)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(cache.iterdir()) == []
    assert value_of(copied(source.as_uri(), cache)) == 1.0


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("file:///{folder}/nothing", "there is nothing at this address"),
        ("file:///{folder}", r"holds no model\.safetensors; give a checkpoint's folder"),
        ("s3://bucket/x?nonsense=1", r"cannot be read \(.*nonsense"),
        ("gs:///", r"cannot be read \(.*bucket"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, address: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        copied(address.format(folder=str(tmp_path).strip("/")), tmp_path / "cache")
    assert "\n" not in str(caught.value)
