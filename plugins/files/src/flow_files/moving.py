"""Content types and metadata on their way to a store that keeps them in another form."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from flow_core.api import Attributes
from flow_files.attributes import (
    decode_metadata,
    describe,
    encode_metadata,
    is_beside,
    object_beside,
)

if TYPE_CHECKING:
    from flow_core.api import Store

_NOTHING = ("application/octet-stream", "binary/octet-stream")
"""What services call the type of an object of which nobody has told it."""


class Carried(NamedTuple):
    """An object, and what goes along with it.

    Attributes:
        key: of the object.
        attributes: what it is written with, or None.
        beside: key and content of what is written after it, or None.
    """

    key: str
    attributes: Attributes | None = None
    beside: tuple[str, bytes] | None = None


def carry(source: Store, target: Store, keys: Sequence[str]) -> Iterator[Carried]:
    """Say how files are copied from one store to another, so that they keep what was put with them.

    Args:
        source, target: the stores.
        keys: of files that ``source`` has; those that are not named again are not copied.
    """
    if not (source.capabilities.attributes or target.capabilities.attributes):
        yield from map(Carried, keys)  # with what lies beside them, which is among the keys
        return
    own = [key for key in keys if not is_beside(key)]
    for key, info in zip(own, describe(source, own), strict=True):
        if info is None:
            continue  # it was deleted meanwhile
        found = info.attributes
        metadata = found.metadata
        if source.capabilities.attributes and not metadata and found.content_type in _NOTHING:
            found = Attributes()
        if not (found.content_type or metadata):
            yield Carried(key)
        elif not target.capabilities.attributes:
            plain = Attributes(found.content_type, decode_metadata(metadata))
            yield Carried(key, None, object_beside(key, plain))
        elif source.capabilities.attributes:
            yield Carried(key, found)
        else:
            yield Carried(key, Attributes(found.content_type, encode_metadata(metadata)))
