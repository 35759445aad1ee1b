"""Decoding: real files of every kind, whole, damaged and hostile."""

import io
import resource
import struct
import zlib
from collections.abc import Callable

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.data.decoding import MAX_PIXELS, DamagedPictureError, decode
from service.data.headers import declared_size

Encoder = Callable[..., bytes]


def by_pillow(encoded: bytes) -> torch.Tensor:
    with Image.open(io.BytesIO(encoded)) as picture:
        return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)


def difference(first: torch.Tensor, second: torch.Tensor) -> int:
    return int((first.int() - second.int()).abs().max())


@pytest.mark.parametrize(
    ("kind", "mode", "bound"),
    [
        ("JPEG", "RGB", 2),
        ("JPEG", "L", 0),
        ("JPEG", "CMYK", 4),
        ("PNG", "RGB", 0),
        ("PNG", "L", 0),
        ("PNG", "P", 0),
        ("PNG", "1", 0),
        ("PNG", "RGBA", 0),
        ("WEBP", "RGB", 2),
        ("GIF", "P", 0),
    ],
)
def test_every_kind_of_picture_becomes_rgb(
    encode: Encoder, kind: str, mode: str, bound: int
) -> None:
    """Within `bound` grey levels of Pillow."""
    encoded = encode(kind=kind, mode=mode)
    picture = decode(encoded)
    assert picture.shape == (3, 60, 80)
    assert picture.dtype == torch.uint8
    assert difference(picture, by_pillow(encoded)) <= bound


def test_progressive_jpeg_is_decoded(encode: Encoder) -> None:
    encoded = encode(progressive=True)
    assert difference(decode(encoded), by_pillow(encoded)) <= 2


def test_sixteen_bit_grey_keeps_its_upper_byte() -> None:
    levels = np.arange(256, dtype=np.uint16).reshape(16, 16)
    buffer = io.BytesIO()
    Image.fromarray(levels * 257).save(buffer, "PNG")
    expected = torch.from_numpy(levels.astype(np.uint8)).expand(3, 16, 16)
    assert torch.equal(decode(buffer.getvalue()), expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_stands_upright_whatever_its_exif_orientation(
    encode: Encoder, kind: str, orientation: int
) -> None:
    """Orientation 6, for one: the stored picture is turned a quarter clockwise for display."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = decode(encode(kind=kind))
    turned = {
        1: stored,
        2: stored.flip(2),
        3: stored.flip(1, 2),
        4: stored.flip(1),
        5: stored.mT,
        6: torch.rot90(stored, -1, (1, 2)),
        7: stored.mT.flip(1, 2),
        8: torch.rot90(stored, 1, (1, 2)),
    }
    assert torch.equal(decode(encode(kind=kind, exif=exif)), turned[orientation])


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_transparency_hides_no_colour(encode: Encoder, kind: str) -> None:
    """As in Pillow's conversion to RGB."""
    opaque = by_pillow(encode(kind="PNG"))
    alpha = torch.arange(80, dtype=torch.uint8).expand(60, 80)[..., None] * 3
    pixels = torch.cat([opaque.permute(1, 2, 0), alpha], dim=2).numpy()
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, lossless=True, exact=True)
    assert torch.equal(decode(buffer.getvalue()), opaque)


