"""Uploads of large objects, part by part: each is repeated by itself."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple
from xml.sax.saxutils import escape, unescape

from flow_core.api import StoreError
from flow_objectstore.answers import WRITER
from flow_objectstore.faults import UNSURE, Fault, RequestFailed, response_fault
from flow_objectstore.process import PIECES
from flow_s3.wire import Answer, Wire

if TYPE_CHECKING:
    from concurrent.futures import Future

    from flow_core.api import Attributes
    from flow_s3.store import S3Store

_WAITING = 64 << 20
"""Bytes of parts that are on their way at the same time: or one part, if it is larger."""


class Part(NamedTuple):
    """A part that the service has."""

    number: int
    etag: str
    checksum: str


class Multipart:
    """One upload. What fails leaves nothing behind that is seen, or paid for.

    Args:
        store: to which it goes.
        key: of the object.
        create_only: whether it must not replace an object.
        attributes: what is kept beside it.
    """

    def __init__(
        self, store: S3Store, key: str, create_only: bool, attributes: Attributes | None
    ) -> None:
        self._store = store
        self._key = key
        self._path = store.path(key)
        self._what = f"Cannot write '{key}' to the store"
        self._create_only = create_only
        self._attributes = attributes
        self._writer = os.urandom(8).hex()
        self._wire = Wire(store.place, store.bucket)
        self._id = ""

    def send(self, parts: Iterator[bytes]) -> bool:
        """Send all parts, then let them become the object; say whether they did."""
        try:
            self._begin()
            try:
                done = self._send_all(parts)
                written = self._complete(done)
            except BaseException:
                self._abort()
                raise
            if not written:
                self._abort()
            return written
        finally:
            self._wire.close()

    def _begin(self) -> None:
        headers = self._store.place.object_headers()
        attributes = self._attributes
        if attributes is not None and attributes.content_type:
            headers["content-type"] = attributes.content_type
        metadata = dict(attributes.metadata) if attributes is not None else {}
        metadata[WRITER] = self._writer
        headers |= {f"x-amz-meta-{name}": text for name, text in metadata.items()}

        def begin(_: object) -> str:
            answer = self._wire.request("POST", self._path, {"uploads": ""}, headers)
            return _element(answer.body, "UploadId")

        self._id = self._store.ask(self._what, self._key, begin)

    def _send_all(self, parts: Iterator[bytes]) -> list[Part]:
        pool = self._store.own.pieces
        doing: deque[tuple[Future[Part], int]] = deque()
        waiting, done = 0, []
        try:
            for number, part in enumerate(parts, 1):
                while doing and (len(doing) >= PIECES or waiting + len(part) > _WAITING):
                    future, size = doing.popleft()
                    done.append(future.result())
                    waiting -= size
                doing.append((pool.submit(self._send_part, number, part), len(part)))
                waiting += len(part)
                del part
            done += [future.result() for future, _ in doing]
        except BaseException:
            self._stop([future for future, _ in doing])
            raise
        return done

    def _stop(self, doing: list[Future[Part]]) -> None:
        """Wait until no part is on its way: one that arrives later would stay for ever."""
        for future in doing:
            future.cancel()
        self._wire.close()
        for future in doing:
            if not future.cancelled():
                future.exception()
        self._wire = Wire(self._store.place, self._store.bucket)

    def _send_part(self, number: int, part: bytes) -> Part:
        content = self._wire.content(part)
        query = {"partNumber": str(number), "uploadId": self._id}
        headers = {"x-amz-checksum-sha256": content.checksum} if content.checksum else {}

        def send(_: object) -> Part:
            answer = self._wire.request("PUT", self._path, query, headers, content)
            etag = answer.headers.get("etag", "")
            if not etag or etag.startswith('"') != etag.endswith('"'):
                raise RequestFailed(Fault("truncated", "an answer without the name of the part"))
            return Part(number, etag, content.checksum)

        return self._store.ask(self._what, self._key, send)

    def _complete(self, done: list[Part]) -> bool:
        body = "".join(map(_part_element, sorted(done)))
        body = f"<CompleteMultipartUpload>{body}</CompleteMultipartUpload>"
        content = self._wire.content(body.encode())._replace(checksum="")
        headers = {"content-type": "application/xml"}
        if self._create_only:
            headers["if-none-match"] = "*"
        unsure = False

        def complete(client: object) -> bool:
            nonlocal unsure
            try:
                query = {"uploadId": self._id}
                _check(self._wire.request("POST", self._path, query, headers, content))
            except RequestFailed as failed:
                fault = failed.fault
                gone = fault.code == "NoSuchUpload"
                if unsure and (gone or fault.kind in ("exists", "changed")):
                    if self._store.is_by(client, self._path, self._writer):
                        return True
                    if self._create_only:
                        return False
                unsure = unsure or fault.kind in UNSURE
                raise
            return True

        answers = {"exists": False, "changed": False} if self._create_only else {}
        return self._store.ask(self._what, self._key, complete, answers=answers)

    def _abort(self) -> None:
        """Let the service forget the parts. If that fails, too, its rule for old ones does."""

        def abort(_: object) -> None:
            self._wire.request("DELETE", self._path, {"uploadId": self._id})

        try:
            self._store.ask(self._what, self._key, abort, answers={"missing": None}, patience=5.0)
        except StoreError:
            return  # why the upload ends is what a person is told


def upload(
    store: S3Store,
    key: str,
    parts: Iterator[bytes],
    create_only: bool,
    attributes: Attributes | None,
) -> bool:
    """Write a large object; say whether it was written."""
    return Multipart(store, key, create_only, attributes).send(parts)


def _check(answer: Answer) -> None:
    """Raise what stands in an answer that began as a success, while the service still worked."""
    if "<Error>" in answer.body or "CompleteMultipartUploadResult" not in answer.body:
        fault = response_fault(500, answer.body)
        raise RequestFailed(fault if fault.code else Fault("truncated", "half an answer"))


def _part_element(part: Part) -> str:
    checksum = f"<ChecksumSHA256>{part.checksum}</ChecksumSHA256>" if part.checksum else ""
    return (
        f"<Part><ETag>{escape(part.etag)}</ETag>{checksum}"
        f"<PartNumber>{part.number}</PartNumber></Part>"
    )


def _element(text: str, name: str) -> str:
    found = re.search(f"<{name}>(.*?)</{name}>", text, re.DOTALL)
    if found is None:
        raise RequestFailed(Fault("truncated", f"an answer without {name}"))
    return unescape(found[1].strip())
