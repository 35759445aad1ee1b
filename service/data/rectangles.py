"""Decoding no more of a JPEG than a view shows, where NVIDIA's nvImageCodec is installed.

It runs libjpeg-turbo on the processor and skips what lies outside a rectangle; torchcodec, which
decodes everything else, has no such thing. The pixels are the same to the last bit.
"""

import io
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from service.data.headers import JpegFrame, jpeg_frame

_JPEG = b"\xff\xd8\xff"
_END = b"\xff\xd9"
_SEQUENTIAL_OR_PROGRESSIVE = (0xC0, 0xC1, 0xC2)
# EXIF 2.32, sections 4.6.2 and 4.6.4, in both byte orders.
_EXIF = (b"II*\x00", b"MM\x00*")
_ORIENTATION = (b"\x12\x01", b"\x01\x12")
_UPRIGHT = (
    b"\x12\x01\x03\x00\x01\x00\x00\x00\x01\x00",
    b"\x01\x12\x00\x03\x00\x00\x00\x01\x00\x01",
)
"""The tag of the orientation, its type, one value, 1."""
_PROCESSOR_ONLY = -99999  # NVIMGCODEC_DEVICE_CPU_ONLY, which Python does not name
_SILENT = {"PYNVIMGCODEC_VERBOSITY": "0"}
_logger = logging.getLogger(__name__)


def decodes_rectangles() -> bool:
    """Returns whether the library is here."""
    return _decoder() is not None


def sound_frame(encoded: bytes) -> JpegFrame | None:
    """Returns the frame of a JPEG of which a rectangle can be decoded, or nothing.

    It is of the usual kinds, stands upright as it is stored, and is not cut short. Where that is
    in doubt the whole picture is decoded. Damage outside the rectangle is not noticed.

    Raises:
        ValueError: It begins as a JPEG and has no frame.
    """
    if not encoded.startswith(_JPEG) or not encoded.endswith(_END) or _decoder() is None:
        return None
    frame = jpeg_frame(encoded)
    usual = frame.process in _SEQUENTIAL_OR_PROGRESSIVE and frame.precision == 8
    if not usual or frame.components not in (1, 3):
        return None
    return frame if _is_upright(encoded[: encoded.find(b"\xff\xda", frame.position)]) else None


def _is_upright(header: bytes) -> bool:
    """Returns whether an orientation that turns the picture is certainly not in a header.

    Two bytes that look like the tag by chance count as one that does.
    """
    if not any(mark in header for mark in _EXIF):
        return True
    return sum(map(header.count, _ORIENTATION)) == sum(map(header.count, _UPRIGHT))


def decode_rectangle(encoded: bytes, top: int, left: int, height: int, width: int) -> Tensor | None:
    """Returns a rectangle of a picture that has a `sound_frame`, uint8 (3, height, width).

    Channels are last in memory. Nothing is returned where the rectangle cannot be decoded; the
    other decoder then says why.
    """
    decoder = _decoder()
    return None if decoder is None else decoder.decode(encoded, top, left, height, width)


@dataclass(frozen=True)
class _Decoder:
    """The library and a decoder of one process."""

    codec: Any
    decoder: Any

    def decode(self, encoded: bytes, top: int, left: int, height: int, width: int) -> Tensor | None:
        """Returns a rectangle, uint8 (3, height, width), or nothing where it is damaged."""
        try:
            region = self.codec.Region(top, left, top + height, left + width)
            part = self.codec.CodeStream(encoded).get_sub_code_stream(region=region)
            image = self.decoder.decode(part)
        except RuntimeError:
            return None
        return None if image is None else torch.from_numpy(np.asarray(image)).permute(2, 0, 1)


def _decoder() -> _Decoder | None:
    """Returns this process's decoder, or nothing where there is none."""
    return _decoder_of(os.getpid())


@lru_cache(maxsize=1)
def _decoder_of(process: int) -> _Decoder | None:
    """Makes a decoder for a process: a forked one does not use its parent's."""
    try:
        with _alone_and_silent():
            from nvidia import nvimgcodec

            backends = [nvimgcodec.Backend(nvimgcodec.CPU_ONLY)]
            decoder = nvimgcodec.Decoder(
                device_id=_PROCESSOR_ONLY, max_num_cpu_threads=1, backends=backends
            )
    except ImportError:
        return None
    except (OSError, RuntimeError) as error:
        _logger.info("nvImageCodec is not used in process %d: %s", process, error)
        return None
    made = _Decoder(nvimgcodec, decoder)
    if made.decode(_sample(), 4, 4, 8, 8) is None:
        _logger.info("nvImageCodec is not used in process %d: it decodes nothing", process)
        return None
    return made


def _sample() -> bytes:
    """Returns a JPEG of 16 × 16 pixels."""
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16)).save(buffer, "JPEG")
    return buffer.getvalue()


@contextmanager
def _alone_and_silent() -> Iterator[None]:
    """Has the library load its libjpeg-turbo alone, and complain about none of the others.

    Those want CUDA's libraries, or take over, with other pixels, what libjpeg-turbo refuses.
    """
    spec = find_spec("nvidia")
    places = spec.submodule_search_locations if spec is not None else None
    with TemporaryDirectory() as folder:
        for place in places or ():
            for library in Path(place, "nvimgcodec", "extensions").glob("*jpeg_turbo_ext*"):
                Path(folder, library.name).symlink_to(library)
        if not os.listdir(folder):
            raise ImportError("there is no nvImageCodec with libjpeg-turbo")
        changed = _SILENT | {"NVIMGCODEC_EXTENSIONS_PATH": folder}
        before = {name: os.environ.get(name) for name in changed}
        os.environ.update(changed)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value
