"""A store that fails, tears, delays and loses what a test tells it to: `FaultyStore`."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Literal

from flow_core.errors import StoreError, UsageError, did_you_mean
from flow_core.interfaces import (
    REFRESH_AGE,
    Attributes,
    Buffer,
    ObjectInfo,
    Store,
    StoreCapabilities,
    StoredObject,
)

OPERATIONS = (
    "delete",
    "describe",
    "exists",
    "folders",
    "list",
    "read",
    "read_range",
    "refresh",
    "size",
    "stream",
    "write",
    "write_content",
    "write_stream",
)
"""The names of all operations of a store that can be told to fail."""

_TEARABLE = ("list", "read", "read_range", "stream", "write", "write_content", "write_stream")
_HOW = Literal["fail", "lose", "tear", "during"]


@dataclass
class _Fault:
    """What is to happen, and how often still."""

    how: _HOW
    operation: str
    key: str
    after: int
    times: int | None
    act: Callable[[], None]
    keep: float = 0.0

    def fits(self, operation: str, key: str) -> bool:
        """Whether it is meant for this use; counts it."""
        if self.operation not in (operation, "*") or not fnmatchcase(key, self.key):
            return False
        if self.after > 0:
            self.after -= 1
            return False
        if self.times is None:
            return True
        self.times -= 1
        return self.times >= 0


class FaultyStore:
    """A store in front of another one, which goes wrong when and where a test says so.

        store = FaultyStore(MemoryStore())
        store.fail("write", "runs/*/manifest", times=2)
        outcome = flowtester.run(flow, providers={("store", "local"): store})

    Without faults it is as good as the store behind it. What reads through `local_path` would
    pass it by, so that it gives none. Its faults are those of this process and of those that it
    forks from now on; a process that opens the URL gets the store behind.

    All four kinds of faults take the same arguments:

    * ``operation``: the name of the method, or ``"*"`` for all;
    * ``key``: a pattern for the key, or for the prefix of ``list`` and ``folders``. Of many keys in
      one call each is looked at by itself: those before the fault are done, those behind are not;
    * ``after``: how many such uses go well before;
    * ``times``: how many go wrong then; None = all.

    Args:
        behind: the store that keeps the content.

    Attributes:
        behind: the same.
        calls: all uses so far, as (operation, key), those that went wrong as well.

    Since 0.1.
    """

    def __init__(self, behind: Store) -> None:
        self.behind = behind
        self.capabilities: StoreCapabilities = behind.capabilities._replace(mappable=False)
        self.calls: list[tuple[str, str]] = []
        self._faults: list[_Fault] = []
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """The URL of the store behind."""
        return self.behind.url

    # --- what goes wrong --------------------------------------------------------------------

    def fail(
        self,
        operation: str,
        key: str = "*",
        *,
        error: BaseException | None = None,
        after: int = 0,
        times: int | None = 1,
    ) -> None:
        """Raise ``error`` instead of doing it; by default a `StoreError`, as of a broken network."""
        self._add("fail", operation, key, after, times, _raising(operation, error))

    def lose(
        self,
        operation: str,
        key: str = "*",
        *,
        error: BaseException | None = None,
        after: int = 0,
        times: int | None = 1,
    ) -> None:
        """Do it, and raise ``error`` all the same: the answer is lost, who asked does not know."""
        self._add("lose", operation, key, after, times, _raising(operation, error))

    def tear(
        self,
        operation: str,
        key: str = "*",
        *,
        keep: float = 0.5,
        error: BaseException | None = None,
        after: int = 0,
        times: int | None = 1,
    ) -> None:
        """Do a part of it: ``keep`` of the content, between 0 and 1.

        A write leaves a torn object and raises ``error``, as a store does that does not keep its
        promise; ``list`` raises it after a part of the objects. What is read is silently too
        short.
        """
        if operation not in _TEARABLE:
            raise UsageError(
                f"'{operation}' cannot be torn",
                where="FaultyStore.tear",
                hint=did_you_mean(operation, _TEARABLE) or f"one of: {', '.join(_TEARABLE)}",
            )
        self._add("tear", operation, key, after, times, _raising(operation, error), keep)

    def delay(
        self,
        operation: str,
        key: str = "*",
        *,
        seconds: float,
        after: int = 0,
        times: int | None = 1,
    ) -> None:
        """Wait before doing it."""
        self.during(operation, lambda: time.sleep(seconds), key, after=after, times=times)

    def during(
        self,
        operation: str,
        act: Callable[[], Any],
        key: str = "*",
        *,
        after: int = 0,
        times: int | None = 1,
    ) -> None:
        """Call ``act`` right before doing it: somebody else comes in between.

        It may use this store too: by then the fault is used up, unless ``times`` says otherwise.
        """
        self._add("during", operation, key, after, times, act)

    def heal(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._faults.clear()

    def count(self, operation: str, key: str = "*") -> int:
        """Return how often an operation was used with keys of this pattern."""
        with self._lock:
            return sum(op == operation and fnmatchcase(k, key) for op, k in self.calls)

    # --- the store --------------------------------------------------------------------------

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        """Yield the content of each key, in order; None where there is none."""
        for key in keys:
            with self._used("read", key) as use:
                (content,) = self.behind.read([key])
            yield use.part_of(content)

    def read_range(self, key: str, offset: int, length: int) -> bytes | None:
        """Return up to ``length`` bytes from ``offset``; None when the key is missing."""
        with self._used("read_range", key) as use:
            return use.part_of(self.behind.read_range(key, offset, length))

    def stream(self, key: str) -> Iterator[Buffer] | None:
        """Return the content in pieces; None when the key is missing."""
        with self._used("stream", key) as use:
            pieces = self.behind.stream(key)
        return pieces if pieces is None or not use.torn else use.start_of(pieces)

    def describe(self, keys: Sequence[str]) -> Iterator[ObjectInfo | None]:
        """Yield what the store tells of each object, in order; None where there is none."""
        for key in keys:
            with self._used("describe", key):
                (found,) = self.behind.describe([key])
            yield found

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        """Write each (key, content); say for each whether it was written."""
        written: list[bool] = []
        for key, content in items:
            with self._used("write", key) as use:
                if use.torn:
                    content = use.part_of(bytes(content)) or b""
                written += self.behind.write([(key, content)], create_only=create_only)
        return written

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        """Write one object whose key is known only when ``chunks`` is used up."""
        # Its faults are found by its key, so that all of it is taken first.
        content = b"".join([bytes(chunk) for chunk in chunks])
        name = key()
        with self._used("write_content", name) as use:
            if use.torn:
                self.behind.write([(name, use.part_of(content) or b"")])
                return True
            return self.behind.write_content([content], lambda: name)

    def write_stream(
        self,
        key: str,
        chunks: Iterable[Buffer],
        *,
        create_only: bool = False,
        attributes: Attributes | None = None,
    ) -> bool:
        """Write one object of any size; say whether it was written."""
        with self._used("write_stream", key) as use:
            if use.torn:
                chunks = use.start_of(chunks)
            return self.behind.write_stream(
                key, chunks, create_only=create_only, attributes=attributes
            )

    def exists(self, keys: Sequence[str]) -> list[bool]:
        """Say for each key whether it exists."""
        found: list[bool] = []
        for key in keys:
            with self._used("exists", key):
                found += self.behind.exists([key])
        return found

    def size(self, key: str) -> int | None:
        """Return the size of an object in bytes; None when it is missing."""
        with self._used("size", key):
            return self.behind.size(key)

    def folders(self, prefix: str = "") -> list[str]:
        """Return the distinct next parts of keys below ``prefix``, sorted."""
        with self._used("folders", prefix):
            return self.behind.folders(prefix)

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield all objects whose key starts with ``prefix``, sorted by key."""
        with self._used("list", prefix) as use:
            if not use.torn:
                yield from self.behind.list(prefix)
                return
            found = [*self.behind.list(prefix)]
            yield from found[: int(len(found) * use.keep)]

    def delete(self, keys: Iterable[str], *, older_than: float | None = None) -> None:
        """Delete objects; missing ones are no error."""
        for key in keys:
            with self._used("delete", key):
                self.behind.delete([key], older_than=older_than)

    def refresh(self, key: str, age: float = REFRESH_AGE) -> bool:
        """Say whether an object exists, and let it count as changed now if it is old."""
        with self._used("refresh", key):
            return self.behind.refresh(key, age)

    def local_path(self, key: str) -> str | None:
        """Return None: what is read there would come from the store behind."""
        self.behind.local_path(key)  # it may refuse the key
        return None

    # --- parts ------------------------------------------------------------------------------

    def _add(
        self,
        how: _HOW,
        operation: str,
        key: str,
        after: int,
        times: int | None,
        act: Callable[[], Any],
        keep: float = 0.0,
    ) -> None:
        if operation not in (*OPERATIONS, "*"):
            raise UsageError(
                f"A store has no operation '{operation}'",
                where=f"FaultyStore.{how}",
                hint=did_you_mean(operation, OPERATIONS)
                or f"one of: {', '.join(OPERATIONS)}, or '*'",
            )
        with self._lock:
            self._faults.append(_Fault(how, operation, key, after, times, act, keep))

    def _used(self, operation: str, key: str) -> _Use:
        """Note a use; return what goes wrong with it."""
        with self._lock:
            self.calls.append((operation, key))
            fitting = [f for f in self._faults if f.fits(operation, key)]
        return _Use(operation, fitting)


