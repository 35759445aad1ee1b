"""A classifier behind `mlflow models serve`: encoded pictures in, names and probabilities out.

MLflow stores this file as it is and runs it where the model is served. It needs MLflow, NumPy,
Pillow and ONNX Runtime, and nothing of the project: what it must know of the network stands in the
metadata of the ONNX file.

A picture is treated as evaluation treats it. Pillow decodes to the same pixels and resizes with
other roundings: of a thousand values 930 are the same and 999 differ by at most one grey level.
"""

import base64
import io
import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "AVIF")
_MOST_PIXELS = 64 * 1024 * 1024
_MOST_ELONGATED = 100
_AT_ONCE = 32  # pictures of a forward pass


class Classifier(PythonModel):
    """Names what pictures show."""

    def load_context(self, context: PythonModelContext) -> None:
        """Opens the network."""
        self._network = onnxruntime.InferenceSession(
            context.artifacts["onnx"], providers=["CPUExecutionProvider"]
        )
        described = self._network.get_modelmeta().custom_metadata_map
        self._classes: list[str] = json.loads(described["classes"])
        self._steps: dict[str, Any] = json.loads(described["preprocessing"])

    def predict(
        self,
        context: PythonModelContext,
        model_input: pd.DataFrame,
        params: Mapping[str, Any] | None = None,
    ) -> list[dict[str, list[dict[str, Any]]]]:
        """Returns for each picture its likeliest classes, the likeliest first.

        Args:
            context: Where the files of the model are.
            model_input: Column `picture`: encoded pictures; in JSON, base64. What JSON calls
                `inputs` comes as a dictionary of arrays, which does as well.
            params: `top`: how many classes of each picture.

        Raises:
            MlflowException: A picture cannot be used; names its row.
        """
        top = int((params or {}).get("top", 5))
        encoded = list(model_input["picture"])
        starts = range(0, len(encoded), _AT_ONCE)
        return [
            {"classes": self._named(row, top)}
            for start in starts
            for row in self._probabilities(encoded[start : start + _AT_ONCE], start)
        ]

    def _probabilities(self, encoded: list[bytes], first: int) -> NDArray[np.float32]:
        views = []
        for row, picture in enumerate(encoded, start=first):
            try:
                views.append(view(decoded(_bytes(picture)), self._steps))
            except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
                unknown = isinstance(error, UnidentifiedImageError)
                reason = f"it is none of {', '.join(_FORMATS)}" if unknown else error
                raise MlflowException.invalid_parameter_value(
                    f"picture {row} cannot be used: {reason}"
                ) from error
        (logits,) = self._network.run(["logits"], {"pictures": np.stack(views)})
        exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: NDArray[np.float32] = exponentials / exponentials.sum(axis=1, keepdims=True)
        return probabilities

    def _named(self, probabilities: NDArray[np.float32], top: int) -> list[dict[str, Any]]:
        best = np.argsort(-probabilities, kind="stable")[: max(top, 1)]
        return [
            {"class": self._classes[label], "probability": float(probabilities[label])}
            for label in best
        ]


def _bytes(picture: bytes | str) -> bytes:
    """Returns an encoded picture; MLflow leaves base64 as it is in `inputs`."""
    try:
        return base64.b64decode(picture, validate=True)
    except ValueError:
        # No format of pictures is made of letters alone.
        return picture if isinstance(picture, bytes) else b""


def decoded(encoded: bytes) -> Image.Image:
    """Decodes a picture, upright, to RGB.

    Raises:
        OSError: It is no picture, or damaged.
        ValueError: Its header declares a size that would exhaust memory.
    """
    with Image.open(io.BytesIO(encoded), formats=_FORMATS) as picture:
        shorter, longer = sorted(picture.size)
        if shorter * longer > _MOST_PIXELS or longer > _MOST_ELONGATED * shorter:
            raise ValueError(f"its header declares {picture.width} × {picture.height} pixels")
        upright = ImageOps.exif_transpose(picture)
        if upright.mode.startswith("I"):  # 16-bit grey, which Pillow would cut instead of scale
            upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
        return upright.convert("RGB")


def view(picture: Image.Image, steps: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Resizes the shorter side with antialiasing and takes the centre; returns (3, size, size)."""
    resize, size = int(steps["resize"]), int(steps["size"])
    shorter = min(picture.size)
    width, height = (math.floor(resize * side / shorter) for side in picture.size)
    resampling = Image.Resampling[str(steps["interpolation"]).upper()]
    left, top = round((width - size) / 2), round((height - size) / 2)
    resized = picture.resize((width, height), resampling)
    centre = resized.crop((left, top, left + size, top + size))
    return np.ascontiguousarray(np.asarray(centre).transpose(2, 0, 1))


set_model(Classifier())
