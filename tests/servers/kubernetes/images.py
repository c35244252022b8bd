"""Names of images, and what a kubelet says of one that its registry does not have."""

from __future__ import annotations

import re

_FORM = re.compile(r"[a-z0-9]+([._:/-]+[A-Za-z0-9_]+)*(@sha256:[0-9a-f]{64})?")


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
