"""Where packages come from, and where fetched ones lie. The launcher uses it, too: rattler is not imported."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit, urlunsplit

_CHUNK = 1 << 20
_TOKEN = re.compile(r"^/t/[^/]+(?=/)")


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


def public_url(url: str) -> str:
    """Return the URL of a channel without password and token, which belong into no lock."""
    parts = urlsplit(url)
    if not parts.scheme or not parts.netloc:
        return url
    place = parts.netloc.rpartition("@")[2]
    path = _TOKEN.sub("", parts.path)
    return urlunsplit((parts.scheme, place, path, parts.query, parts.fragment))
