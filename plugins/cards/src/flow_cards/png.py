"""Pictures as PNG, from rows of bytes."""

from __future__ import annotations

import struct
import zlib

_KINDS = {1: 0, 2: 4, 3: 2, 4: 6}  # channels → colour type: grey, grey + alpha, RGB, RGBA


def png(pixels: bytes, width: int, height: int, channels: int) -> bytes:
    """Return a picture as PNG.

    Args:
        pixels: the bytes of all rows, from above, each from the left; one byte for each channel.
        width, height: of the picture.
        channels: 1 = grey, 2 = grey and alpha, 3 = RGB, 4 = RGBA.

    Raises:
        ValueError: there are too few or too many bytes.
    """
    row = width * channels
    if not (width and height) or len(pixels) != row * height:
        raise ValueError(f"{len(pixels)} bytes are no picture of {width} x {height} x {channels}")
    lines = b"".join(b"\0" + pixels[n * row : (n + 1) * row] for n in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, _KINDS[channels], 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(lines, 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, content) for name, content in parts)


def _chunk(name: bytes, content: bytes) -> bytes:
    checksum = zlib.crc32(name + content)
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", checksum)
