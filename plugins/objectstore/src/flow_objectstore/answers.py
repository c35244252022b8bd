"""Single requests for objects, and what their answers tell."""

from __future__ import annotations

from typing import Any, NamedTuple

from flow_core.api import Attributes, ObjectInfo
from flow_objectstore.faults import Fault, RequestFailed

WRITER = "flowwriter"
"""Name of the metadata that tells whose a new object is, when the answer got lost."""
_CONTENT_TYPE = "Content-Type"
_OTHERS = frozenset(
    (
        "Cache-Control",
        "Content-Disposition",
        "Content-Encoding",
        "Content-Language",
        "Storage-Class",
    )
)


class First(NamedTuple):
    """The beginning of an object, and what is needed to fetch the rest of the same version."""

    content: Any
    size: int
    etag: str | None


def fetch(client: Any, path: str, begin: int, end: int, etag: str | None) -> First:
    """Return the bytes from ``begin`` to ``end``, or fewer at the end of the object."""
    options: dict[str, Any] = {"range": (begin, end)}
    if etag:
        options["if_match"] = etag
    found = client.get(path, options=options)
    content = found.bytes()
    first, last = found.range
    if len(content) != last - first:
        raise RequestFailed(Fault("truncated", f"{len(content)} bytes of {last - first}"))
    return First(content, found.meta["size"], found.meta["e_tag"])


def head(client: Any, path: str) -> Any:
    """Return what the service tells of an object."""
    return client.get(path, options={"head": True})


def put_one(client: Any, path: str, content: bytes, kept: dict[str, str] | None) -> None:
    """Write an object in one request."""
    client.put(path, content, attributes=kept, use_multipart=False)


def kept_form(attributes: Attributes | None) -> dict[str, str] | None:
    """Return attributes as obstore wants them."""
    if attributes is None or not (attributes.content_type or attributes.metadata):
        return None
    kept = dict(attributes.metadata)
    if attributes.content_type:
        kept[_CONTENT_TYPE] = attributes.content_type
    return kept


def described(key: str, found: Any) -> ObjectInfo:
    """Return what the service told of an object."""
    kept = dict(found.attributes)
    content_type = kept.pop(_CONTENT_TYPE, None)
    kept.pop(WRITER, None)
    metadata = {name: text for name, text in kept.items() if name not in _OTHERS}
    meta = found.meta
    etag = meta["e_tag"].strip('"') if meta["e_tag"] else None
    return ObjectInfo(
        key,
        meta["size"],
        meta["last_modified"].timestamp(),
        Attributes(content_type, metadata),
        etag,
    )
