"""The base class of stores on object storage."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from flow_core.api import (
    REFRESH_AGE,
    Attributes,
    FlowError,
    ObjectInfo,
    StoreCapabilities,
    StoredObject,
    StoreError,
    check_key,
    check_prefix,
    check_range,
)
from flow_objectstore.answers import WRITER, described, fetch, head, kept_form, put_one
from flow_objectstore.faults import KINDS, UNSURE, Fault, fault_of, is_panic, refused
from flow_objectstore.keys import escape, unescape
from flow_objectstore.library import note_use
from flow_objectstore.listing import TEMPORARY, Listing, unlisted
from flow_objectstore.patience import Patience, Silent, first_answer
from flow_objectstore.pieces import PIECE, Spool, parts_of, taken
from flow_objectstore.process import PIECES, InProcess
from flow_objectstore.reading import Reading
from flow_objectstore.writing import ChunksFailed, Watched, Writing, add_chunk, chained

if TYPE_CHECKING:
    from flow_core.api import Buffer

T = TypeVar("T")

_FIRST = 4 << 20
"""Bytes of an object that are fetched ahead of its turn, when many are read."""
_ASKS = 256 << 10
"""Bytes from which content is worth the question whether it is there already."""
_BATCH = 1000
_NO_SUCH_PARTS = ("InvalidBlockList", "NoSuchUpload")
"""What services say to who asks a second time that parts become an object."""
_TOLD_APART = frozenset(("denied", "missing", "wrong-region", "other"))
"""Faults whose reason stands in the response's content, which a look (HEAD) does not have."""


