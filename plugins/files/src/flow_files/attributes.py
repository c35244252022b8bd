"""Content types and metadata: beside the content where a store keeps them, else in small objects.

A store without the capability ``attributes`` has, for ``a/b.csv``, an object ``a/.attributes/b.csv``:
JSON with ``content_type`` and ``metadata``. It is written after the content and deleted before it is
replaced, so that what is half done leaves content without attributes, and never wrong ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from flow_core.api import Attributes
from flow_files.errors import FilesInvalidObject

if TYPE_CHECKING:
    from flow_core.api import ObjectInfo, Store

FOLDER = ".attributes"
_OTHERS = "flow-metadata"
_PLAIN_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*").fullmatch
_PLAIN_TEXT = re.compile(r"[!-~]([ -~]*[!-~])?").fullmatch


# --- metadata as text ---------------------------------------------------------------------------


def attributes_of(
    content_type: str | None, metadata: Mapping[str, str] | None, where: str
) -> Attributes | None:
    """Return what was given for an object; None for nothing.

    Raises:
        FilesInvalidObject: it is no text, or none that can be kept.
    """
    if content_type is not None and not isinstance(content_type, str):
        raise _no_text("The content type", content_type, where, "content_type='text/csv'")
    if content_type and not _PLAIN_TEXT(content_type):
        raise FilesInvalidObject(
            f"{content_type!r} cannot be a content type",
            where=where,
            why="it goes into a header: one line of printable ASCII characters",
            hint="content_type='text/csv'; metadata may be any text",
        )
    if metadata is not None and not isinstance(metadata, Mapping):
        raise FilesInvalidObject(
            f"Metadata are texts by name, not a {type(metadata).__name__}",
            where=where,
            hint="metadata={'name': 'text'}",
        )
    for name, value in (metadata or {}).items():
        if not isinstance(name, str) or not isinstance(value, str):
            wrong = value if isinstance(name, str) else name
            raise _no_text(f"The metadata '{name}'", wrong, where, f"metadata={{'{name}': 'text'}}")
    return Attributes(content_type, dict(metadata or {})) if content_type or metadata else None


def encode_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return metadata in the form that all services take.

    Simple names and texts stay as they are, for other programs; the rest becomes one JSON text.
    """
    plain: dict[str, str] = {}
    others: dict[str, str] = {}
    for name, value in metadata.items():
        simple = name != _OTHERS and _PLAIN_NAME(name) and _PLAIN_TEXT(value)
        (plain if simple else others)[name] = value
    return {**plain, _OTHERS: json.dumps(others)} if others else plain


def decode_metadata(stored: Mapping[str, str]) -> dict[str, str]:
    """Undo `encode_metadata`."""
    found = dict(stored)
    if _OTHERS in found:
        more = _json_object(found[_OTHERS])
        if more is not None:  # otherwise another program uses this name
            del found[_OTHERS]
            found.update(more)
    return found


def _json_object(text: str | bytes) -> dict[str, str] | None:
    try:
        data = json.loads(text)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None


def _no_text(what: str, value: object, where: str, hint: str) -> FilesInvalidObject:
    return FilesInvalidObject(
        f"{what} must be text, not {type(value).__name__}", where=where, hint=hint
    )


# --- objects beside objects ---------------------------------------------------------------------


def is_beside(key: str) -> bool:
    """Whether a key is one of the small objects with attributes."""
    return f"/{FOLDER}/" in f"/{key}"


def key_beside(key: str) -> str:
    """Return where the attributes of an object lie: ``a/b.csv`` → ``a/.attributes/b.csv``."""
    folder, slash, name = key.rpartition("/")
    return f"{folder}{slash}{FOLDER}/{name}"


def describe(store: Store, keys: Sequence[str]) -> list[ObjectInfo | None]:
    """Return what is known of each object, attributes included; None where there is none."""
    found = list(store.describe(keys))
    if store.capabilities.attributes:
        return found
    beside = _read(store, [key for key, info in zip(keys, found, strict=True) if info is not None])
    return [
        info._replace(attributes=beside[key]) if info is not None and key in beside else info
        for key, info in zip(keys, found, strict=True)
    ]


def forget(store: Store, keys: Iterable[str]) -> None:
    """Delete the attributes that lie beside objects: those are about to be replaced."""
    if not store.capabilities.attributes:
        there = [key_beside(key) for key in _with_attributes(store, keys)]
        if there:
            store.delete(there)


def keep(store: Store, given: Iterable[tuple[str, Attributes]]) -> None:
    """Write attributes beside their objects."""
    store.write(object_beside(key, attributes) for key, attributes in given)


def object_beside(key: str, attributes: Attributes) -> tuple[str, bytes]:
    """Return key and content of the small object with the attributes of an object."""
    data = {"content_type": attributes.content_type, "metadata": dict(attributes.metadata)}
    return key_beside(key), json.dumps(data).encode()


def _read(store: Store, keys: Sequence[str]) -> dict[str, Attributes]:
    there = _with_attributes(store, keys)
    contents = store.read([key_beside(key) for key in there])
    found = {}
    for key, content in zip(there, contents, strict=True):
        data = _json_object(content or b"")
        if data is not None:
            kept: Mapping[str, str] = data.get("metadata") or {}  # type: ignore[assignment]
            found[key] = Attributes(data.get("content_type"), kept)
    return found


def _with_attributes(store: Store, keys: Iterable[str]) -> list[str]:
    """Return those of ``keys`` that have attributes beside them: by one listing for each folder."""
    names: dict[str, set[str]] = {}
    found = []
    for key in dict.fromkeys(keys):
        folder, slash, name = key.rpartition("/")
        if folder not in names:
            names[folder] = {*store.folders(f"{folder}{slash}{FOLDER}/")}
        if name in names[folder]:
            found.append(key)
    return found
