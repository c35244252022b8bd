"""Which keys a local store accepts."""

from __future__ import annotations

from flow_core.api import StoreError

# What else lies in the store's folder: half-written files, and the index of the metadata provider.
RESERVED = ("/tmp/", "/metadata.db")


def check_key(key: str, reserved: tuple[str, ...] = RESERVED) -> None:
    """Raise `StoreError` unless ``key`` can name a file below the store's folder.

    Args:
        key: the key.
        reserved: beginnings, after a ``/``, of what else lies in that folder.
    """
    framed = f"/{key}/"
    if "//" in framed or "/./" in framed or "/../" in framed:
        raise _refused(key, "a key is made of parts with '/' between; none is empty, '.' or '..'")
    if "\0" in framed:
        raise _refused(key, "it contains a NUL character")
    if framed.startswith(reserved):
        raise _refused(key, "flow-core keeps other files under this name in the store's folder")
    if not key.isascii():
        _check_encoding(key)


def check_prefix(prefix: str) -> None:
    """Raise `StoreError` for a prefix that would lead out of the store's folder."""
    framed = f"/{prefix}"
    if "//" in framed or "/./" in framed or "/../" in framed or "\0" in framed:
        raise _refused(prefix, "a prefix is the beginning of a key, whose parts are never empty")
    if not prefix.isascii():
        _check_encoding(prefix)


def is_reserved(name: str, reserved: tuple[str, ...] = RESERVED) -> bool:
    """Whether ``name``, directly in the store's folder, is no object of the store."""
    return f"/{name}/".startswith(reserved)


def _check_encoding(key: str) -> None:
    try:
        key.encode()
    except UnicodeEncodeError:
        raise _refused(key, "it contains a character that has no UTF-8 form") from None


def _refused(key: str, why: str) -> StoreError:
    return StoreError(
        "The store refuses a key",
        where=f"key {key!r}",
        why=why,
        hint="use a relative key such as 'folder/name'",
    )
