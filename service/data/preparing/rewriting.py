"""One picture made smaller."""

import io

from PIL import Image

from service.data.decoding import decode
from service.data.excerpts import interpolate


def rewritten(encoded: bytes, short_side: int, quality: int) -> bytes:
    """Returns a JPEG whose shorter side is `short_side`; what is no larger comes back as it is.

    A picture that is rewritten stands upright in its pixels and has no EXIF block, no colour
    profile and no transparency.

    Args:
        encoded: The picture's file.
        short_side: Pixels.
        quality: Of the JPEG, as libjpeg counts it; colour has half the resolution.

    Raises:
        DamagedPictureError: The picture cannot be decoded.
    """
    picture = decode(encoded)
    height, width = picture.shape[1:]
    if min(height, width) <= short_side:
        return encoded
    scale = short_side / min(height, width)
    size = (round(height * scale), round(width * scale))
    smaller = Image.fromarray(interpolate(picture, "bicubic", size=size).permute(1, 2, 0).numpy())
    buffer = io.BytesIO()
    smaller.save(buffer, "JPEG", quality=quality, subsampling="4:2:0", optimize=True)
    return buffer.getvalue()
