"""Which pictures an export is compared on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_pictures import write_parquet

from service.config.cifar import CIFARConfig
from service.config.errors import ConfigurationError
from service.config.imagenet import ImageNetConfig
from service.config.loading import load
from service.data.decoding import decode
from service.data.splits import open_splits
from service.export.classifier import original
from service.export.pictures import LEAST, MOST, samples
from service.inference.inputs import listed_pictures
from service.inference.trained import Trained, open_trained


def ignore(text: str) -> None:
    """Is told what nobody asks for here."""


def test_small_pictures_are_those_of_the_evaluation(tmp_path: Path, checkpoint: Path) -> None:
    for name, count in (("train", 8), ("test", 100)):
        write_parquet(tmp_path, name, count)
    options = ["data.kind=parquet", f"data.root={tmp_path}", f"storage.path={tmp_path / 'runs'}"]
    config = load(CIFARConfig, (), options)
    found = samples(replace(open_trained(str(checkpoint)), config=config), None, ignore)
    assert found.views.shape == (MOST, 3, 32, 32)
    pictures = open_splits(config.data, tmp_path).evaluation
    # The first, the last, and others between them, as views and as files.
    assert torch.equal(found.views[0], torch.from_numpy(pictures.pictures[0]))  # type: ignore[union-attr]
    assert torch.equal(found.views[-1], torch.from_numpy(pictures.pictures[99]))  # type: ignore[union-attr]
    for file, view in zip(found.encoded, found.views, strict=True):
        assert torch.equal(decode(file), view)
    assert not (tmp_path / "runs").exists()


def test_a_folder_of_classes(tmp_path: Path, checkpoint: Path) -> None:
    for split, label, number in (
        (s, c, n) for s in ("train", "val") for c in "ab" for n in range(3)
    ):
        file = tmp_path / split / label / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((40, 50, 3), 40 * number + (100 if label == "b" else 0), np.uint8)
        Image.fromarray(pixels).save(file)
    trained = _trained(checkpoint, f"data.root={tmp_path}", f"storage.path={tmp_path / 'runs'}")
    found = samples(trained, None, ignore)
    assert found.source == f"evaluation pictures, {tmp_path / 'val'}"
    # Six are repeated, so that there are batches of all sizes.
    assert len(found.views) == len(found.encoded) == LEAST
    assert found.views[:6, 0, 16, 16].tolist() == [0, 40, 80, 100, 140, 180]
    assert torch.equal(found.views[6:12], found.views[:6])


def test_drawn_ones_where_the_data_are_elsewhere(tmp_path: Path, checkpoint: Path) -> None:
    told: list[str] = []
    found = samples(_trained(checkpoint, f"data.root={tmp_path / 'gone'}"), None, told.append)
    assert (found.source, len(found.views)) == ("drawn pictures", MOST)
    (line,) = told
    assert "the run's evaluation pictures are not here" in line
    assert str(tmp_path / "gone") in line


def test_some_of_many_files(pictures: Path, checkpoint: Path, tmp_path: Path) -> None:
    for number in range(70):
        (tmp_path / f"{number:02}.jpg").symlink_to(pictures / f"{number % 15:02}.jpg")
    files = listed_pictures([tmp_path], [], tmp_path / "none")
    found = samples(open_trained(str(checkpoint)), files, ignore)
    assert found.source == f"{MOST} of 70 given pictures"
    assert found.encoded[-1] == (tmp_path / "69.jpg").read_bytes()


def test_more_names_than_outputs(checkpoint: Path, pictures: Path) -> None:
    trained = open_trained(str(checkpoint))
    files = listed_pictures([pictures / "00.jpg"], [], pictures / "none")
    few = replace(trained, metadata={**trained.metadata, "classes": list("abcdefg")})
    with pytest.raises(ConfigurationError, match="names 7 classes and has 6 outputs"):
        original(few, samples(few, files, ignore))


def _trained(checkpoint: Path, *options: str) -> Trained:
    trained = open_trained(str(checkpoint))
    evaluation = ("data.evaluation.resize=36", "data.evaluation.size=32")
    return replace(trained, config=load(ImageNetConfig, (), [*evaluation, *options]))
