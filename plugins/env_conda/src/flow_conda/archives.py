"""Where fetched packages lie. Nothing is imported here: the launcher uses it, too."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from typing import Any

_CHUNK = 1 << 20


def archive_path(cache: str, package: Mapping[str, Any]) -> str:
    """Return where the file of a package lies, if it was fetched."""
    return os.path.join(cache, "archives", package["sha256"], os.path.basename(package["fn"]))


def digest_of(path: str) -> str:
    """Return the SHA-256 of a file, as 64 hex digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