def test_a_palette_with_transparency_keeps_its_colours(encode: Encoder) -> None:
    encoded = encode(kind="PNG", mode="P", transparency=bytes(range(256)))
    assert torch.equal(decode(encoded), by_pillow(encode(kind="PNG", mode="P")))


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_an_animation_gives_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (20, 10), colour) for colour in ("red", "lime", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], lossless=True)
    expected = torch.tensor([255, 0, 0], dtype=torch.uint8)[:, None, None].expand(3, 10, 20)
    assert torch.equal(decode(buffer.getvalue()), expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
@pytest.mark.parametrize("kept", [0.0, 0.05, 0.5, 0.95])
def test_a_truncated_picture_is_damaged(encode: Encoder, kind: str, kept: float) -> None:
    encoded = encode(kind=kind, mode="RGB")
    with pytest.raises(DamagedPictureError) as caught:
        decode(encoded[: int(kept * len(encoded))])
    assert "\n" not in str(caught.value)
    assert ".cpp" not in str(caught.value)


def test_what_is_no_picture_is_damaged() -> None:
    with pytest.raises(DamagedPictureError, match="not a picture of a known format"):
        decode(b"<html>404</html>")


def with_declared_size(encoded: bytes, width: int, height: int) -> bytes:
    """Returns the JPEG or PNG with another size in its header."""
    if encoded.startswith(b"\x89PNG"):
        return encoded[:16] + struct.pack(">II", width, height) + encoded[24:]
    frame = encoded.index(b"\xff\xc0")
    return encoded[: frame + 5] + struct.pack(">HH", height, width) + encoded[frame + 9 :]


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_decompression_bomb_is_refused_before_decoding(encode: Encoder, kind: str) -> None:
    bomb = with_declared_size(encode(kind=kind), 60_000, 60_000)
    with pytest.raises(DamagedPictureError, match=rf"60000 × 60000 pixels, more than {MAX_PIXELS}"):
        decode(bomb)


def test_a_real_bomb_is_refused_before_memory_is_taken() -> None:
    """A PNG of 30,000 × 30,000 black pixels: half a megabyte, and 2.7 GB once decoded."""
    side, row = 30_000, bytes(1 + 30_000 // 8)
    packing = zlib.compressobj(1)
    packed = b"".join(packing.compress(row) for _ in range(side)) + packing.flush()
    chunks = (b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)), (b"IDAT", packed)
    bomb = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in (*chunks, (b"IEND", b""))
    )
    assert len(bomb) < 600_000
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + 2**28, limits[1]))
    try:
        with pytest.raises(
            DamagedPictureError, match=f"30000 × 30000 pixels, more than {MAX_PIXELS}"
        ):
            decode(bomb)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limits)


def test_a_bomb_of_many_frames_is_refused() -> None:
    frames = [Image.new("P", (3000, 3000), colour) for colour in range(8)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    assert len(buffer.getvalue()) < 200_000
    with pytest.raises(DamagedPictureError, match="× 8 frames"):
        decode(buffer.getvalue())


def test_a_bomb_that_resizing_would_set_off_is_refused(encode: Encoder) -> None:
    """60,000 × 1 pixels resized to a shorter side of 256 would take 12 GB."""
    with pytest.raises(DamagedPictureError, match="may differ by a factor of 100"):
        decode(encode(60_000, 1, kind="PNG"))


def test_a_large_picture_is_no_bomb() -> None:
    buffer = io.BytesIO()
    Image.new("L", (6000, 4000)).save(buffer, "JPEG")
    assert decode(buffer.getvalue()).shape == (3, 4000, 6000)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "AVIF"])
def test_the_declared_size_is_read_from_the_header(encode: Encoder, kind: str) -> None:
    assert declared_size(encode(83, 61, kind=kind)) == (83, 61, 1)


def test_stray_bytes_between_segments_are_skipped_as_libjpeg_does(encode: Encoder) -> None:
    encoded = encode()
    table = encoded.index(b"\xff\xdb")
    stray = encoded[:table] + b"\x00\xff\xff\x00abc" + encoded[table:]
    assert declared_size(stray) == (80, 60, 1)
    assert torch.equal(decode(stray), decode(encoded))


@settings(deadline=None, database=None, max_examples=300)
@given(
    kind=st.sampled_from(["JPEG", "PNG", "GIF", "WEBP", "AVIF"]),
    changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8),
    early=st.booleans(),
)
def test_damaged_bytes_give_a_picture_or_one_clear_error(
    encode: Encoder, kind: str, changes: list[tuple[float, int]], early: bool
) -> None:
    encoded = bytearray(encode(kind=kind))
    reach = min(len(encoded), 64) if early else len(encoded)
    for place, value in changes:
        encoded[int(place * (reach - 1))] = value
    outcome: torch.Tensor | DamagedPictureError
    try:
        outcome = decode(bytes(encoded))
    except DamagedPictureError as error:
        outcome = error
    if isinstance(outcome, DamagedPictureError):
        assert str(outcome)
        assert "\n" not in str(outcome)
    else:
        assert outcome.dtype == torch.uint8
        assert outcome.shape[0] == 3
