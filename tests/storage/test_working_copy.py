"""Copies of object stores on a machine."""

from pathlib import Path

from service.storage.working_copy import address_of, working_copy


def test_addresses_that_read_alike_have_folders_of_their_own(tmp_path: Path) -> None:
    addresses = ["memory://a/b-c", "memory://a-b/c", "memory://a/b/c", "memory://a-b-c"]
    folders = [working_copy(address, tmp_path) / "run" for address in addresses]
    assert [address_of(folder) for folder in folders] == [f"{one}/run" for one in addresses]
