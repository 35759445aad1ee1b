"""Decoding rectangles of JPEG files, where nvImageCodec is installed."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from service.config.data import PicturesConfig
from service.data.augmentation import EvaluationView, TrainingView
from service.data.decoding import DamagedPictureError, decode, decode_excerpt
from service.data.folder import list_folder
from service.data.rectangles import decode_rectangle, decodes_rectangles, sound_frame

pytestmark = pytest.mark.skipif(not decodes_rectangles(), reason="nvImageCodec is not installed")

Encoder = Callable[..., bytes]


def noisy(mode: str = "RGB", **options: object) -> bytes:
    pixels = np.random.default_rng(0).integers(0, 256, (91, 123, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_rectangle_is_that_of_the_whole_picture_to_the_bit(
    options: dict[str, object], subsampling: str, mode: str
) -> None:
    encoded = noisy(mode, subsampling=subsampling, **options)
    whole = decode(encoded)
    assert sound_frame(encoded) is not None
    draw = np.random.default_rng(1)
    for _ in range(30):
        height, width = int(draw.integers(1, 92)), int(draw.integers(1, 124))
        top, left = int(draw.integers(92 - height)), int(draw.integers(124 - width))
        part = decode_rectangle(encoded, top, left, height, width)
        assert part is not None
        assert torch.equal(part, whole[:, top : top + height, left : left + width])


def test_views_are_the_same_with_and_without_it(drawn: Path) -> None:
    pictures = list_folder(drawn / "train")
    for view in (TrainingView(PicturesConfig()), EvaluationView(PicturesConfig())):
        for index in range(10):
            encoded = pictures.read(index)
            torch.manual_seed(index)
            made = decode_excerpt(encoded, view.plan)
            torch.manual_seed(index)
            assert torch.equal(made, view(decode(encoded)))


@pytest.mark.parametrize("byte_order", [b"II", b"MM"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_what_does_not_stand_upright_is_decoded_whole(
    encode: Encoder, orientation: int, byte_order: bytes
) -> None:
    exif = Image.Exif()
    exif.endian = "<" if byte_order == b"II" else ">"
    exif[0x0112] = orientation
    block = exif.tobytes()
    assert byte_order in block[:8]
    encoded = encode(exif=block)
    assert (sound_frame(encoded) is not None) == (orientation == 1)
    view = EvaluationView(PicturesConfig())
    assert torch.equal(decode_excerpt(encoded, view.plan), view(decode(encoded)))


def test_what_it_does_not_know_is_decoded_whole(encode: Encoder) -> None:
    view = EvaluationView(PicturesConfig())
    for encoded in (encode(mode="CMYK"), encode(kind="PNG"), encode(kind="WEBP")):
        assert sound_frame(encoded) is None
        assert torch.equal(decode_excerpt(encoded, view.plan), view(decode(encoded)))


@pytest.mark.parametrize("kept", [0.0, 0.05, 0.5, 0.95])
def test_a_file_that_was_cut_short_is_damaged_whatever_is_shown_of_it(
    encode: Encoder, capfd: pytest.CaptureFixture[str], kept: float
) -> None:
    encoded = encode(width=300, height=200)
    cut = encoded[: int(kept * len(encoded))]
    for seed in range(5):
        torch.manual_seed(seed)
        with pytest.raises(DamagedPictureError):
            decode_excerpt(cut, TrainingView(PicturesConfig()).plan)
    assert capfd.readouterr().err == ""


def test_a_bomb_is_refused_here_too(encode: Encoder) -> None:
    encoded = bytearray(encode())
    frame = encoded.index(b"\xff\xc0")
    encoded[frame + 5 : frame + 9] = b"\xea\x60\xea\x60"
    with pytest.raises(DamagedPictureError, match="60000 × 60000 pixels"):
        decode_excerpt(bytes(encoded), TrainingView(PicturesConfig()).plan)
