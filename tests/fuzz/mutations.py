"""Small damage to real files, drawn by a generator: bytes, headers, JSON."""

import copy
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Generator = np.random.Generator

_INTEGERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_HEADER = 96  # bytes
_PNG = b"\x89PNG\r\n\x1a\n"


def mutant(generator: Generator, files: Sequence[bytes]) -> bytes:
    """Returns one of the files after one to four changes; PNG checksums may be made right again."""
    data = bytearray(files[generator.integers(len(files))])
    for _ in range(generator.integers(1, 5)):
        change = _CHANGES[generator.integers(len(_CHANGES))]
        data = change(generator, data) if data else bytearray(b"\0")
    if generator.random() < 0.1:
        other = files[generator.integers(len(files))]
        data = data[: _place(generator, data)] + other[_place(generator, other) :]
    # Otherwise every other change of a PNG file would end at a checksum.
    return _with_checksums(data) if generator.random() < 0.7 else bytes(data)


def _place(generator: Generator, data: bytes | bytearray) -> int:
    """Returns a place; half of the time in the header, where the decisions are."""
    reach = min(len(data), _HEADER) if generator.random() < 0.5 else len(data)
    return int(generator.integers(max(reach, 1)))


def _flip_bits(generator: Generator, data: bytearray) -> bytearray:
    for _ in range(generator.integers(1, 17)):
        data[_place(generator, data)] ^= 1 << int(generator.integers(8))
    return data


def _set_bytes(generator: Generator, data: bytearray) -> bytearray:
    start, length = _place(generator, data), int(generator.integers(1, 9))
    value = (0, 0xFF, int(generator.integers(256)))[generator.integers(3)]
    data[start : start + length] = bytes([value] * length)
    return data


def _set_integer(generator: Generator, data: bytearray) -> bytearray:
    """Overwrites two or four bytes, of either order, with an extreme."""
    value = _INTEGERS[generator.integers(len(_INTEGERS))]
    order, width = "<>"[generator.integers(2)], "HI"[generator.integers(2)]
    start = _place(generator, data)
    packed = struct.pack(order + width, value & (0xFFFF if width == "H" else 0xFFFFFFFF))
    data[start : start + len(packed)] = packed
    return data


def _set_jpeg_field(generator: Generator, data: bytearray) -> bytearray:
    """Changes a byte of a segment's head: its marker, length, or first fields."""
    markers = [place for place in range(len(data) - 1) if data[place] == 0xFF and data[place + 1]]
    if not markers:
        return _set_integer(generator, data)
    start = markers[generator.integers(len(markers))] + int(generator.integers(1, 12))
    data[start : start + 1] = bytes([int(generator.integers(256))])
    return data


def _truncate(generator: Generator, data: bytearray) -> bytearray:
    return data[: _place(generator, data)]


def _remove(generator: Generator, data: bytearray) -> bytearray:
    start = _place(generator, data)
    del data[start : start + int(generator.integers(1, 65))]
    return data


def _double(generator: Generator, data: bytearray) -> bytearray:
    start, length = _place(generator, data), int(generator.integers(1, 2049))
    part = data[start : start + length] * int(generator.integers(1, 9))
    place = _place(generator, data)
    return data[:place] + part + data[place:]


def _insert(generator: Generator, data: bytearray) -> bytearray:
    place = _place(generator, data)
    return data[:place] + generator.bytes(int(generator.integers(1, 33))) + data[place:]


_CHANGES: tuple[Callable[[Generator, bytearray], bytearray], ...] = (
    _flip_bits,
    _flip_bits,
    _set_bytes,
    _set_integer,
    _set_integer,
    _set_jpeg_field,
    _truncate,
    _remove,
    _double,
    _insert,
)


def _with_checksums(data: bytearray) -> bytes:
    """Returns a PNG file whose chunks have the checksums of their content, other files as is."""
    if not data.startswith(_PNG):
        return bytes(data)
    place = len(_PNG)
    while place + 12 <= len(data):
        end = place + 8 + struct.unpack_from(">I", data, place)[0]
        if end + 4 > len(data):
            break
        data[end : end + 4] = struct.pack(">I", zlib.crc32(data[place + 4 : end]))
        place = end + 4
    return bytes(data)


_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, -(2**63) - 1, 10**30, 10**400, 0.5, 1e308, -1e308),
    *(
        float("nan"),
        float("inf"),
        float("-inf"),
        "",
        "a\nb",
        "\ud800",
        "\0",
        "../x",
        "/",
        "x" * 5000,
    ),
    *([], {}, [[]], [None], {"size": [10**9, 10**9], "counts": [10**18]}, "PPP`0oooo"),
    *([[0, 0, 1e9, 1e9] * 500], [1, 2, 3, 4], [[0, 0, 9, 9, 0, 9]], [1e308, 1e308, 1e308, 1e308]),
    {"size": [10**9, 10**9], "counts": "0" * 999},
)


def changed_json(generator: Generator, document: Any) -> Any:  # noqa: ANN401  # any JSON
    """Returns JSON of which one or two values were nudged, replaced, removed, doubled or moved."""
    document = copy.deepcopy(document)
    for _ in range(generator.integers(1, 3)):
        container, key = _somewhere(generator, document)
        if key is None:
            break
        match generator.integers(8):
            case 0 | 1 | 2 | 3 if isinstance(container[key], int | float):
                container[key] = container[key] * 2 - int(generator.integers(-3, 4))
            case 0 | 1 | 2 | 3 | 4:
                container[key] = copy.deepcopy(_VALUES[generator.integers(len(_VALUES))])
            case 5:
                del container[key]
            case 6 if isinstance(container, list):
                container.append(copy.deepcopy(container[key]))
            case _:
                other, place = _somewhere(generator, document)
                container[key] = copy.deepcopy(other[place]) if place is not None else None
    return document


def _somewhere(generator: Generator, document: Any) -> tuple[Any, Any]:  # noqa: ANN401  # any JSON
    """Walks down from the top and stops at some level; returns a container and a key in it."""
    container, key = document, None
    inner = document
    while isinstance(inner, dict | list) and inner:
        container = inner
        keys = list(container) if isinstance(container, dict) else range(len(container))
        key = keys[generator.integers(len(keys))]
        inner = container[key]
        if generator.random() < 0.1:
            break
    return container, key
