"""A classifier as `torch.export` writes it: a graph of ATen operators with its weights, `.pt2`.

The file holds no objects of ours, and `torch.export.load` needs nothing but torch.
"""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram

from service.export.classifier import INPUT, PictureClassifier
from service.export.comparison import Answers

DESCRIPTION = "description.json"
"""Name of the description among the extra files in the archive."""


def export_program(classifier: PictureClassifier, side: int) -> ExportedProgram:
    """Traces a classifier for any number of pictures.

    Args:
        classifier: In evaluation mode.
        side: Pixels of a view, S.
    """
    # Of two pictures: a size of 1 would be taken for a constant.
    example = torch.zeros(2, 3, side, side, dtype=torch.uint8)
    with torch.no_grad():
        program = torch.export.export(
            classifier, (example,), dynamic_shapes={INPUT: {0: Dim("batch")}}
        )
    for node in program.graph.nodes:
        # Paths of this machine.
        node.meta.pop("stack_trace", None)
    # They would be pickled.
    program.example_inputs = None
    return program


def write_program(program: ExportedProgram, file: Path, described: dict[str, Any]) -> None:
    """Writes the archive with the description."""
    torch.export.save(program, file, extra_files={DESCRIPTION: json.dumps(described, indent=2)})


def open_program(file: Path) -> Answers:
    """Returns what an archive answers."""
    module = torch.export.load(file).module()

    def answers(pictures: Tensor) -> Tensor:
        with torch.no_grad():
            logits: Tensor = module(pictures)
        return logits

    return answers
