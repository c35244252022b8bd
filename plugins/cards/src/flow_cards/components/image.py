"""Pictures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, ClassVar

from flow_cards.components.base import Component

_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
)
MEDIA = frozenset({*(media for _, media in _MAGIC), "image/webp", "image/svg+xml"})
"""The media types that are shown."""


@dataclass(frozen=True)
class Image(Component):
    """A picture: PNG, JPEG, GIF, WebP, BMP or SVG.

    Attributes:
        src: its bytes, or the path of a file, which is read now.
        label: a line below it.
        media: its media type, found from its bytes; ``""`` = it is no picture that browsers show.
    """

    src: Any = b""
    label: str | None = None
    media: str = ""
    live: ClassVar[tuple[str, ...]] = ("src", "label")

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        content = self.src
        if isinstance(content, (str, os.PathLike)):
            with open(content, "rb") as file:
                content = file.read()
        content = bytes(content)
        self._set(src=content, media=_media(content))

    @classmethod
    def from_matplotlib(cls, plot: Any, label: str | None = None) -> Image:
        """Return the picture of a figure of matplotlib, or of what has one (axes, artists)."""
        import io

        figure = plot if hasattr(plot, "savefig") else plot.get_figure()
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", bbox_inches="tight", dpi=144)
        return cls(buffer.getvalue(), label)

    @classmethod
    def from_pil_image(cls, image: Any, label: str | None = None) -> Image:
        """Return the picture of an image of Pillow, as PNG."""
        import io

        buffer = io.BytesIO()
        image.save(buffer, format="PNG")
        return cls(buffer.getvalue(), label)


def _media(content: bytes) -> str:
    for magic, media in _MAGIC:
        if content.startswith(magic):
            return media
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    head = content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<svg", b"<?xml")) and b"<svg" in content[:4096].lower():
        return "image/svg+xml"
    return ""
