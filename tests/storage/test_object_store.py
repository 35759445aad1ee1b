"""Objects in a store over HTTP: what is written is read, and each refusal is one clear line."""

import time
from pathlib import Path

import pytest
from serving import free_port
from storing import BUCKET, Store

from service.config.errors import ConfigurationError
from service.config.training import StorageConfig
from service.storage.folders import check_storage
from service.storage.object_store import NoSuchObjectError, ObjectStore

ADDRESS = f"s3://{BUCKET}/objects"


def refusal(path: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        check_storage(StorageConfig(path=path))
    assert "\n" not in str(caught.value)
    assert ".probe" not in str(caught.value)
    return str(caught.value)


def test_what_is_written_is_read_listed_and_deleted(store: Store, tmp_path: Path) -> None:
    objects = ObjectStore(ADDRESS)
    (tmp_path / "file").write_bytes(b"0123456789")
    objects.write("a/one", b"one")
    objects.upload(tmp_path / "file", "a/b/two")
    assert objects.create("a/three", b"3")
    assert not objects.create("a/three", b"another's")
    assert objects.read("a/three") == b"3"
    assert objects.read_ranges([("a/b/two", 2, 5), ("a/one", 0, 3)]) == [b"234", b"one"]
    assert {name: one.size for name, one in objects.list("a").items()} == {
        "a/b/two": 10,
        "a/one": 3,
        "a/three": 1,
    }
    assert {name: one is None for name, one in objects.entries("a").items()} == {
        "b": True,
        "one": False,
        "three": False,
    }
    assert abs(objects.list("a")["a/one"].modified - time.time()) < 60
    objects.download("a/b/two", tmp_path / "new" / "copy")
    assert (tmp_path / "new" / "copy").read_bytes() == b"0123456789"
    objects.delete([*objects.list("a"), "never there"])
    assert objects.list() == objects.entries() == {}
    with pytest.raises(NoSuchObjectError):
        objects.read("a/one")


def test_a_store_that_cannot_be_used_is_refused_in_one_line(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_storage(StorageConfig(path=ADDRESS))
    assert not store.objects("objects/.probe")
    said = refusal("s3://nobody-made-it/runs")
    assert said.startswith("storage.path: s3://nobody-made-it/runs: The specified bucket does not")
    assert refusal("xyz://bucket/runs").endswith("cannot be used: Protocol not known: xyz")
    assert "names no bucket" in refusal("s3:///runs")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    assert "Could not connect" in refusal(f"s3://{BUCKET}/elsewhere")


def test_keys_that_the_store_does_not_know_are_refused_at_once(store: Store) -> None:
    store.ask_for_keys(after=0)
    try:
        began = time.monotonic()
        said = refusal(f"s3://{BUCKET}/with-wrong-keys")
        # Neither is tried again: nothing would change.
        assert time.monotonic() - began < 10
    finally:
        store.ask_for_keys(after=10**9)
    assert "AWS_ACCESS_KEY_ID" in said
    assert "testing-secret" not in said
