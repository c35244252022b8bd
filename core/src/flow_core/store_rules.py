"""What every store demands of its keys and attributes, in the words that all of them use."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from flow_core.errors import StoreError

if TYPE_CHECKING:
    from flow_core.interfaces import Attributes


def check_key(key: str, reserved: Collection[str] = ()) -> None:
    """Raise `StoreError` unless ``key`` is one that a store may take.

    Args:
        key: parts with ``/`` between them; none is empty, ``.`` or ``..``.
        reserved: first parts that the store keeps for itself.

    Since 0.1.
    """
    framed = f"/{key}/"
    if "//" in framed or "/./" in framed or "/../" in framed or "\0" in framed:
        raise refused_key(
            key, "a key is made of parts with '/' between; none is empty, '.' or '..'"
        )
    if reserved and key.partition("/")[0] in reserved:
        raise refused_key(key, "the store keeps other things under this name")
    _check_encoding(key)


def check_prefix(prefix: str) -> None:
    """Raise `StoreError` unless ``prefix`` can be the beginning of a key. Since 0.1."""
    framed = f"/{prefix}"
    if "//" in framed or "/./" in framed or "/../" in framed or "\0" in framed:
        raise refused_key(prefix, "a prefix is the beginning of a key, whose parts are never empty")
    _check_encoding(prefix)


def check_range(key: str, offset: int, length: int, url: str) -> None:
    """Raise `StoreError` for a negative offset or length. Since 0.1."""
    if offset < 0 or length < 0:
        raise StoreError(
            f"Cannot read bytes {offset} to {offset + length} of '{key}'",
            where=url,
            why="offset and length are never negative",
            hint="pass an offset and a length from 0 up",
        )


def check_attributes(attributes: Attributes | None, url: str) -> None:
    """Raise `StoreError` if there are attributes: for a store that cannot keep them.

    Args:
        attributes: as of `Store.write_stream`.
        url: the store's.

    Since 0.1.
    """
    if attributes is not None and (attributes.content_type or attributes.metadata):
        raise StoreError(
            "This store keeps no content type and no metadata beside an object",
            where=url,
            why="its capabilities do not name 'attributes'",
            hint="write the object without them",
        )


def changed_meanwhile(key: str, url: str) -> StoreError:
    """Return the error for an object that is replaced, or deleted, while it is read in pieces.

    Since 0.1.
    """
    return StoreError(
        f"'{key}' changed while it was read",
        where=url,
        why="somebody replaced or deleted it meanwhile",
        hint="read it again",
    )


def refused_key(key: str, why: str) -> StoreError:
    """Return the error for a key that a store does not take. Since 0.1."""
    return StoreError(
        "The store refuses a key",
        where=f"key {key!r}",
        why=why,
        hint="use a relative key such as 'folder/name'",
    )


def _check_encoding(key: str) -> None:
    try:
        key.encode()
    except UnicodeEncodeError:
        raise refused_key(key, "it contains a character that has no UTF-8 form") from None
