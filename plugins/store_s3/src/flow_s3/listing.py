"""Lists of buckets in which others keep keys that obstore does not take: ``a//b``, ``./a``, ``a/``.

obstore gives up the whole list then. This one leaves such objects out: no key of a store names them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus
from xml.etree.ElementTree import Element, ParseError, fromstring

from flow_objectstore.faults import Fault, RequestFailed
from flow_objectstore.listing import unlisted
from flow_s3.wire import Wire

if TYPE_CHECKING:
    from flow_s3.store import S3Store

_FOREIGN = re.compile(r"(?:^|/)\.{0,2}(?:/|$)|[\x00-\x1f\x7f\\]")
"""What no key has as the store writes it: parts that are empty or dots, signs that are escaped."""
_MOST = "1000"


def pages(store: S3Store, folder: str, last: str | None) -> Iterator[list[dict[str, Any]]]:
    """Yield the objects below ``folder`` whose keys come after ``last``, as obstore tells them."""
    given = {"prefix": folder, **({"start-after": last} if last else {})}
    for answer in _answers(store, given):
        found = [_entry(each) for each in answer.iterfind("{*}Contents")]
        page = [entry for entry in found if not _FOREIGN.search(entry["path"])]
        if page:
            yield page


def level(store: S3Store, prefix: str) -> dict[str, list[Any]]:
    """Return what begins with ``prefix``, up to the next ``/``, as obstore tells it."""
    folders: list[str] = []
    objects: list[dict[str, Any]] = []
    for answer in _answers(store, {"prefix": prefix, "delimiter": "/"}):
        names = (_text(each, "Prefix") for each in answer.iterfind("{*}CommonPrefixes"))
        folders += [name for name in names if not _FOREIGN.search(name.removesuffix("/"))]
        found = [_entry(each) for each in answer.iterfind("{*}Contents")]
        objects += [entry for entry in found if not _FOREIGN.search(entry["path"])]
    return {"common_prefixes": folders, "objects": objects}


def _answers(store: S3Store, given: Mapping[str, str]) -> Iterator[Element]:
    wire = Wire(store.place, store.bucket)
    query = {"list-type": "2", "encoding-type": "url", "max-keys": _MOST, **given}

    def ask(_: object) -> Element:
        return _parsed(wire.request("GET", "", query).body)

    try:
        while True:
            answer = store.ask(unlisted(given["prefix"]), None, ask)
            yield answer
            token = answer.findtext("{*}NextContinuationToken")
            if not token:
                return
            query["continuation-token"] = token
    finally:
        wire.close()


def _parsed(text: str) -> Element:
    try:
        return fromstring(text)
    except ParseError as error:
        raise RequestFailed(Fault("truncated", str(error))) from error


def _entry(found: Element) -> dict[str, Any]:
    modified = (found.findtext("{*}LastModified") or "").replace("Z", "+00:00")
    return {
        "path": _text(found, "Key"),
        "size": int(found.findtext("{*}Size") or 0),
        "last_modified": datetime.fromisoformat(modified),
    }


def _text(found: Element, name: str) -> str:
    return unquote_plus(found.findtext(f"{{*}}{name}") or "")
