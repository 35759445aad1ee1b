"""Files that grow, in a store whose objects cannot: no byte twice, none lost, and one truth."""

from pathlib import Path
from random import Random
from uuid import uuid4

import pytest

from service.storage import growing
from service.storage.growing import Growing, bring_lines, stored_parts
from service.storage.object_store import ObjectStore


@pytest.fixture
def store() -> ObjectStore:
    return ObjectStore(f"memory://{uuid4().hex}")


def stored(store: ObjectStore) -> bytes:
    return b"".join(store.read(name) for name in store.list("journal"))


def append(path: Path, text: bytes) -> None:
    with path.open("ab") as file:
        file.write(text)


def test_a_file_that_grows_is_kept_in_few_objects(
    store: ObjectStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growing, "LARGEST", 1000)
    path, random, pushing = (
        tmp_path / "journal",
        Random(0),  # noqa: S311  # the same each time
        Growing(store, "journal", tmp_path / "journal"),
    )
    for _ in range(300):
        append(path, random.randbytes(random.randrange(40)).replace(b"\n", b"") + b"\n")
        pushing.push()
        if random.random() < 0.1:  # another process of the same machine goes on
            pushing = Growing(store, "journal", path)
    assert stored(store) == path.read_bytes()
    assert len(store.list()) <= path.stat().st_size / 1000 + 1
    copy = tmp_path / "copy"
    bring_lines(store, "journal", copy)
    assert copy.read_bytes() == path.read_bytes()


def test_a_line_that_is_being_written_waits(store: ObjectStore, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    pushing = Growing(store, "journal", path)
    pushing.push()  # there is no file yet
    append(path, b"one\ntw")
    pushing.push()
    assert stored(store) == b"one\n"
    append(path, b"o\n")
    pushing.push(end=5)
    assert stored(store) == b"one\n"
    pushing.push()
    assert stored(store) == b"one\ntwo\n"


def test_what_only_this_machine_has_stays_and_what_another_wrote_instead_wins(
    store: ObjectStore, tmp_path: Path
) -> None:
    path = tmp_path / "journal"
    append(path, b"one\ntwo\n")
    Growing(store, "journal", path).push()
    append(path, b"three, never brought to the store\nhal")
    bring_lines(store, "journal", path)
    assert path.read_bytes() == b"one\ntwo\nthree, never brought to the store\nhal"
    # Another machine knew of two lines alone, and went on.
    other = tmp_path / "other"
    bring_lines(store, "journal", other)
    append(other, b"3\n4\n")
    Growing(store, "journal", other).push()
    bring_lines(store, "journal", path)
    assert path.read_bytes() == b"one\ntwo\n3\n4\n"


def test_what_does_not_follow_from_the_first_byte_does_not_count(
    store: ObjectStore, tmp_path: Path
) -> None:
    store.write("journal/000000000000000", b"one\n")
    store.write("journal/000000000000002", b"inside\n")
    store.write("journal/000000000000004", b"two\n")
    store.write("journal/000000000000099", b"beyond\n")
    store.write("journal/note", b"no part\n")
    assert stored_parts(store, "journal") == [(0, 4), (4, 4)]
    bring_lines(store, "journal", tmp_path / "journal")
    assert (tmp_path / "journal").read_bytes() == b"one\ntwo\n"
