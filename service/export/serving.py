"""A classifier as an MLflow model, compared with evaluation before anybody can ask for it."""

import io
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from service.config.errors import RunError
from service.export.classifier import Original
from service.export.files import ONNX
from service.export.weights import FILES
from service.tracking.served_model import served_answers, write_served_model
from service.training.manifest import MANIFEST

TOLERANCE = 0.1
"""Largest difference of a probability: Pillow resizes with other roundings than torch, and a
picture between two classes shows it most. Measured with a ResNet-50: 0.01; a wrong view makes 0.5.
"""


@dataclass(frozen=True)
class Served:
    """What the comparison of a served model with evaluation found."""

    pictures: int
    """How many were compared, as files."""
    tolerance: float
    """Largest difference that is allowed."""
    largest_difference: float
    """Between two probabilities."""
    same_classes: int
    """Pictures of the same likeliest class."""

    def __str__(self) -> str:
        return (
            f"{self.pictures} pictures as files: probabilities differ from evaluation's by at most "
            f"{self.largest_difference:.1e} (tolerance {self.tolerance:g}), {self.same_classes} "
            "likeliest classes are the same"
        )


def served_model(original: Original, folder: Path, model: Path) -> Served:
    """Writes the model and compares its answers, from files, with those of evaluation.

    Args:
        original: The classifier.
        folder: The export, with weights and ONNX.
        model: Where the model shall be; it must not be there.

    Raises:
        RunError: It answers otherwise.
    """
    with tempfile.TemporaryDirectory() as scratch:
        checkpoint = Path(scratch) / "checkpoint"
        checkpoint.mkdir()
        for name in (*FILES, MANIFEST):
            shutil.copyfile(folder / name, checkpoint / name)
        example = _jpeg(original.pictures.views[0])
        write_served_model(model, folder / ONNX, checkpoint, example, original.described)
    names = original.described["classes"]
    answers = served_answers(model, original.pictures.encoded, len(names))
    answered = torch.tensor([[one[name] for name in names] for one in answers])
    return _compared(answered, torch.softmax(original.logits, 1))


def _compared(answered: Tensor, expected: Tensor) -> Served:
    difference = float((answered - expected).abs().max())
    same = int((answered.argmax(1) == expected.argmax(1)).sum())
    found = Served(len(expected), TOLERANCE, difference, same)
    # Written so that a NaN is a failure.
    if not difference <= TOLERANCE:
        raise RunError(f"--register: the served model is not what was evaluated. {found}")
    return found


def _jpeg(view: Tensor) -> bytes:
    """Encodes a view, uint8 (3, S, S): an example of a few kilobytes."""
    stream = io.BytesIO()
    Image.fromarray(view.permute(1, 2, 0).numpy()).save(stream, "JPEG", quality=90)
    return stream.getvalue()
