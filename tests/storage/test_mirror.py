"""Two machines with a copy each of what lies in a store: what one writes, the other sees."""

import time
from pathlib import Path
from uuid import uuid4

import pytest
from storing import BUCKET, Store

from service.storage.mirror import Mirror
from service.storage.working_copy import (
    address_of,
    bring,
    bring_each,
    place_of,
    publish,
    told,
    withdraw,
    working_copy,
)

THEIRS = ("*.jsonl", "stop")


@pytest.fixture
def machines(tmp_path: Path) -> tuple[Path, Path]:
    """Two machines' folders of one run."""
    address = f"memory://{uuid4().hex}/runs"
    one, other = (working_copy(address, tmp_path / name) / "run" for name in ("one", "other"))
    one.mkdir()
    other.mkdir()
    return one, other


def test_a_path_in_a_copy_stands_for_an_address_and_any_other_for_itself(
    machines: tuple[Path, Path], tmp_path: Path
) -> None:
    address = address_of(machines[0] / "step_00000008")
    assert address == address_of(machines[1] / "step_00000008")
    assert str(address).endswith("/runs/run/step_00000008")
    assert told(tmp_path / "run") == str(tmp_path / "run")
    assert place_of(tmp_path / "run") is None
    for harmless in (publish, bring):
        harmless(tmp_path / "run")


def test_files_come_to_the_other_machine_grow_there_and_go(machines: tuple[Path, Path]) -> None:
    one, other = machines
    writing = Mirror(one, ("artifacts/**/*", "metrics.jsonl", "stop", "large_*"))
    reading = Mirror(other, (), THEIRS)
    (one / "artifacts" / "a").mkdir(parents=True)
    (one / "artifacts" / "a" / "picture.png").write_bytes(b"1")
    (one / "metrics.jsonl").write_text("1\n")
    (one / "stop").touch()
    (one / "unmentioned").touch()
    writing.push()
    reading.bring()
    assert (other / "metrics.jsonl").read_text() == "1\n"
    assert {path.name for path in other.iterdir() if path.name[0] != "."} == {
        "metrics.jsonl",
        "stop",
    }
    (one / "artifacts" / "a" / "picture.png").write_bytes(b"22")
    with (one / "metrics.jsonl").open("a") as journal:
        journal.write("2\n")
    (one / "stop").unlink()
    writing.push()
    reading.bring()
    assert (other / "metrics.jsonl").read_text() == "1\n2\n"
    assert not (other / "stop").exists()
    picture = other / "artifacts" / "a" / "picture.png"
    bring(picture)
    assert picture.read_bytes() == b"22"
    withdraw(picture)
    bring(one / "artifacts" / "a" / "picture.png")
    assert not (one / "artifacts" / "a" / "picture.png").exists()


def test_the_newest_file_of_a_name_is_the_newest_in_the_store(machines: tuple[Path, Path]) -> None:
    one, other = (folder.parent for folder in machines)
    for name in ("first", "second"):
        (one / name).mkdir()
        (one / name / "config.yaml").write_text(name)
        publish(one / name / "config.yaml")
        time.sleep(0.01)
    (other / "gone").mkdir()
    (other / "gone" / "config.yaml").write_text("deleted in the store")
    bring_each(other, "config.yaml")
    found = sorted(other.glob("*/config.yaml"), key=lambda path: path.stat().st_mtime)
    assert [path.read_text() for path in found] == ["first", "second"]


def test_whoever_lost_the_folder_brings_nothing_more(machines: tuple[Path, Path]) -> None:
    one, other = machines

    def lost() -> None:
        raise RuntimeError("another driver has it")

    (one / "metrics.jsonl").write_text("1\n")
    with Mirror(one, ("metrics.jsonl",), check=lost) as mirror:
        pass
    with pytest.raises(RuntimeError, match="another driver"):
        mirror.check()
    Mirror(other, (), THEIRS).bring()
    assert not (other / "metrics.jsonl").exists()


@pytest.mark.slow  # each request is tried again for ten seconds
def test_a_store_that_goes_away_and_comes_back_is_told_of_twice_and_has_everything(
    store: Store, tmp_path: Path
) -> None:
    folder = working_copy(f"s3://{BUCKET}/away", tmp_path) / "run"
    folder.mkdir()
    (folder / "metrics.jsonl").write_text("before\n")
    lines: list[str] = []

    def wait_for(said: int) -> None:
        until = time.monotonic() + 60
        while len(lines) < said:
            assert time.monotonic() < until
            time.sleep(0.02)

    with Mirror(folder, ("metrics.jsonl",), tell=lines.append, every=0.05):
        store.stop()
        with (folder / "metrics.jsonl").open("a") as journal:
            journal.write("meanwhile\n")
        wait_for(said=1)
        store.start()
        wait_for(said=2)
    assert "\n" not in lines[0]
    assert "is kept in" in lines[0]
    assert "answers again" in lines[1]
    assert len(lines) == 2
    assert list(store.objects("away/run").values()) == [len("before\nmeanwhile\n")]