class _Use:
    """One use of the store: what happens before and after it."""

    def __init__(self, operation: str, faults: Sequence[_Fault]) -> None:
        self.operation = operation
        self._faults = faults
        self._tears = [f for f in faults if f.how == "tear"]

    @property
    def torn(self) -> bool:
        """Whether only a part is to be done."""
        return bool(self._tears)

    @property
    def keep(self) -> float:
        """How much of it."""
        return min((f.keep for f in self._tears), default=1.0)

    def part_of(self, content: bytes | None) -> bytes | None:
        """Return what is left of some content."""
        if content is None or not self.torn:
            return content
        return content[: int(len(content) * self.keep)]

    def start_of(self, pieces: Iterable[Buffer]) -> Iterator[Buffer]:
        """Yield what is left of some content in pieces."""
        yield self.part_of(b"".join([bytes(piece) for piece in pieces])) or b""

    def __enter__(self) -> _Use:
        for fault in self._faults:
            if fault.how in ("during", "fail"):
                fault.act()
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None:
            return
        for fault in self._faults:
            read = fault.how == "tear" and self.operation in ("read", "read_range", "stream")
            if fault.how in ("lose", "tear") and not read:
                fault.act()


def _raising(operation: str, error: BaseException | None) -> Callable[[], None]:
    def act() -> None:
        raise error if error is not None else _silent(operation)

    return act


def _silent(operation: str) -> StoreError:
    return StoreError(
        "The store does not answer",
        where=f"FaultyStore, {operation}",
        why="the test told it so",
        hint="heal() makes it well again",
    )
