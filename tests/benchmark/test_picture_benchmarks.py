"""The picture measurements at a small size: they run, and their results agree."""

import argparse
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch

from service.benchmark import loader, pictures, scan
from service.benchmark.records import Record
from service.config.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _generator_kept() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        yield


def records(module: ModuleType, *arguments: str) -> list[Record]:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return list(module.measure(parser.parse_args(arguments)))


def test_views_are_pillows_within_a_grey_level() -> None:
    made = records(pictures, "--pictures", "6", "--rounds", "2")
    assert [len(one.ours) for one in made] == [2, 2, 2]
    for record in made:
        mean = float(record.agreement.split(" grey levels")[0])
        assert 0 <= mean < 0.5


def test_a_folder_without_pictures_is_named(tmp_path: object) -> None:
    with pytest.raises(ConfigurationError, match="--root: no JPEG files"):
        records(pictures, "--root", str(tmp_path))


def test_a_kept_listing_is_imagefolders() -> None:
    (record,) = records(scan, "--files", "60", "--classes", "4", "--rounds", "1")
    assert record.agreement == "60 of 60 files and labels the same"


@pytest.mark.slow
def test_loaders_are_measured_with_their_memory() -> None:
    made = records(
        loader, "--pictures", "64", "--batch-size", "4", "--processes", "1", "--rounds", "1"
    )
    assert {record.unit for record in made} == {"s", "MiB"}
    assert all(min(record.ours) > 0 for record in made)
