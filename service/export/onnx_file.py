"""A classifier as an ONNX file."""

import importlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from service.config.errors import ConfigurationError
from service.export.classifier import INPUT, OUTPUT
from service.export.comparison import Answers

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")


def check_packages() -> None:
    """Raises ConfigurationError where the packages that write and check ONNX are missing."""
    for package in _PACKAGES:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise ConfigurationError(
                f"--format: onnx needs the package {package} ({error}); install the extra: "
                "pip install 'service[export]'"
            ) from error


def write_onnx(program: ExportedProgram, file: Path, described: dict[str, Any]) -> int:
    """Writes a traced classifier, for any number of pictures, with its description.

    Each entry of the description is a metadata property; what is no text is JSON.

    Returns:
        The version of the operator set.
    """
    import onnx

    translated = torch.onnx.export(
        program,
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_shapes={INPUT: {0: "batch"}},
        dynamo=True,
        verbose=False,
    )
    if translated is None:
        raise RuntimeError("torch.onnx.export returned no program")
    model = translated.model_proto
    texts = {
        key: one if isinstance(one, str) else json.dumps(one) for key, one in described.items()
    }
    onnx.helper.set_model_props(model, texts)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)
    return next(int(one.version) for one in model.opset_import if one.domain in ("", "ai.onnx"))


def open_onnx(file: Path) -> Answers:
    """Returns what ONNX Runtime answers, on the CPU."""
    from onnxruntime import InferenceSession

    session = InferenceSession(file, providers=["CPUExecutionProvider"])

    def answers(pictures: Tensor) -> Tensor:
        (logits,) = session.run([OUTPUT], {INPUT: pictures.numpy()})
        return torch.from_numpy(logits)

    return answers
