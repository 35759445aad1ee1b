"""Encoded pictures to RGB tensors. Everything that decodes a picture does it here."""

import re
from collections.abc import Callable

from torch import Tensor
from torchcodec.decoders import decode_image  # type: ignore[attr-defined]  # no __all__ there

from service.config.errors import RunError
from service.data.excerpts import Excerpt
from service.data.headers import JpegFrame, declared_size
from service.data.rectangles import decode_rectangle, sound_frame

MAX_PIXELS = 64 * 1024 * 1024
"""Pixels of a picture, over all its frames, above which it is refused: 192 MiB decoded."""
MAX_ELONGATION = 100
"""Longer over shorter side above which a picture is refused: resizing by the shorter side would
make a few kilobytes of file into gigabytes."""

# torchcodec's errors start with the C++ function, file and line.
_ORIGIN = re.compile(r"^\w+, \S+:\d+, ")


class DamagedPictureError(RunError):
    """A picture that cannot be used; the message is one line that says why."""


def decode(encoded: bytes) -> Tensor:
    """Decodes a JPEG, PNG, WebP, GIF or AVIF picture, whatever its file is called.

    Grey, palette, CMYK, 16-bit and transparent pictures become RGB, of 16 bits the upper 8, and the
    colours under transparent pixels as they are stored. The eight EXIF orientations are applied, so
    that a picture stands upright as its photographer saw it; torchvision's ImageFolder ignores
    them. An animated picture gives its first frame.

    Returns:
        uint8 tensor (3, height, width), channels last in memory.

    Raises:
        DamagedPictureError: The data are truncated, damaged, of no known format, or declare a size
            that would exhaust memory.
    """
    try:
        _refuse_bombs(*declared_size(encoded))
        picture: Tensor = decode_image(encoded, mode="RGB")
    except (ValueError, RuntimeError) as error:
        reason = _ORIGIN.sub("", str(error).strip().split("\n", 1)[0]).rstrip(".")
        raise DamagedPictureError(reason) from error
    return picture if picture.ndim == 3 else picture[0]


def decode_excerpt(encoded: bytes, plan: Callable[[int, int], Excerpt]) -> Tensor:
    """Makes a view of a picture, and decodes no more than it shows where that is possible.

    Args:
        encoded: The file.
        plan: Returns what is shown of a picture of a given height and width.

    Returns:
        The view, uint8 (3, S, S).

    Raises:
        DamagedPictureError: As from `decode`; damage beside what is shown may go unnoticed.
    """
    excerpt = None
    if (frame := _sound_frame(encoded)) is not None:
        excerpt = plan(frame.height, frame.width)
        pixels = decode_rectangle(encoded, excerpt.top, excerpt.left, excerpt.height, excerpt.width)
        if pixels is not None:
            return excerpt.finish(pixels)
    picture = decode(encoded)
    # What was drawn is not drawn again.
    return (excerpt or plan(picture.shape[1], picture.shape[2])).of(picture)


def _sound_frame(encoded: bytes) -> JpegFrame | None:
    """Returns the frame of a JPEG of which a part can be decoded; raises as `decode` does."""
    try:
        frame = sound_frame(encoded)
        if frame is not None:
            _refuse_bombs(frame.width, frame.height, 1)
    except ValueError as error:
        raise DamagedPictureError(str(error)) from error
    return frame


def _refuse_bombs(width: int, height: int, frames: int) -> None:
    """Raises ValueError for sizes that cannot be decoded and resized in reasonable memory.

    All frames count, because the decoder decodes all of them before the first is taken.
    """
    shorter, longer = sorted((width, height))
    if shorter < 1:
        raise ValueError(f"the header declares {width} × {height} pixels")
    if width * height * frames > MAX_PIXELS:
        times = f" × {frames} frames" if frames > 1 else ""
        raise ValueError(
            f"the header declares {width} × {height} pixels{times}, more than {MAX_PIXELS}"
        )
    if longer > MAX_ELONGATION * shorter:
        raise ValueError(
            f"the header declares {width} × {height} pixels; "
            f"the sides may differ by a factor of {MAX_ELONGATION}"
        )
