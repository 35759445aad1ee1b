"""The files of an export, each written and then compared with the network that it is of."""

import hashlib
from collections.abc import Callable, Collection
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from service.config.coco import COCOConfig
from service.config.errors import RunError
from service.export.classifier import Original, logits, picture_classifier
from service.export.comparison import Answers, compare
from service.export.onnx_file import open_onnx, write_onnx
from service.export.program import export_program, open_program, write_program
from service.export.weights import check_weights, write_weights
from service.inference.networks import Detector
from service.inference.output import Results
from service.inference.trained import Trained
from service.training.checkpoint_files import CONFIG, METADATA, METRICS, MODEL
from service.training.manifest import MANIFEST

Format = Literal["safetensors", "pt2", "onnx"]
"""What a network is exported to."""
FORMATS: tuple[Format, ...] = get_args(Format)
"""All of them."""

RECORD = "export.json"
PROGRAM = "model.pt2"
ONNX = "model.onnx"
EXPORT = Results(
    "an export", (RECORD,), (MODEL, CONFIG, METADATA, METRICS, MANIFEST, PROGRAM, ONNX)
)
"""What an export leaves in its folder."""


def classifier_files(
    original: Original, folder: Path, formats: Collection[Format], say: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """Writes the files of a classifier.

    Args:
        original: The classifier.
        folder: Where.
        formats: Which files.
        say: Shows a line to people: what is at work, and what was found.

    Returns:
        Facts about each file, by its name; JSON.

    Raises:
        RunError: A file does not answer as the network does.
    """

    def checked(name: str, answers: Answers) -> dict[str, Any]:
        found = compare(name, original.logits, answers, original.pictures.views)
        say(f"{name}: {found}")
        return {**_facts(folder / name), "compared": asdict(found)}

    made: dict[str, dict[str, Any]] = {}
    if "safetensors" in formats:
        write_weights(folder, original.trained)
        again = picture_classifier(check_weights(folder, original.trained))
        made[MODEL] = checked(MODEL, partial(logits, again))
    if {"pt2", "onnx"}.isdisjoint(formats):
        return made
    say("tracing the network …")
    program = export_program(original.network, original.pictures.views.shape[2])
    if "pt2" in formats:
        write_program(program, folder / PROGRAM, original.described)
        made[PROGRAM] = checked(PROGRAM, open_program(folder / PROGRAM))
    if "onnx" in formats:
        say("translating it to ONNX …")
        opset = write_onnx(program, folder / ONNX, original.described)
        made[ONNX] = {"opset": opset, **checked(ONNX, open_onnx(folder / ONNX))}
    return made


def detector_files(
    trained: Trained, folder: Path, pictures: list[Tensor], say: Callable[[str], None]
) -> dict[str, dict[str, Any]]:
    """Writes the weights of a detector.

    Args:
        trained: The detector.
        folder: Where.
        pictures: Views on which what was written is compared, uint8 (3, h, w).
        say: Shows a line to people.

    Raises:
        RunError: What was written finds other objects.
    """
    write_weights(folder, trained)
    cpu = torch.device("cpu")
    found, again = (
        [Detector(one, cpu).detect([picture])[0] for picture in pictures]
        for one in (trained, check_weights(folder, trained))
    )
    if not all(
        torch.equal(one[name], other[name])
        for one, other in zip(found, again, strict=True)
        for name in one
    ):
        raise RunError(f"{MODEL}: finds other objects than the network; nothing is written")
    objects = sum(len(one["scores"]) for one in found)
    say(f"{MODEL}: {len(pictures)} pictures: the same {objects} objects to the last bit")
    compared = {"pictures": len(pictures), "objects": objects, "largest_difference": 0.0}
    return {MODEL: {**_facts(folder / MODEL), "compared": compared}}


def is_detector(trained: Trained) -> bool:
    """Returns whether a network finds objects."""
    return isinstance(trained.config, COCOConfig)


def _facts(file: Path) -> dict[str, Any]:
    with file.open("rb") as stream:
        return {
            "bytes": file.stat().st_size,
            "sha256": hashlib.file_digest(stream, "sha256").hexdigest(),
        }
