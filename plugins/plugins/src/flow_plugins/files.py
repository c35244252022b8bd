"""The distribution behind a plugin: what its metadata says, and which files it consists of."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit


class Distribution(NamedTuple):
    """What is known of a distribution from its metadata.

    Attributes:
        summary: one line on what it is for.
        readme: its long description, ``""`` when it has none.
        editable: folder of the source that is used in place of installed files, or ``""``.
        folder: the folder to which ``files`` are relative.
        files: Python modules and what lies beside them; not the metadata.
    """

    summary: str = ""
    readme: str = ""
    editable: str = ""
    folder: str = ""
    files: tuple[str, ...] = ()


def read_distribution(location: str, modules: Iterable[str] = ()) -> Distribution:
    """Read a distribution's metadata. Nothing of it is imported.

    Args:
        location: its folder of metadata, as in `EntryPoint.location`.
        modules: the top-level modules that its entry points name.
    """
    if not os.path.isdir(location):  # in an archive on the path
        return Distribution()
    found = importlib.metadata.PathDistribution(Path(location))
    headers = found.metadata
    text = headers.get_payload() or headers.get("Description") or ""  # type: ignore[attr-defined]
    summary = headers.get("Summary") or ""  # type: ignore[attr-defined]
    editable = _editable(found)
    folder = os.path.dirname(location)
    files = list(_recorded(found))
    if editable or not files:
        folder, files = _sources(modules)
    return Distribution(summary, str(text).strip(), editable, folder, tuple(sorted(files)))


def _editable(found: importlib.metadata.Distribution) -> str:
    try:
        origin = json.loads(found.read_text("direct_url.json") or "{}")
    except ValueError:
        return ""
    if not origin.get("dir_info", {}).get("editable"):
        return ""
    return unquote(urlsplit(origin.get("url", "")).path)


def _recorded(found: importlib.metadata.Distribution) -> Iterator[str]:
    for file in found.files or ():
        metadata = file.parts[0].endswith((".dist-info", ".egg-info"))
        if not metadata and file.parts[0] != ".." and not _made(str(file)):
            yield str(file)


def _sources(modules: Iterable[str]) -> tuple[str, list[str]]:
    """Return the folder in which modules lie, and their files."""
    folder, files = "", []
    for module in sorted(set(modules)):
        spec = importlib.util.find_spec(module)
        if spec is None:
            continue
        for package in spec.submodule_search_locations or ():
            folder = folder or os.path.dirname(package)
            files += [os.path.relpath(path, folder) for path in _walk(package)]
        if spec.submodule_search_locations is None and spec.origin:
            folder = folder or os.path.dirname(spec.origin)
            files.append(os.path.relpath(spec.origin, folder))
    return folder, files


def _walk(folder: str) -> Iterator[str]:
    for place, _, names in os.walk(folder):
        yield from (p for p in (os.path.join(place, name) for name in names) if not _made(p))


def _made(path: str) -> bool:
    """Whether a file is made by Python, and belongs to nobody."""
    return "__pycache__" in path or path.endswith((".pyc", ".pth"))
