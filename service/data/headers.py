"""The size that a picture's header declares, read without decoding the picture."""

import io
import struct
import warnings
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from service.config.showing import one_line

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_JPEG_SIGNATURE = b"\xff\xd8\xff"
# Start-of-frame markers: C0 to CF without DHT (C4), JPG (C8) and DAC (CC). ITU-T T.81, table B.1.
_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
# Markers without a length: TEM and the restart markers.
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})
_START_OF_SCAN = 0xDA
# Pillow would look for fifty formats, each a program of its own that reads foreign bytes.
_BY_PILLOW = ("GIF", "WEBP", "AVIF")


def declared_size(encoded: bytes) -> tuple[int, int, int]:
    """Returns width and height in pixels, before any EXIF rotation, and the number of frames.

    JPEG and PNG headers are read here: that takes a few microseconds, where Pillow takes twenty
    and warns about EXIF blocks that nobody needs. Pillow reads the headers of all other formats.

    Raises:
        ValueError: There is nothing, the format is unknown, or the header is damaged.
    """
    if not encoded:
        raise ValueError("the file is empty")
    if encoded.startswith(_JPEG_SIGNATURE):
        frame = jpeg_frame(encoded)
        return frame.width, frame.height, 1
    if encoded.startswith(_PNG_SIGNATURE):
        return *_png_size(encoded), 1
    return _size_by_pillow(encoded)


class JpegFrame(NamedTuple):
    """What a JPEG file's start-of-frame segment declares (ITU-T T.81, B.2.2)."""

    position: int
    """Where it begins in the file."""
    process: int
    """Its marker's second byte: C0 and C1 are sequential, C2 is progressive."""
    precision: int
    """Bits of a sample."""
    height: int
    """Rows, before any EXIF rotation."""
    width: int
    """Columns, before any EXIF rotation."""
    components: int
    """Colour components."""


def jpeg_frame(encoded: bytes) -> JpegFrame:
    """Reads the first start-of-frame segment; skips stray bytes as libjpeg does.

    Raises:
        ValueError: There is none.
    """
    position = 2
    while (position := encoded.find(b"\xff", position)) >= 0 and position + 10 <= len(encoded):
        marker = encoded[position + 1]
        if marker in _START_OF_FRAME:
            return JpegFrame(position, marker, *struct.unpack_from(">BHHB", encoded, position + 4))
        if marker == _START_OF_SCAN:
            break
        if marker in (0x00, 0xFF):
            position += 1
        elif marker in _STANDALONE:
            position += 2
        else:
            position += 2 + struct.unpack_from(">H", encoded, position + 2)[0]
    raise ValueError("a JPEG file without a frame header")


def _png_size(encoded: bytes) -> tuple[int, int]:
    """Reads the IHDR chunk, which the format puts first."""
    if encoded[12:16] != b"IHDR" or len(encoded) < 24:
        raise ValueError("a PNG file without an IHDR chunk")
    width, height = struct.unpack_from(">II", encoded, 16)
    return width, height


def _size_by_pillow(encoded: bytes) -> tuple[int, int, int]:
    """Reads the header of GIF, WebP and AVIF, with the number of frames."""
    try:
        # Pillow warns above its own limit on pixels; the caller has a lower one and raises.
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(encoded), formats=_BY_PILLOW) as picture,
        ):
            return *picture.size, getattr(picture, "n_frames", 1)
    except UnidentifiedImageError as error:
        raise ValueError("not a picture of a known format") from error
    except Exception as error:
        # Bytes that are no header can fail in any way: IndexError, RuntimeError, SyntaxError, ...
        raise ValueError(f"the header cannot be read ({one_line(error)})") from error
