"""Pictures with their objects and with what was found in them, side by side, as PNG."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.transforms.v2 import functional as T

from service.detection.evaluation.detections import PictureDetections
from service.detection.outlined import (
    Outlined,
    detections_in,
    draw_outlined,
    label_font,
    objects_in,
)

LONGEST = 640
"""Longer side of a drawn picture, pixels: small ones are enlarged, so that names can be read."""
SCORE = 0.5
"""Least score of a detection that is drawn."""
MOST = 50
"""Most detections that are drawn; more would hide the picture."""

_GAP = 6
_HEADING = 24
_LETTER = 13  # pixels


def side_by_side(
    picture: Tensor,
    annotations: Sequence[Mapping[str, Any]],
    found: PictureDetections,
    names: Mapping[int, str],
    *,
    score: float = SCORE,
) -> bytes:
    """Draws ground truth left and detections right.

    Args:
        picture: uint8 (3, H, W), RGB, as stored.
        annotations: The picture's, as COCO has them, crowds too; segmentations may be missing.
        found: The detections in it.
        names: Category names by id.
        score: Least score of a detection that is drawn.

    Returns:
        A PNG file.
    """
    objects = objects_in(annotations, names)
    detections = detections_in(found, names, score, MOST)
    left, right = _drawn(picture, objects), _drawn(picture, detections)
    headings = (
        f"ground truth: {_count(len(objects), 'object')}",
        f"found: {_count(len(detections), 'object')} of score ≥ {score:g}",
    )
    return _png(_joined(left, right, headings))


def annotated(
    picture: Tensor, found: PictureDetections, names: Mapping[int, str], *, score: float = SCORE
) -> bytes:
    """Draws detections into a picture.

    Args:
        picture: uint8 (3, H, W), RGB, as stored.
        found: The detections in it.
        names: Category names by id.
        score: Least score of a detection that is drawn.

    Returns:
        A PNG file.
    """
    return _png(T.to_pil_image(_drawn(picture, detections_in(found, names, score, MOST))))


def _drawn(picture: Tensor, outlined: Outlined) -> Tensor:
    """Returns the picture with `LONGEST` pixels on its longer side and all that is drawn in it."""
    height, width = picture.shape[1:]
    factor = LONGEST / max(height, width)
    size = [max(1, round(factor * side)) for side in (height, width)]
    resized = T.resize(picture, size, antialias=True)
    return draw_outlined(resized, outlined, (height, width))


def _joined(left: Tensor, right: Tensor, headings: tuple[str, str]) -> Image.Image:
    """Returns two pictures of one size beside each other, each under its heading."""
    height, width = left.shape[1:]
    sheet = Image.new("RGB", (2 * width + _GAP, height + _HEADING), "white")
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.truetype(str(label_font()), _LETTER)
    for place, (half, heading) in enumerate(zip((left, right), headings, strict=True)):
        x = place * (width + _GAP)
        sheet.paste(T.to_pil_image(half), (x, _HEADING))
        pen.text((x + 4, 5), heading, fill="black", font=font)
    return sheet


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, format="PNG")
    return stream.getvalue()
