"""One living driver for each run, where machines share no folder but an object store."""

import threading
import time
from json import dumps, loads
from pathlib import Path
from uuid import uuid4

import pytest

from service.cluster import driver_lock
from service.cluster.driver_lock import TakenOverError, living_driver, only_driver, was_left
from service.config.errors import ConfigurationError
from service.storage.object_store import ObjectStore
from service.storage.working_copy import working_copy


@pytest.fixture
def address() -> str:
    return f"memory://{uuid4().hex}/runs"


@pytest.fixture
def store(address: str) -> ObjectStore:
    return ObjectStore(f"{address}/run")


@pytest.fixture
def folder(address: str, tmp_path: Path) -> Path:
    return working_copy(address, tmp_path) / "run"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds are tenths."""
    monkeypatch.setattr(driver_lock, "_BEAT_SECONDS", 0.1)
    monkeypatch.setattr(driver_lock, "_GONE_SECONDS", 1.0)
    monkeypatch.setattr(driver_lock, "_LOOK_SECONDS", 0.05)


def elsewhere(store: ObjectStore) -> None:
    """Makes the run's driver one of another machine."""
    content = loads(store.read("driver.json"))
    changed = content | {"host": "node-7", "place": "node-7 other", "token": "another's"}
    store.write("driver.json", dumps(changed).encode())


def test_a_second_driver_of_this_machine_is_refused_by_name(
    folder: Path, store: ObjectStore
) -> None:
    with only_driver(folder, "run", "raysubmit_1") as claim:
        claim.check()
        assert str(living_driver(folder)).endswith("Ray job raysubmit_1")
        refusal = pytest.raises(ConfigurationError, match=r"^[^\n]*is driven by process[^\n]*$")
        with refusal, only_driver(folder, "run"):
            pass
        time.sleep(0.3)
        assert any(name.startswith("driver.beat-") for name in store.list())
    assert not store.list()
    assert not was_left(folder)


def test_a_driver_elsewhere_that_shows_life_is_not_taken_over(
    folder: Path, store: ObjectStore
) -> None:
    with only_driver(folder, "run"):
        elsewhere(store)
        over = threading.Event()

        def beat() -> None:
            while not over.wait(0.1):
                store.write("driver.beat-another's", b"")

        beating = threading.Thread(target=beat)
        beating.start()
        try:
            with pytest.raises(ConfigurationError, match="on node-7"), only_driver(folder, "run"):
                pass
        finally:
            over.set()
            beating.join()


def test_a_driver_elsewhere_without_a_sign_of_life_is_followed_and_writes_nothing_more(
    folder: Path, store: ObjectStore
) -> None:
    with only_driver(folder, "run") as lost:
        elsewhere(store)
        began = time.monotonic()
        with only_driver(folder, "run") as claim:
            assert time.monotonic() - began > 0.5
            claim.check()
            with pytest.raises(TakenOverError, match="now driven by"):
                lost.check()
        with pytest.raises(TakenOverError, match="by another process meanwhile"):
            lost.check()


def test_of_two_that_begin_at_the_same_time_one_drives(folder: Path) -> None:
    begin, have, refused = threading.Barrier(2), threading.Barrier(2), []

    def drive() -> None:
        begin.wait()
        try:
            with only_driver(folder, "run"):
                have.wait(10)
        except ConfigurationError as error:
            refused.append(str(error))
            have.wait(10)

    threads = [threading.Thread(target=drive) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 1
