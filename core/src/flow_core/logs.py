"""The logs of attempts in the store: where they lie, and when their lines were written."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

from flow_core.errors import IntegrityError
from flow_core.live_logs import LogRecord, decode_piece, pieces_prefix
from flow_core.records import AttemptRecord, attempt_prefix, check_format

if TYPE_CHECKING:
    from flow_core.interfaces import Store
    from flow_core.manifests import ManifestReader

STREAMS = ("stdout", "stderr")
"""Names of the two logs of an attempt, below its `attempt_prefix`."""

_LOGS = "logs"
_FORMAT = 1

Times = Sequence[tuple[int, float]]
"""Times of a log: that it had so many bytes at such a time, in seconds since the epoch; both grow."""


def home_of_logs(
    store: Store, manifests: ManifestReader, record: AttemptRecord
) -> tuple[str, str | None]:
    """Return below what the logs of an attempt lie, and, for a reused one, which attempt wrote them.

    A reused task wrote nothing: its logs are where it really ran, maybe some runs back. Or they are
    its own by now: when the run where it ran is removed, they are copied.

    Args:
        store: where they lie.
        manifests: what reads manifests there.
        record: the attempt.

    Returns:
        a prefix of keys, and ``Flow/run/step/task/attempt`` or None.

    Since 0.1.
    """
    prefix, origin = attempt_prefix(*record[:5]), record.origin
    named = origin
    while origin and not any(store.exists([prefix + name for name in (_LOGS, *STREAMS)])):
        flow, run, step, task, attempt = origin.split("/")
        place, named = (flow, run, step, int(task), int(attempt)), origin
        prefix = attempt_prefix(*place)
        manifest = manifests.one(*place)
        origin = manifest.origin if manifest is not None else None
    return prefix, named


def times_key(key: str) -> str:
    """Return where the times of the log with this key lie, if its provider has kept them."""
    return key + ".times"


def encode_times(times: Times) -> bytes:
    """Return the stored form of times. Since 0.1."""
    return json.dumps(_rounded(times)).encode()


def _rounded(times: Times) -> list[tuple[int, float]]:
    return [(size, round(at, 3)) for size, at in times]


def read_times(store: Store, key: str) -> Times:
    """Return the times of the log with this key; empty where none were kept. Since 0.1."""
    content = next(iter(store.read([times_key(key)])))
    return [(int(size), float(at)) for size, at in json.loads(content)] if content else []


def time_of_byte(times: Times, position: int) -> float | None:
    """Return when a log had ``position`` bytes, as far as its times tell; None = later. Since 0.1."""
    found = bisect_left(times, position, key=lambda one: one[0])
    return times[found][1] if found < len(times) else None


class AttemptLogs:
    """The logs of one attempt in a store, and the times of their lines.

    Each is an object. Where objects cost requests both may lie in one (`joined_logs`), which is read
    once, at first use; and such a run may have moved to any store since. Of a task on another machine
    that still runs, or was killed, pieces are read instead (`flow_core.live_logs`).

    Args:
        store: where they lie.
        prefix: below what, as from `home_of_logs`.

    Since 0.1.
    """

    def __init__(self, store: Store, prefix: str) -> None:
        self._store = store
        self._prefix = prefix

    @cached_property
    def _joined(self) -> Mapping[str, tuple[bytes, Times]]:
        content = next(iter(self._store.read([self._prefix + _LOGS])))
        return {} if content is None else _part(content, self._prefix + _LOGS)

    def load(self) -> AttemptLogs:
        """Read what is read at once anyway: for many attempts at the same time. Return itself."""
        _ = self._joined
        return self

    def _pieces(self, stream: str) -> list[LogRecord]:
        return [record for record in self._told if record.kind == stream]

    @cached_property
    def _told(self) -> list[LogRecord]:
        """What a task on another machine, which still runs or was killed, has told so far."""
        prefix = pieces_prefix(self._prefix)
        found = {int(o.key.rpartition("/")[2]): o.key for o in self._store.list(prefix)}
        keys = [found[number] for number in sorted(found)]
        contents = zip(keys, self._store.read(keys), strict=True)
        return [r for key, content in contents for r in decode_piece(content or b"", key)]

    def size(self, stream: str) -> int:
        """Return the length of ``stdout`` or ``stderr`` in bytes."""
        if self._joined:
            return len(self._joined[stream][0])
        size = self._store.size(self._prefix + stream)
        return size if size is not None else sum(len(r.data) for r in self._pieces(stream))

    def read(self, stream: str, offset: int = 0, length: int | None = None) -> bytes:
        """Return a part of ``stdout`` or ``stderr``; None for ``length`` = up to the end."""
        if self._joined:
            content = self._joined[stream][0]
            return content[offset : None if length is None else offset + length]
        if length is not None:
            part = self._store.read_range(self._prefix + stream, offset, length)
        else:
            whole = next(iter(self._store.read([self._prefix + stream])))
            part = whole[offset:] if whole is not None else None
        if part is not None:
            return part
        told = b"".join(record.data for record in self._pieces(stream))
        return told[offset : None if length is None else offset + length]

    def times(self, stream: str) -> Times:
        """Return the times of ``stdout`` or ``stderr``; empty where none were kept."""
        if self._joined:
            return self._joined[stream][1]
        times = read_times(self._store, self._prefix + stream)
        if times or self._store.exists([self._prefix + stream])[0]:
            return times
        pieces = self._pieces(stream)
        sizes = accumulate(len(record.data) for record in pieces)
        return [(size, record.at) for size, record in zip(sizes, pieces, strict=True)]

    def replace(self, stream: str, content: bytes) -> None:
        """Put other content in the place of ``stdout`` or ``stderr``, without times."""
        if self._joined:
            self._joined = {**self._joined, stream: (content, ())}
            self._store.write([joined_logs(self._prefix, self._joined)])
        else:
            self._store.write([(self._prefix + stream, content)])
            self._store.delete([times_key(self._prefix + stream)])


def joined_logs(prefix: str, logs: Mapping[str, tuple[bytes, Times]]) -> tuple[str, bytes]:
    """Return key and content of the one object with the logs of an attempt.

    They must be short, since they are read as a whole. The object has a line of JSON, which tells
    sizes and times, and then the contents.

    Args:
        prefix: the `attempt_prefix`.
        logs: stream → content, and its times.

    Since 0.1.
    """
    table = {name: [len(content), _rounded(times)] for name, (content, times) in logs.items()}
    head = json.dumps({"format": _FORMAT, "logs": table}, separators=(",", ":")).encode()
    return prefix + _LOGS, b"".join([head, b"\n", *(content for content, _ in logs.values())])


def _part(stored: bytes, key: str) -> dict[str, tuple[bytes, Times]]:
    """Undo `joined_logs`."""
    head, _, body = stored.partition(b"\n")
    try:
        data = json.loads(head)
        check_format(data, "log", key)
        found: dict[str, tuple[bytes, Times]] = dict.fromkeys(STREAMS, (b"", ()))
        for name, (size, times) in data["logs"].items():
            found[name], body = (body[:size], [(int(n), float(at)) for n, at in times]), body[size:]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise IntegrityError(
            "The logs of a task are damaged",
            where=key,
            why="their first line does not tell how long they are",
            hint="restore the object from a copy; the results of the task are not concerned",
        ) from None
    return found
