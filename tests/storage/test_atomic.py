"""Files and folders appear whole or not at all."""

from pathlib import Path

import pytest

from service.storage.atomic import new_file, whole_file, whole_folder


def test_a_folder_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "a" / "set"
    with whole_folder(target) as partial:
        (partial / "file").write_text("content")
        assert not target.exists()
    assert (target / "file").read_text() == "content"
    assert list(target.parent.iterdir()) == [target]


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def fill_folder() -> None:
        with whole_folder(tmp_path / "set") as partial:
            (partial / "file").write_text("content")
            raise RuntimeError("stop")

    def write_file() -> None:
        with whole_file(tmp_path / "file") as partial:
            partial.write_text("content")
            raise RuntimeError("stop")

    for write in (fill_folder, write_file):
        with pytest.raises(RuntimeError, match="stop"):
            write()
    assert list(tmp_path.iterdir()) == []


def test_the_first_of_two_writers_wins(tmp_path: Path) -> None:
    target = tmp_path / "set"
    with whole_folder(target) as slow:
        (slow / "file").write_text("slow")
        with whole_folder(target) as fast:
            (fast / "file").write_text("fast")
    assert (target / "file").read_text() == "fast"
    assert list(tmp_path.iterdir()) == [target]


def test_a_target_that_is_a_file_is_an_error(tmp_path: Path) -> None:
    target = tmp_path / "set"
    target.write_text("a file")
    with pytest.raises(NotADirectoryError), whole_folder(target):
        pass
    assert target.read_text() == "a file"


def test_an_older_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    with whole_file(target) as partial:
        partial.write_text("new")
        assert target.read_text() == "old"
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("links", [True, False])
def test_a_new_file_takes_nobodys_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no links here")

    if not links:
        monkeypatch.setattr("os.link", refuse)
    target = tmp_path / "file"
    with new_file(target) as slow:
        slow.write_text("slow")
        with new_file(target) as fast:
            fast.write_text("fast")
            assert not target.exists()
    assert target.read_text() == "fast"
    assert list(tmp_path.iterdir()) == [target]
