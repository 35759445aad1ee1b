"""Decoding a picture in the orientation that its annotations are in.

Cameras may store a picture lying on its side, with an EXIF tag that says how to turn it upright.
COCO's tools never look at the tag: pycocotools, and torchvision's CocoDetection with it, take boxes
and outlines in the pixels as stored. Some labelling tools turn the picture first and export
annotations of the upright one. The width and height in the annotation file tell them apart. Where
they fit both (a square picture, half a turn, a mirror image), the pixels are as stored.
"""

import io
import warnings

import torch
from PIL import Image
from torch import Tensor

from service.data.decoding import DamagedPictureError, decode

_ORIENTATION = 0x0112
"""The tag, EXIF 2.32, section 4.6.4."""
_MARKS = (b"Exif", b"eXIf", b"EXIF")
"""What EXIF blocks begin with in JPEG, in PNG and AVIF, in WebP."""


def decode_annotated(encoded: bytes, width: int, height: int) -> Tensor:
    """Decodes a picture in the orientation of its annotations.

    Args:
        encoded: The file.
        width: Width that the annotation file gives, pixels.
        height: Height that the annotation file gives, pixels.

    Returns:
        uint8 (3, height, width).

    Raises:
        DamagedPictureError: It does not decode, or is of another size.
    """
    upright = decode(encoded)
    for picture in (_turned_back(upright, _orientation(encoded)), upright):
        if picture.shape[1:] == (height, width):
            return picture
    found_height, found_width = upright.shape[1:]
    raise DamagedPictureError(
        f"it has {found_width} × {found_height} pixels, in the annotation file {width} × {height}"
    )


def _orientation(encoded: bytes) -> int:
    """Returns the EXIF orientation, 1 to 8; 1 where there is none or it cannot be read."""
    if not any(mark in encoded for mark in _MARKS):
        return 1
    try:
        # Pillow warns about damaged EXIF blocks.
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(encoded)) as picture:
            return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:
        # A block that is none can fail in any way, and matters no more than a missing one: where
        # the decoder read it otherwise, the picture's sides tell.
        return 1


def _turned_back(upright: Tensor, orientation: int) -> Tensor:
    """Undoes what an EXIF orientation did to a picture (3, h, w); keeps channels last in memory."""
    match orientation:
        case 2:
            return upright.flip(2)
        case 3:
            return upright.flip(1, 2)
        case 4:
            return upright.flip(1)
        case 5:
            return upright.mT
        case 6:
            return torch.rot90(upright, 1, (1, 2))
        case 7:
            return upright.mT.flip(1, 2)
        case 8:
            return torch.rot90(upright, -1, (1, 2))
    return upright
