"""The images of the cluster's registry: every name is there, but those that a test says are not."""

from __future__ import annotations

import re
from typing import NamedTuple

_FORM = re.compile(r"[a-z0-9]+([._:/-]+[A-Za-z0-9_]+)*(@sha256:[0-9a-f]{64})?")


class Image(NamedTuple):
    """What is known of an image.

    Attributes:
        missing: whether the registry does not have it.
        seconds: that it takes to fetch.
        command: that a container runs which states none.
        environment: that its containers have.
        user: number of the user that it runs as; 0 = root.
    """

    missing: bool = False
    seconds: float = 0
    command: tuple[str, ...] = ()
    environment: dict[str, str] = {}
    user: int = 0


class Images:
    """All images."""

    def __init__(self) -> None:
        self._known: dict[str, Image] = {}

    def declare(self, name: str, image: Image) -> None:
        """Say how an image is, from now on."""
        self._known[name] = image

    def find(self, name: str) -> Image:
        """Return what is known of an image."""
        return self._known.get(name, Image())


def is_valid(name: str) -> bool:
    """Say whether a name can be one of an image."""
    return _FORM.fullmatch(name) is not None


def pull_error(name: str) -> str:
    """Return what a kubelet says of an image that is not there."""
    full = name if ":" in name.rpartition("/")[2] else f"{name}:latest"
    first = full.partition("/")[0]
    if "." not in first and ":" not in first:
        full = f"registry.example/{full}" if "/" in full else f"registry.example/library/{full}"
    return (
        f'failed to pull and unpack image "{full}": failed to resolve reference "{full}": '
        f"{full}: not found"
    )
