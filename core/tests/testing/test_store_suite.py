"""The suite for stores finds each promise that a store breaks, and passes one that keeps them."""

from __future__ import annotations

import hashlib
import os
import threading
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

import flow_core
from flow_core.errors import StoreError
from flow_core.interfaces import (
    Attributes,
    Bootstrap,
    Buffer,
    ObjectInfo,
    Store,
    StoreCapabilities,
    StoredObject,
)
from flow_core.testing import FaultyStore, MemoryStore, StoreSuite, failures

SOURCES = Path(flow_core.__file__).parents[1]

# --- in memory: each breaks one promise -----------------------------------------------------


class Forgetful(MemoryStore):
    """Does not heed create_only."""

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        return super().write(items)


class Tombstones(MemoryStore):
    """Never gives a key away again."""

    def __init__(self) -> None:
        super().__init__()
        self._gone: set[str] = set()

    def delete(self, keys: Iterable[str], *, older_than: float | None = None) -> None:
        listed = [*keys]
        self._gone.update(listed)
        super().delete(listed, older_than=older_than)

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        alive = [(k, c) for k, c in items if not (create_only and k in self._gone)]
        return super().write(alive, create_only=create_only) or [False]


class LooksFirst(MemoryStore):
    """Looks whether the key is free, and writes later."""

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        written = []
        for key, content in items:
            free = not (create_only and self.exists([key])[0])
            time.sleep(0.001)
            if free:
                super().write([(key, content)])
            written.append(free)
        return written


class TakesKeyFirst(MemoryStore):
    """Takes a key before its content is there."""

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        written = []
        for key, content in items:
            written += super().write([(key, b"")], create_only=create_only)
            if written[-1]:
                time.sleep(0.001)
                super().write([(key, content)])
        return written


