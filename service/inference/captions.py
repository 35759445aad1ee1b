"""Pictures with what a classifier says of them."""

import io
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.transforms.v2 import functional as T

from service.detection.drawings import LONGEST
from service.detection.outlined import label_font

SHOWN = 3
"""Classes that are written below a picture."""

_LETTER = 14  # pixels
_LINE = 20
_MARGIN = 6
_WIDEST_BAR = 120


def captioned(picture: Tensor, best: Sequence[tuple[str, float]]) -> bytes:
    """Writes the likeliest classes and their probabilities below a picture.

    Args:
        picture: uint8 (3, H, W), RGB.
        best: Name and probability, the likeliest first.

    Returns:
        A PNG file.
    """
    height, width = picture.shape[1:]
    factor = LONGEST / max(height, width)
    size = [max(1, round(factor * side)) for side in (height, width)]
    shown = T.to_pil_image(T.resize(picture, size, antialias=True))
    lines = best[:SHOWN]
    # No narrower than a name needs.
    sheet = Image.new(
        "RGB",
        (max(shown.width, LONGEST // 2), shown.height + _LINE * len(lines) + 2 * _MARGIN),
        "white",
    )
    sheet.paste(shown, (0, 0))
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.truetype(str(label_font()), _LETTER)
    for row, (name, probability) in enumerate(lines):
        top = shown.height + _MARGIN + row * _LINE
        end = _MARGIN + round(_WIDEST_BAR * probability)
        pen.rectangle((_MARGIN, top + 2, max(end, _MARGIN + 1), top + _LINE - 4), fill="steelblue")
        text = f"{100 * probability:.0f} %  {' '.join(name.split())}"
        pen.text((2 * _MARGIN + _WIDEST_BAR, top), text, fill="black", font=font)
    stream = io.BytesIO()
    sheet.save(stream, format="PNG")
    return stream.getvalue()