class ObjectStore:
    """A store on object storage, through obstore; a plugin subclasses it for one service.

    A subclass makes the client in `make_client`, says in `explain` what the service's errors mean,
    and may override `upload` and `renew`, where its service can do better.

    Requests that fail by what passes by itself are repeated, with growing rests of random length,
    for ``patience`` seconds; while the service has never answered, connections that do not come
    about are repeated for two seconds only, those that it ends for three, and an answer is waited for
    four seconds: its address may be wrong. Nothing else is repeated.

    Clients and threads are made on first use, and anew in a forked child: an instance may go
    through a fork at any time.

    Args:
        url: the URL by which another process opens the same store.
        prefix: what stands before the keys in the bucket: ``""``, or parts with ``/`` behind each.
        patience: seconds for one request with its repetitions.

    Attributes:
        url: as the argument.
        base: the prefix as the service knows it.
        patience: as the argument; may be changed at any time.

    Since 0.1.
    """

    capabilities = StoreCapabilities(shared=True, create_only=True, forkable=True, attributes=True)
    lists_by_itself = False
    """Whether `pages` and `level` list what obstore cannot, since others keep odd keys there."""
    bulk_delete = True
    """Whether a deletion of many is one request, in which missing objects are no errors."""

    def __init__(self, url: str, prefix: str = "", *, patience: float = 60.0) -> None:
        self.url = url
        self.base = escape(prefix)
        self.patience = patience
        self._own = InProcess(self.make_client)
        self._reading = Reading(self)
        self._listing = Listing(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    # --- for subclasses ---------------------------------------------------------------------

    def make_client(self, large: bool) -> Any:
        """Return an obstore store of the bucket, without a prefix.

        It repeats nothing itself (``retry_config={"max_retries": 0}``), unless ``large``: that one
        is for uploads of many parts, whose requests may take minutes.
        """
        raise NotImplementedError

    def explain(self, fault: Fault, what: str, where: str) -> StoreError:
        """Return the error for a person; override it for the words of a service.

        Args:
            fault: what went wrong.
            what: what failed, one sentence.
            where: the object, or the store.
        """
        why = KINDS[fault.kind] + (f": {fault.text}" if fault.text else "")
        return StoreError(what, where=where, why=why, hint="check the store's URL and settings")

    def get_credentials(self) -> None:
        """Get what requests are signed with, if that may take its time.

        It is called before the first answer of the service is waited for.
        """

    def where(self, key: str | None = None) -> str:
        """Return the place of an object, or of the store, for people."""
        return self.url if key is None else f"{self.url}/{key}"

    def upload(
        self,
        key: str,
        parts: Iterator[bytes],
        *,
        create_only: bool = False,
        attributes: Attributes | None = None,
    ) -> bool:
        """Write a large object from its parts, as `write_stream` does.

        This one lets obstore upload them; with ``create_only`` to another key first, from which the
        service copies it if there is none.
        """
        path = self.path(key)
        kept = kept_form(attributes)
        if not create_only:
            self._upload(key, path, parts, kept)
            return True
        what = f"Cannot write '{key}' to the store"
        with self._beside(key) as other:
            self._upload(key, other, parts, kept)
            return self.ask(
                what,
                key,
                lambda client: client.copy(other, path, overwrite=False) or True,
                answers={"exists": False, "changed": False},
                repeat=False,
            )

    def pages(self, folder: str, last: str | None) -> Iterator[Sequence[Any]]:
        """Yield pages of objects behind ``last``, without those whose keys obstore does not take."""
        raise NotImplementedError

    def level(self, prefix: str) -> Any:
        """Return what obstore's ``list_with_delimiter`` does, without such keys."""
        raise NotImplementedError

    def renew(self, key: str, info: ObjectInfo) -> bool:
        """Let an object count as changed now; False when it is gone.

        The service copies it to another key and back: to itself it does not. What it does not copy,
        since it is too large, is read and written again.
        """
        path = self.path(key)
        what = f"Cannot refresh '{key}'"
        with self._beside(key) as other:
            copied = self.ask(
                what,
                key,
                lambda client: client.copy(path, other) or "copied",
                answers={"missing": "missing", "too-large": "", "other": ""},
            )
            if copied:
                if copied == "copied":
                    self.ask(what, key, lambda client: client.copy(other, path))
                return copied == "copied"
        pieces = self.stream(key)
        if pieces is None:
            return False
        return self.write_stream(key, pieces, attributes=info.attributes)

    @contextmanager
    def _beside(self, key: str) -> Iterator[str]:
        """Give a key in the bucket for an object that is on its way; it is removed in the end."""
        other = f"{self.base}{TEMPORARY}/{os.urandom(12).hex()}"
        try:
            yield other
        finally:
            self._delete_one(key, other)

    def _upload(
        self, key: str, path: str, parts: Iterator[bytes], kept: dict[str, str] | None
    ) -> None:
        source = Watched(parts)
        writer = os.urandom(8).hex()
        kept = {**(kept or {}), WRITER: writer}

        def send(client: Any) -> None:
            try:
                client.put(
                    path,
                    source,
                    attributes=kept,
                    use_multipart=True,
                    chunk_size=PIECE,
                    max_concurrency=PIECES,
                )
            except BaseException as error:
                if source.error is not None:
                    raise ChunksFailed(source.error) from None
                if isinstance(error, Exception) and self._has_come(path, writer, error):
                    return
                raise

        try:
            self.ask(f"Cannot write '{key}' to the store", key, send, large=True, repeat=False)
        except ChunksFailed as failed:
            raise failed.error from None

    def _has_come(self, path: str, writer: str, error: Exception) -> bool:
        """Whether a large object is there although the last answer got lost.

        The library asks for that again by itself, and is then told that there are no such parts.
        """
        fault = fault_of(error)
        if fault.kind not in UNSURE and fault.code not in _NO_SUCH_PARTS:
            return False
        what = "Cannot tell whether an object was written"
        found = self.ask(what, None, lambda client: head(client, path), answers={"missing": None})
        return found is not None and found.attributes.get(WRITER) == writer

    def get_ready(self) -> None:
        """Make the client for small requests: for a process from which others are forked.

        It makes no request, and starts no thread.
        """
        self._client(False, "Cannot use the store", None)

    def expect_answers(self) -> None:
        """Be patient from the first request on: others have reached the service."""
        self.own.reached = True

    @property
    def own(self) -> InProcess:
        """What this store has in this process."""
        own = self._own
        if own.process != os.getpid():
            self._own = own = own.in_child()
        return own

    def path(self, key: str) -> str:
        """Return the key in the bucket of an object; `StoreError` for a key that none may have."""
        check_key(key, (TEMPORARY,))
        return self.base + escape(key)

    def ask(
        self,
        what: str,
        key: str | None,
        call: Callable[[Any], T],
        *,
        answers: Mapping[str, T] | None = None,
        large: bool = False,
        repeat: bool = True,
        patience: float | None = None,
    ) -> T:
        """Make a request, and repeat it as long as that may help.

        Args:
            what: what fails if it fails, one sentence.
            key: of the object.
            call: makes the request with a client of obstore's.
            answers: kinds of faults (`KINDS`) that are answers → the result then.
            large: whether it gets the client for large uploads.
            repeat: whether it can be made again.
            patience: seconds for the repetitions; None = the store's.

        Raises:
            StoreError: it failed.
        """
        own = self.own
        client = self._client(large, what, key)
        note_use()
        if not own.reached:
            try:
                self.get_credentials()
            except StoreError as error:
                fault = Fault("no-credentials")
                raise refused(fault, self.explain(fault, what, self.where(key))) from error
        left: Patience | None = None
        while True:
            try:
                if own.reached or large or not repeat:
                    answer = call(client)
                else:
                    answer = first_answer(
                        lambda: call(client), lambda: head(client, self.base + TEMPORARY)
                    )
            except (StoreError, ChunksFailed):
                raise
            except Silent as error:
                fault = Fault("no-answer")
                raise self.explain(fault, what, self.where(key)) from error
            except BaseException as error:  # obstore's are of several kinds
                if not (isinstance(error, Exception) or is_panic(error)):
                    raise
                fault = fault_of(error)
                own.reached = own.reached or fault.status > 0
                if answers and fault.kind in answers:
                    own.found = True
                    return answers[fault.kind]
                seconds = self.patience if patience is None else patience
                left = left or Patience(seconds, own.reached)
                if repeat and left.wait(fault):
                    continue
                if fault.kind == "reset" and not own.reached:
                    fault = Fault("no-http")  # of a service that was never heard, nothing is lost
                raise refused(fault, self.explain(fault, what, self.where(key))) from error
            own.reached = own.found = True
            return answer

    def _client(self, large: bool, what: str, key: str | None) -> Any:
        try:
            return self.own.client(large)
        except FlowError:
            raise
        except Exception as error:  # obstore's, of keys and addresses that are none
            words = str(error).partition("\n")[0].rpartition("error: ")[2]
            raise self.explain(Fault("settings", words), what, self.where(key)) from error

    # --- reading ----------------------------------------------------------------------------

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        """Yield the content of each key, in order; None where there is none.

        Many are fetched at the same time, of each up to 4 MiB ahead of its turn.
        """
        if len(keys) < 2:
            for key in keys:
                yield self._reading.whole(key, self._reading.first(key, PIECE))
            return
        firsts = self.own.ahead(lambda key: self._reading.first(key, _FIRST), keys)
        for key, first in zip(keys, firsts, strict=True):
            yield self._reading.whole(key, first)

    def read_range(self, key: str, offset: int, length: int) -> bytes | None:
        """Return up to ``length`` bytes from ``offset``; None when the key is missing."""
        path = self.path(key)
        check_range(key, offset, length, self.url)
        if not length:
            return None if self.size(key) is None else b""
        first = min(length, PIECE)
        begin = self._reading.fetch_first(key, path, offset, first)
        if begin is None or length <= PIECE or begin.size <= offset + first:
            return None if begin is None else bytes(begin.content)
        end = min(begin.size, offset + length)
        rest = self._reading.pieces(key, begin, offset + first, end)
        return b"".join((begin.content, *rest))

    def stream(self, key: str) -> Iterator[Buffer] | None:
        """Return the content in pieces of 8 MiB, eight of them ahead; None when it is missing."""
        first = self._reading.first(key, PIECE)
        return None if first is None else self._reading.stream(key, first)

    def describe(self, keys: Sequence[str]) -> Iterator[ObjectInfo | None]:
        """Yield what the service tells of each object, in order; None where there is none."""
        if len(keys) < 2:
            return map(self.look, keys)
        return self.own.ahead(self.look, keys)

    def exists(self, keys: Sequence[str]) -> list[bool]:
        """Say for each key whether it exists."""
        return [info is not None for info in self.describe(keys)]

    def size(self, key: str) -> int | None:
        """Return the size of an object in bytes; None when it is missing."""
        info = self.look(key)
        return None if info is None else info.size

    def look(self, key: str) -> ObjectInfo | None:
        """Return what the service tells of one object; None when it is missing."""
        path = self.path(key)
        what = f"Cannot look for '{key}'"
        try:
            found: Any = self.ask(what, key, lambda client: head(client, path), repeat=True)
        except StoreError as error:
            fault = fault_of(error.__cause__) if error.__cause__ else None
            if fault is None or fault.status == 0 or fault.code or fault.kind not in _TOLD_APART:
                raise
            if fault.kind != "missing" or not self.own.found:
                self._find_reason(what, key, path)
            if fault.kind != "missing":
                raise
            return None
        return described(key, found)

    def folders(self, prefix: str = "") -> list[str]:
        """Return the distinct next parts of keys below ``prefix``, sorted."""
        check_prefix(prefix)
        base = self.base + escape(prefix)
        found = self.ask(
            unlisted(prefix),
            prefix or None,
            lambda client: client.list_with_delimiter(base or None),
            answers={"foreign": None} if self.lists_by_itself else {},
        )
        if found is None:
            found = self.level(base)
        paths = [*found["common_prefixes"], *(entry["path"] for entry in found["objects"])]
        names = {unescape(path[len(base) :].rstrip("/")) for path in paths if path.startswith(base)}
        return sorted(names - {"", TEMPORARY} if not prefix else names - {""})

    def local_path(self, key: str) -> str | None:
        """Return None: nothing is a file of this machine."""
        check_key(key)
        return None

    # --- writing ----------------------------------------------------------------------------

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        """Write each (key, content), many at the same time; say for each whether it was written."""
        source = iter(items)
        taken_up = [item for _, item in zip(range(2), source, strict=False)]
        if len(taken_up) < 2:
            return [self.write_one(key, taken(content), create_only) for key, content in taken_up]
        written = Writing(self, create_only)
        try:
            for key, content in taken_up:
                written.add(key, taken(content))
            taken_up.clear()
            for key, content in source:
                written.add(key, taken(content))
        finally:
            written.finish()
        return written.results()

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        """Write one object whose key is known only when ``chunks`` is used up.

        Up to 8 MiB wait in memory, more in a temporary file of this machine. Small content is
        written at once, unless there is an object; for larger content the service is asked first.
        An object of another size is damaged, and replaced.
        """
        spool = Spool()
        try:
            # What ``chunks`` and ``key`` raise is not the store's to explain: it passes unchanged.
            for chunk in chunks:
                add_chunk(spool, chunk, self.url)
            name = key()
            self.path(name)
            if spool.size >= _ASKS and self._has(name, spool.size):
                return False
            if self._send(name, spool.parts(), create_only=spool.size < _ASKS):
                return True
            if self._has(name, spool.size):
                return False
            return self._send(name, spool.parts())
        finally:
            spool.close()

    def write_stream(
        self,
        key: str,
        chunks: Iterable[Buffer],
        *,
        create_only: bool = False,
        attributes: Attributes | None = None,
    ) -> bool:
        """Write one object of any size: up to 8 MiB in one request, more in parts, eight at a time."""
        self.path(key)
        return self._send(key, parts_of(chunks), create_only=create_only, attributes=attributes)

    def delete(self, keys: Iterable[str], *, older_than: float | None = None) -> None:
        """Delete objects; missing ones are no error.

        With ``older_than`` each is looked at right before the deletion of its batch of up to 1000.
        """
        batch: dict[str, str] = {}
        for key in keys:
            batch[key] = self.path(key)
            if len(batch) == _BATCH:
                self._delete(batch, older_than)
                batch = {}
        if batch:
            self._delete(batch, older_than)

    def refresh(self, key: str, age: float = REFRESH_AGE) -> bool:
        """Say whether an object exists; one that is old is renewed by the service."""
        info = self.look(key)
        if info is None:
            return False
        return time.time() - info.modified < age or self.renew(key, info)

    # --- parts: reading ---------------------------------------------------------------------

    def _find_reason(self, what: str, key: str, path: str) -> None:
        """Ask again in a way whose answer has a reason: raise it, if it is one for an error."""
        self.ask(
            what,
            key,
            lambda client: fetch(client, path, 0, 1, None),
            answers={"missing": None, "empty": None},
        )

    # --- parts: writing ---------------------------------------------------------------------

    def write_one(self, key: str, content: bytes, create_only: bool) -> bool:
        if len(content) > 2 * PIECE and not create_only:
            return self._send(key, parts_of([content]))
        return self.put(key, content, create_only=create_only)

    def _send(
        self,
        key: str,
        parts: Iterator[bytes],
        *,
        create_only: bool = False,
        attributes: Attributes | None = None,
    ) -> bool:
        """Write an object from its parts: one of them in one request."""
        first = next(parts)
        second = next(parts, None)
        if second is None:
            return self.put(key, first, create_only=create_only, attributes=attributes)
        if create_only and self.look(key) is not None:
            return False
        together = chained(first, second, parts)
        del first, second  # which are large
        return self.upload(key, together, create_only=create_only, attributes=attributes)

    def put(
        self,
        key: str,
        content: bytes,
        *,
        create_only: bool = False,
        attributes: Attributes | None = None,
    ) -> bool:
        """Write an object in one request; say whether it was written."""
        path = self.path(key)
        what = f"Cannot write '{key}' to the store"
        kept = kept_form(attributes)
        large = len(content) > _ASKS
        if not create_only:
            self.ask(what, key, lambda client: put_one(client, path, content, kept), large=large)
            return True
        writer = os.urandom(8).hex()
        kept = {**(kept or {}), WRITER: writer}
        unsure = False

        def create(client: Any) -> bool:
            nonlocal unsure
            try:
                client.put(path, content, attributes=kept, mode="create", use_multipart=False)
            except Exception as error:
                fault = fault_of(error)
                if unsure and fault.kind in ("exists", "changed"):
                    return self.is_by(client, path, writer)
                unsure = unsure or fault.kind in UNSURE
                raise
            return True

        answers = {"exists": False, "changed": False}
        return self.ask(what, key, create, answers=answers, large=large)

    def is_by(self, client: Any, path: str, writer: str) -> bool:
        """Whether an object is the one that ``writer`` wrote, though the answer got lost."""
        try:
            found = head(client, path)
        except FileNotFoundError:
            return True  # written, and deleted since
        return bool(found.attributes.get(WRITER) == writer)

    def _has(self, key: str, size: int) -> bool:
        """Whether there is an object of this size; it is refreshed."""
        info = self.look(key)
        if info is None or info.size != size:
            return False
        return time.time() - info.modified < REFRESH_AGE or self.renew(key, info)

    def _delete(self, paths: Mapping[str, str], older_than: float | None) -> None:
        if older_than is not None:
            found = self.describe(list(paths))
            old = {info.key for info in found if info is not None and info.modified < older_than}
            paths = {key: path for key, path in paths.items() if key in old}
        if len(paths) == 1 or not self.bulk_delete:
            for _ in self.own.ahead(lambda key: self._delete_one(key, paths[key]), paths):
                pass
        elif paths:
            self.ask(
                f"Cannot delete {len(paths)} objects",
                None,
                lambda client: client.delete(list(paths.values())),
            )

    def _delete_one(self, key: str, path: str) -> None:
        self.ask(
            f"Cannot delete '{key}'",
            key,
            lambda client: client.delete(path),
            answers={"missing": None},
        )

    # --- listing (last, since the name hides the type from the annotations below it) --------

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield all objects whose key starts with ``prefix``, sorted by key, page by page.

        Keys with control characters or ``\\`` are sorted among those of their page (1000 objects).
        """
        check_prefix(prefix)
        return self._listing.below(self.base + escape(prefix))