class TwoParts(MemoryStore):
    """Writes an object in two parts."""

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        written = []
        for key, content in items:
            whole = bytes(content)
            if len(whole) > 1000 and not create_only:
                super().write([(key, whole[: len(whole) // 2])])
                time.sleep(0.001)
            written += super().write([(key, whole)], create_only=create_only)
        return written


class AllAtTheEnd(MemoryStore):
    """Answers for all items with one answer."""

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        written = super().write(items, create_only=create_only)
        return [all(written)] * len(written)


class ReadsSorted(MemoryStore):
    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        return super().read(sorted(keys))


class NothingIsEmpty(MemoryStore):
    """Gives an empty content for a missing key."""

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        for content in super().read(keys):
            yield content or b""


class EmptyIsNothing(MemoryStore):
    """Takes an empty object for a missing one."""

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        for content in super().read(keys):
            yield content or None


class RangeFromTheEnd(MemoryStore):
    """Lets a negative offset count from the end, as a slice does."""

    def read_range(self, key: str, offset: int, length: int) -> bytes | None:
        (content,) = self.read([key])
        return None if content is None else content[offset:][: max(length, 0)]


class RangeToTheEnd(MemoryStore):
    """Takes a length of 0 for all that follows."""

    def read_range(self, key: str, offset: int, length: int) -> bytes | None:
        return super().read_range(key, offset, length or 1 << 40)


class Unsorted(MemoryStore):
    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        return iter([*super().list(prefix)][::-1])


class FirstPage(MemoryStore):
    """Lists the first page, as of a service that gives them in pages."""

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        return iter([*super().list(prefix)][:50])


class WholeParts(MemoryStore):
    """Takes a prefix for the name of a folder."""

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        found = super().list(prefix)
        whole = prefix.rstrip("/") + "/" if prefix else ""
        return (o for o in found if o.key.startswith(whole))


class DeepFolders(MemoryStore):
    def folders(self, prefix: str = "") -> list[str]:  # type: ignore[valid-type, unused-ignore]
        return sorted(o.key[len(prefix) :] for o in self.list(prefix))


class Normalises(MemoryStore):
    """Makes one key of two that look alike."""

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        alike = [(unicodedata.normalize("NFC", key), content) for key, content in items]
        return super().write(alike, create_only=create_only)

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        return super().read([unicodedata.normalize("NFC", key) for key in keys])


class Strips(MemoryStore):
    """Takes spaces away from the ends of keys."""

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        return super().write([(k.strip(), c) for k, c in items], create_only=create_only)

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        return super().read([key.strip() for key in keys])


class GoesUp(MemoryStore):
    """Writes wherever a key leads."""

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        clean = [(os.path.normpath(f"/{k}").lstrip("/") or "root", c) for k, c in items]
        return super().write(clean, create_only=create_only)


class RemembersBuffers(MemoryStore):
    """Keeps the caller's buffer instead of its content."""

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[str, Buffer] = {}

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        listed = [*items]
        self._kept.update(listed)
        return super().write(listed, create_only=create_only)

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        for key, found in zip(keys, super().read(keys), strict=True):
            yield None if found is None else bytes(self._kept.get(key, found))


class KeepsHalves(MemoryStore):
    """Leaves what it has of a content whose chunks break off."""

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        content = b""
        for chunk in chunks:
            content += bytes(chunk)
            self.write([("half", content)])
        self.delete(["half"])
        return super().write_content([content], key)


class StaysLocked(MemoryStore):
    """Forgets to take its lock away when a write fails."""

    locked = False

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        if self.locked:
            raise StoreError("Somebody else writes")
        self.locked = True
        written = super().write_content(chunks, key)
        self.locked = False
        return written


class AsksTooEarly(MemoryStore):
    """Asks for the key before the chunks are used up."""

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        name = key()
        return super().write_content(chunks, lambda: name)


class TakesErrorsForItsOwn(MemoryStore):
    """Takes an error of the chunks for one of the disk."""

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        try:
            return super().write_content(chunks, key)
        except OSError as error:
            raise StoreError("The disk is broken", why=str(error)) from error


class AlwaysNew(MemoryStore):
    """Says of each content that it was not there."""

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        super().write_content(chunks, key)
        return True


class KeepsChunks(MemoryStore):
    """Collects chunks without copying them."""

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        return super().write_content([*chunks], key)


class CaresForMissing(MemoryStore):
    def delete(self, keys: Iterable[str], *, older_than: float | None = None) -> None:
        for key in keys:
            if self.exists([key]) == [False]:
                raise StoreError(f"There is no object '{key}'")
            super().delete([key], older_than=older_than)


class DeletesBelow(MemoryStore):
    """Deletes what lies below a key, too."""

    def delete(self, keys: Iterable[str], *, older_than: float | None = None) -> None:
        for key in keys:
            super().delete([o.key for o in self.list(f"{key}/")], older_than=older_than)
            super().delete([key], older_than=older_than)


class DeletesYoung(MemoryStore):
    def delete(self, keys: Iterable[str], *, older_than: float | None = None) -> None:
        super().delete(keys)


class NeverRefreshes(MemoryStore):
    def refresh(self, key: str, age: float = 300.0) -> bool:
        return self.exists([key])[0]


class RefreshesWhatIsGone(MemoryStore):
    def refresh(self, key: str, age: float = 300.0) -> bool:
        if not super().refresh(key, age):
            self.write([(key, b"")])
        return True


class PromisesFiles(MemoryStore):
    """Gives a path although it keeps no files."""

    def local_path(self, key: str) -> str | None:
        return f"/nowhere/{key}"


class HasNoScheme(MemoryStore):
    @property
    def url(self) -> str:
        return self.root


class ListsWithoutLock(MemoryStore):
    """Goes through its objects while others change them."""

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        for key in self._objects:
            time.sleep(0)
            if key.startswith(prefix):
                yield StoredObject(key, 0, time.time())


class TextOnly(MemoryStore):
    """Takes content for text."""

    def _write(self, key: str, content: bytes, create_only: bool) -> bool:
        return super()._write(key, content.decode(errors="replace").encode(), create_only)


class Cuts(MemoryStore):
    """Keeps no more than a megabyte of an object."""

    def _write(self, key: str, content: bytes, create_only: bool) -> bool:
        return super()._write(key, content[: 1 << 20], create_only)


class TakesBytesOnly(MemoryStore):
    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        listed = [*items]
        if not all(isinstance(content, bytes) for _, content in listed):
            raise TypeError("content is bytes")
        return super().write(listed, create_only=create_only)


class CountsItems(MemoryStore):
    """Takes the number of a buffer's items for that of its bytes."""

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        cut = [(key, bytes(content)[: len(content)]) for key, content in items]
        return super().write(cut, create_only=create_only)

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        return super().write_content((bytes(c)[: len(c)] for c in chunks), key)


class LooksBehind(MemoryStore):
    """Takes what a view is a part of."""

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        whole = [(k, c.obj if isinstance(c, memoryview) else c) for k, c in items]
        return super().write(whole, create_only=create_only)


class KeepsTail(MemoryStore):
    """Writes over what is there, and leaves what is longer."""

    def _write(self, key: str, content: bytes, create_only: bool) -> bool:
        before = self._objects.get(key, (b"", 0.0))[0]
        return super()._write(key, content + before[len(content) :], create_only)


class GoesTwice(MemoryStore):
    """Goes through the items of a call twice, which an iterator does not allow."""

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        for key, _ in items:
            self.exists([key])
        return super().write(items, create_only=create_only)


class WantsSomething(MemoryStore):
    """Has no answer to a call without items."""

    def exists(self, keys: Sequence[str]) -> list[bool]:
        if not keys:
            raise StoreError("There are no keys")
        return super().exists(keys)


class FirstItemWins(MemoryStore):
    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        return super().write([*items][::-1], create_only=create_only)[::-1]


class LosesUpdates(MemoryStore):
    """Reads its table, adds to it, and writes it back."""

    def _write(self, key: str, content: bytes, create_only: bool) -> bool:
        changed = dict(self._objects)
        time.sleep(0.0005)
        changed[key] = (content, time.time())
        self._objects = changed
        return True


class RefusesNothing(MemoryStore):
    """Writes no content that is empty."""

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        content, name = b"".join(map(bytes, chunks)), key()
        return bool(content) and super().write_content([content], lambda: name)


class FirstChunks(MemoryStore):
    """Keeps a thousand chunks."""

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        listed = [bytes(chunk) for chunk in chunks]
        return super().write_content(listed[:1000], key)


class KeepsWithoutKey(MemoryStore):
    """Leaves the content for which there is no key."""

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        content = b"".join(map(bytes, chunks))
        self.write([("nameless", content)])
        name = key()
        self.delete(["nameless"])
        return super().write_content([content], lambda: name)


class FoldersExist(MemoryStore):
    def exists(self, keys: Sequence[str]) -> list[bool]:
        return [
            there or any(self.list(f"{key}/"))
            for key, there in zip(keys, super().exists(keys), strict=True)
        ]


class EmptyRange(MemoryStore):
    def read_range(self, key: str, offset: int, length: int) -> bytes | None:
        return super().read_range(key, offset, length) or b""


class SizeOfNothing(MemoryStore):
    def size(self, key: str) -> int | None:
        return super().size(key) or 0


class ListsNoNothing(MemoryStore):
    """Fails where there is nothing to list."""

    def folders(self, prefix: str = "") -> list[str]:  # type: ignore[valid-type, unused-ignore]
        found = super().folders(prefix)
        if not found:
            raise StoreError(f"There is no folder '{prefix}'")
        return found


class Milliseconds(MemoryStore):
    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        for found in super().list(prefix):
            yield found._replace(modified=found.modified * 1000)


class PagesByNumber(MemoryStore):
    """Lists in pages, and begins each behind the number of those before."""

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        given = 0
        while page := [*super().list(prefix)][given : given + 5]:
            yield from page
            given += len(page)


class NaturalOrder(MemoryStore):
    """Sorts numbers as numbers."""

    def folders(self, prefix: str = "") -> list[str]:  # type: ignore[valid-type, unused-ignore]
        return sorted(super().folders(prefix), key=lambda name: (len(name), name))


class DeletesFirst(MemoryStore):
    def delete(self, keys: Iterable[str], *, older_than: float | None = None) -> None:
        super().delete([key for key in keys if key.endswith("b")][1:], older_than=older_than)


class RemembersFolders(MemoryStore):
    """Keeps a folder of which nothing is left."""

    def __init__(self) -> None:
        super().__init__()
        self._folders: set[str] = set()

    def _write(self, key: str, content: bytes, create_only: bool) -> bool:
        self._folders.add(key)
        return super()._write(key, content, create_only)

    def folders(self, prefix: str = "") -> list[str]:  # type: ignore[valid-type, unused-ignore]
        below = [key[len(prefix) :] for key in self._folders if key.startswith(prefix)]
        return sorted({rest.partition("/")[0] for rest in below})


class LooksThenDeletes(MemoryStore):
    """Looks how old an object is, and deletes it later."""

    def delete(self, keys: Iterable[str], *, older_than: float | None = None) -> None:
        for key in keys:
            old = [o for o in self.list(key) if older_than is None or o.modified < older_than]
            time.sleep(0.002)
            super().delete([o.key for o in old if o.key == key])


class LeavesThreads(MemoryStore):
    """Starts a thread for each reading that nobody ends."""

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
        return super().read(keys)


class LeavesFiles(MemoryStore):
    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        _OPEN.append(os.open(os.devnull, os.O_RDONLY))
        return super().write(items, create_only=create_only)


_OPEN: list[int] = []

# --- of streams -------------------------------------------------------------------------------


class _Stream(MemoryStore):
    """Changes what is read as a stream."""

    def stream(self, key: str) -> Iterator[Buffer] | None:
        pieces = super().stream(key)
        return None if pieces is None else self.changed(key, b"".join(map(bytes, pieces)))

    def changed(self, key: str, content: bytes) -> Iterator[Buffer]:
        return iter([content])


class StreamsNoEnd(_Stream):
    """Gives whole pieces only."""

    def changed(self, key: str, content: bytes) -> Iterator[Buffer]:
        whole = len(content) - len(content) % (1 << 16)
        return iter([content[:whole]])


class StreamsOutOfOrder(_Stream):
    """Gives pieces that are fetched at the same time as they come."""

    def changed(self, key: str, content: bytes) -> Iterator[Buffer]:
        return iter([content[10 << 20 :], content[: 10 << 20]])


class StreamsByRange(_Stream):
    """Asks for one range after another, of whatever is there by then."""

    def changed(self, key: str, content: bytes) -> Iterator[Buffer]:
        for start in range(0, len(content), 1 << 19):
            time.sleep(0)
            yield self.read_range(key, start, 1 << 19) or b""


class StreamsNothing(MemoryStore):
    """Takes a missing object for an empty one."""

    def stream(self, key: str) -> Iterator[Buffer] | None:
        return super().stream(key) or iter([])


class StreamsThread(_Stream):
    """Fetches ahead in a thread that waits for a reader for ever."""

    def changed(self, key: str, content: bytes) -> Iterator[Buffer]:
        threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
        return iter([content])


class _WriteStream(MemoryStore):
    """Has streams on its own `write`."""

    def write_stream(
        self,
        key: str,
        chunks: Iterable[Buffer],
        *,
        create_only: bool = False,
        attributes: Attributes | None = None,
    ) -> bool:
        self.wanted(attributes)
        (written,) = self.write([(key, self.content(key, chunks))], create_only=create_only)
        return written

    def wanted(self, attributes: Attributes | None) -> None:
        pass

    def content(self, key: str, chunks: Iterable[Buffer]) -> bytes:
        return b"".join(map(bytes, chunks))


class ForgetsAttributes(_WriteStream):
    """Keeps no attributes, and says that it does."""


class KeepsStreamHalves(_WriteStream):
    def content(self, key: str, chunks: Iterable[Buffer]) -> bytes:
        whole = b""
        for chunk in chunks:
            whole += bytes(chunk)
            self.write([(key, whole)])
        return whole


class KeepsStreamChunks(_WriteStream):
    def content(self, key: str, chunks: Iterable[Buffer]) -> bytes:
        return b"".join(map(bytes, [*chunks]))


class OverwritesStreams(MemoryStore):
    """Heeds create_only of a stream no more than that of a race."""

    def write_stream(
        self,
        key: str,
        chunks: Iterable[Buffer],
        *,
        create_only: bool = False,
        attributes: Attributes | None = None,
    ) -> bool:
        return super().write_stream(key, chunks, attributes=attributes)


class LooksFirstForStreams(OverwritesStreams):
    """Looks whether the key is free before it takes the chunks."""

    def write_stream(
        self,
        key: str,
        chunks: Iterable[Buffer],
        *,
        create_only: bool = False,
        attributes: Attributes | None = None,
    ) -> bool:
        if create_only and self.exists([key])[0]:
            return False
        return super().write_stream(key, chunks, attributes=attributes)


class KeepsAttributes(MemoryStore):
    """Keeps the attributes of an object for the one that replaces it."""

    def _write(
        self,
        key: str,
        content: bytes,
        create_only: bool,
        attributes: Attributes | None = None,
    ) -> bool:
        old = self._objects.get(key)
        return super()._write(
            key, content, create_only, attributes or (old.attributes if old else None)
        )


class DescribesWhatIsThere(MemoryStore):
    """Leaves out what is missing."""

    def describe(self, keys: Sequence[str]) -> Iterator[ObjectInfo | None]:
        return (info for info in super().describe(keys) if info)


# --- of many ------------------------------------------------------------------------------------


class ReadsEachOnce(MemoryStore):
    """Puts what it fetches into a dict."""

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        return super().read([*dict.fromkeys(keys)])


class ShortRanges(MemoryStore):
    """Gives as much of a range as one answer holds."""

    def read_range(self, key: str, offset: int, length: int) -> bytes | None:
        return super().read_range(key, offset, min(length, 1 << 20))


class ThousandFolders(MemoryStore):
    """Looks at the first page for folders."""

    def folders(self, prefix: str = "") -> list[str]:  # type: ignore[valid-type, unused-ignore]
        return super().folders(prefix)[:1000]


class QuotesFolders(MemoryStore):
    """Gives folders as a URL has them."""

    def folders(self, prefix: str = "") -> list[str]:  # type: ignore[valid-type, unused-ignore]
        return [quote(name) for name in super().folders(prefix)]


class ReplacesFolders(MemoryStore):
    """Makes room for an object where there is a folder."""

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        listed = [*items]
        self.delete([o.key for key, _ in listed for o in self.list(f"{key}/")])
        return super().write(listed, create_only=create_only)


# --- in files, for what happens when a process dies -------------------------------------------


class Files:
    """A careless store: it writes each file at its place."""

    capabilities = StoreCapabilities()

    def __init__(self, root: str) -> None:
        self.root = root
        os.makedirs(root, exist_ok=True)

    @property
    def url(self) -> str:
        return f"files://{self.root}"

    def _path(self, key: str) -> str:
        return os.path.join(self.root, quote(key, safe=""))

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        for key in keys:
            try:
                yield Path(self._path(key)).read_bytes()
            except FileNotFoundError:
                yield None

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        written = []
        for key, content in items:
            try:
                with open(self._path(key), "xb" if create_only else "wb", 0) as file:
                    whole = memoryview(bytes(content))
                    for start in range(0, len(whole), 1 << 14):
                        file.write(whole[start : start + (1 << 14)])
                        time.sleep(0.001)  # so that it dies here, and not between two objects
                written.append(True)
            except FileExistsError:
                written.append(False)
        return written

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        with open(self._path("half"), "wb", 0) as file:
            file.writelines(chunks)
        os.replace(self._path("half"), self._path(key()))
        return True

    def exists(self, keys: Sequence[str]) -> list[bool]:
        return [os.path.exists(self._path(key)) for key in keys]

    def size(self, key: str) -> int | None:
        return os.stat(self._path(key)).st_size if self.exists([key])[0] else None

    def folders(self, prefix: str = "") -> list[str]:
        return sorted({o.key[len(prefix) :].partition("/")[0] for o in self.list(prefix)})

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        for key in sorted(map(unquote, os.listdir(self.root))):
            if key.startswith(prefix):
                found = os.stat(self._path(key))
                yield StoredObject(key, found.st_size, found.st_mtime)

    def delete(self, keys: Iterable[str], *, older_than: float | None = None) -> None:
        for key in keys:
            os.unlink(self._path(key))

    def refresh(self, key: str, age: float = 300.0) -> bool:
        return self.exists([key])[0]

    def local_path(self, key: str) -> str | None:
        return None


class StreamedFiles(Files):
    """Writes streams at their place, and reads them in one piece."""

    def stream(self, key: str) -> Iterator[Buffer] | None:
        (content,) = self.read([key])
        return None if content is None else iter([content])

    def write_stream(self, key: str, chunks: Iterable[Buffer], **more: Any) -> bool:
        with open(self._path(key), "wb", 0) as file:
            file.writelines(chunks)
        return True


class LooksFirstFiles(Files):
    """Looks whether a key is free, and writes later."""

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        listed = [*items]
        free = [not (create_only and self.exists([key])[0]) for key, _ in listed]
        time.sleep(0.1)
        super().write([item for item, isfree in zip(listed, free, strict=True) if isfree])
        return free


class OfOneProcess(Files):
    """Cannot be used by a child of the process that made it."""

    def __init__(self, root: str) -> None:
        super().__init__(root)
        self._owner = os.getpid()

    def _path(self, key: str) -> str:
        if os.getpid() != self._owner:
            raise StoreError("The connection is that of another process")
        return super()._path(key)


class OtherPlace(Files):
    """Is called by a name under which others find something else."""

    @property
    def url(self) -> str:
        return f"files://{self.root}-of-{os.getpid()}"


class Mapped(Files):
    """Has files that can be mapped, and changes them in place."""

    capabilities = StoreCapabilities(mappable=True)

    def local_path(self, key: str) -> str | None:
        return self._path(key)


class MappedElsewhere(Mapped):
    """Gives the path of another file."""

    def local_path(self, key: str) -> str | None:
        return self._path(key) + ".copy"


class CollectsItems(Files):
    """Writes the items of a call into one file first, and never looks for what is left of it."""

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        with open(self._path("journal"), "wb", 0) as file:
            kept = []
            for key, content in items:
                file.write(bytes(content))
                kept.append((key, content))
        os.unlink(self._path("journal"))
        return super().write(kept, create_only=create_only)


FETCHER = """
import hashlib, io, os
def open(config):
    def read(key):
        name = hashlib.sha256(key.encode()).hexdigest()
        try:
            with io.open(os.path.join(config["root"], name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None
    return read
"""


class ReadBare(Files):
    """Can be read without flow-core."""

    fetcher = FETCHER

    def _path(self, key: str) -> str:
        return os.path.join(self.root, hashlib.sha256(key.encode()).hexdigest())

    def bootstrap(self) -> Bootstrap:
        return Bootstrap(self.fetcher, {"root": self.root})


class EmptyIsMissing(ReadBare):
    """Takes an empty object for a missing one, where there is no flow-core."""

    fetcher = FETCHER.replace("file.read()", "file.read() or None")


class MissingIsEmpty(ReadBare):
    fetcher = FETCHER.replace("return None", "return b''")


class ReadsTheBeginning(ReadBare):
    fetcher = FETCHER.replace("file.read()", "file.read(1 << 20)")


class OtherKeys(ReadBare):
    fetcher = FETCHER.replace("key.encode()", "key.replace('\\\\', '/').encode()")


class OneThread(ReadBare):
    """Reads for the thread that opened it, and nothing for others."""

    fetcher = FETCHER.replace(
        "    def read(key):",
        "    import threading\n    mine = threading.get_ident()\n    def read(key):\n"
        "        if threading.get_ident() != mine: return None",
    )


class NeedsUs(ReadBare):
    fetcher = f"import sys\nsys.path.append({str(SOURCES)!r})\nimport flow_core\n{FETCHER}"


class TellsSecrets(ReadBare):
    """Sends a variable of the person along."""

    def bootstrap(self) -> Bootstrap:
        secret = os.environ["SUITE_TEST_PASSWORD"] = "correct horse"
        return Bootstrap(FETCHER, {"root": self.root, "password": secret})


BROKEN: list[tuple[type[Any], str]] = [
    (Forgetful, "test_create_only_keeps_the_first"),
    (Forgetful, "test_create_only_answers_for_each_item"),
    (Tombstones, "test_create_only_after_delete"),
    (Forgetful, "test_threads_race_for_a_key"),
    (LooksFirst, "test_threads_race_for_a_key"),
    (TakesKeyFirst, "test_who_loses_a_race_reads_what_the_winner_wrote"),
    (TwoParts, "test_reader_never_sees_half_an_object"),
    (TwoParts, "test_reader_sees_what_comes_and_goes_whole_or_not_at_all"),
    (TakesKeyFirst, "test_reader_sees_what_comes_and_goes_whole_or_not_at_all"),
    (AllAtTheEnd, "test_create_only_answers_for_each_item"),
    (ReadsSorted, "test_read_keeps_the_order"),
    (NothingIsEmpty, "test_missing_is_none"),
    (EmptyIsNothing, "test_empty_object"),
    (RangeFromTheEnd, "test_negative_range_is_refused"),
    (RangeToTheEnd, "test_read_range"),
    (Unsorted, "test_list_is_sorted_by_key"),
    (FirstPage, "test_list_while_writing"),
    (WholeParts, "test_prefix_need_not_end_at_a_slash"),
    (DeepFolders, "test_folders_are_one_level"),
    (Normalises, "test_odd_key"),
    (Strips, "test_odd_key"),
    (Strips, "test_similar_keys_are_different"),
    (GoesUp, "test_invalid_key_is_refused"),
    (GoesUp, "test_refused_key_among_others"),
    (RemembersBuffers, "test_content_is_taken_at_the_call"),
    (KeepsHalves, "test_failure_between_chunks_leaves_nothing"),
    (KeepsHalves, "test_system_error_of_the_chunks_passes_unchanged"),
    (AsksTooEarly, "test_key_is_asked_when_the_chunks_are_used_up"),
    (TakesErrorsForItsOwn, "test_system_error_of_the_chunks_passes_unchanged"),
    (AlwaysNew, "test_content_that_exists_is_not_written_again"),
    (KeepsChunks, "test_chunk_buffer_may_be_used_again"),
    (CaresForMissing, "test_delete_of_missing_is_no_error"),
    (CaresForMissing, "test_threads_delete_the_same_objects"),
    (DeletesBelow, "test_deleting_a_folder_deletes_nothing"),
    (DeletesYoung, "test_delete_of_what_is_old"),
    (NeverRefreshes, "test_refresh"),
    (RefreshesWhatIsGone, "test_refresh_of_what_is_missing"),
    (PromisesFiles, "test_no_local_path_unless_mappable"),
    (HasNoScheme, "test_url_has_a_scheme"),
    (ListsWithoutLock, "test_list_while_others_write_and_delete"),
    (LeavesThreads, "test_round_trip"),
    (LeavesFiles, "test_round_trip"),
    (TextOnly, "test_all_byte_values"),
    (Cuts, "test_large_object"),
    (TakesBytesOnly, "test_kinds_of_buffer"),
    (CountsItems, "test_wide_memoryview_counts_bytes"),
    (CountsItems, "test_wide_chunks_count_bytes"),
    (LooksBehind, "test_strided_memoryview"),
    (KeepsTail, "test_overwrite"),
    (GoesTwice, "test_many_in_one_call"),
    (WantsSomething, "test_no_items"),
    (FirstItemWins, "test_later_item_of_a_call_wins"),
    (LosesUpdates, "test_threads_write_different_keys"),
    (RefusesNothing, "test_content_without_chunks"),
    (FirstChunks, "test_content_of_many_kinds_and_sizes"),
    (KeepsWithoutKey, "test_failure_of_the_key_leaves_nothing"),
    (FoldersExist, "test_folder_is_no_object"),
    (EmptyRange, "test_read_range_of_missing_is_none"),
    (SizeOfNothing, "test_exists_and_size"),
    (ListsNoNothing, "test_list_of_nothing"),
    (Milliseconds, "test_list_tells_size_and_time"),
    (PagesByNumber, "test_list_while_deleting"),
    (NaturalOrder, "test_numbers_are_sorted_as_text"),
    (DeletesFirst, "test_delete"),
    (RemembersFolders, "test_emptied_folder_disappears"),
    (LooksThenDeletes, "test_a_refreshed_object_survives_its_deletion_at_the_same_time"),
    (Files, "test_threads_write_the_same_content"),
    (Files, "test_processes_write_the_same_content"),
    (LooksFirstFiles, "test_processes_race_for_a_key"),
    (OfOneProcess, "test_use_in_a_forked_child"),
    (OtherPlace, "test_url_opens_the_same_store"),
    (Mapped, "test_mapped_object_survives_its_replacement"),
    (MappedElsewhere, "test_local_path_holds_the_object"),
    (MappedElsewhere, "test_logs_are_appended_at_the_local_path"),
    (Files, "test_killed_in_the_middle_of_a_content"),
    (Files, "test_killed_while_overwriting"),
    (Files, "test_killed_while_creating"),
    (StaysLocked, "test_write_again_after_a_failure"),
    (StreamsNoEnd, "test_stream_gives_back_what_a_stream_wrote"),
    (StreamsNothing, "test_stream_of_missing_is_none"),
    (StreamedFiles, "test_stream_has_bounded_pieces"),
    (StreamedFiles, "test_killed_in_the_middle_of_a_stream"),
    (OverwritesStreams, "test_stream_create_only_keeps_the_first"),
    (LooksFirstForStreams, "test_threads_race_for_a_key_with_streams"),
    (KeepsStreamHalves, "test_failure_between_chunks_of_a_stream_keeps_what_was_there"),
    (KeepsStreamChunks, "test_chunk_of_a_stream_may_be_used_again"),
    (StreamsOutOfOrder, "test_large_stream_comes_back_whole"),
    (StreamsByRange, "test_stream_never_mixes_two_versions"),
    (StreamsByRange, "test_streams_are_read_while_others_replace_the_object"),
    (StreamsThread, "test_stream_may_be_left_before_its_end"),
    (DescribesWhatIsThere, "test_describe"),
    (ForgetsAttributes, "test_attributes_are_kept_or_refused"),
    (KeepsAttributes, "test_attributes_go_with_their_content"),
    (ReadsEachOnce, "test_many_keys_with_missing_ones_among_them"),
    (ShortRanges, "test_large_range_over_the_end"),
    (Normalises, "test_forms_of_unicode_are_different_keys"),
    (ReplacesFolders, "test_key_below_another_one"),
    (ThousandFolders, "test_more_than_a_page"),
    (QuotesFolders, "test_folders_of_odd_names"),
    (EmptyIsMissing, "test_bare_python_reads_objects"),
    (MissingIsEmpty, "test_bare_python_reads_objects"),
    (ReadsTheBeginning, "test_bare_python_reads_objects"),
    (OtherKeys, "test_bare_python_reads_objects"),
    (OneThread, "test_bare_python_reads_objects"),
    (NeedsUs, "test_bare_python_reads_objects"),
    (TellsSecrets, "test_bootstrap_is_plain_data"),
    (CollectsItems, "test_killed_between_items"),
    (CollectsItems, "test_failure_between_items_leaves_whole_objects"),
]


def suite(make: Callable[[Path], Any], **more: Any) -> type[StoreSuite]:
    """Return the suite for a store."""

    class TestIt(StoreSuite):
        @pytest.fixture
        def store(self, tmp_path: Path) -> Any:
            return make(tmp_path)

        def reopen(self, store: Store) -> Store:
            return store

    for name, value in more.items():
        setattr(TestIt, name, value)
    return TestIt


def suite_of(store: type[Any]) -> type[StoreSuite]:
    if issubclass(store, Files):
        reopened = {"reopen": StoreSuite.reopen} if store is OtherPlace else {}
        return suite(lambda path: store(str(path / "store")), **reopened)
    return suite(lambda _: store(), in_process=True)


@pytest.mark.parametrize(("store", "case"), BROKEN)
def test_it_finds(store: type[Any], case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUITE_TEST_PASSWORD", "")
    found = failures(suite_of(store), case)
    assert {name.partition("[")[0] for name in found} == {case}


def test_it_passes_what_can_be_read_without_flow_core() -> None:
    cases = ("test_bare_python_reads_objects", "test_bootstrap_is_plain_data")
    assert not failures(suite_of(ReadBare), *cases)


@pytest.mark.parametrize("case", ["write", "create_only", "write_content"])
@pytest.mark.parametrize(
    ("error", "found"),
    [
        (None, False),
        (StoreError("It is full"), True),
        (OSError(28, "No space left on device"), True),
    ],
)
def test_it_finds_what_does_not_explain_itself(
    case: str, error: Exception | None, found: bool
) -> None:
    def unwritable(self: Any, tmp_path: Path) -> Store:
        store = FaultyStore(MemoryStore())
        store.fail("*", error=error, times=None)
        return store

    made = suite(lambda _: MemoryStore(), in_process=True, unwritable=unwritable)
    failed = failures(made, "test_place_that_cannot_be_written")
    assert (f"test_place_that_cannot_be_written[{case}]" in failed) is found


def test_it_has_many_cases_and_each_finds_something() -> None:
    cases = {name for name in dir(StoreSuite) if name.startswith("test_")}
    assert len(cases) >= 60, "tests, each counted once whatever its parameters"
    assert cases - {case for _, case in BROKEN} == {"test_place_that_cannot_be_written"}  # below
