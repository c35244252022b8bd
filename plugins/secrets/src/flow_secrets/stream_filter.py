"""A filter that replaces secrets in a stream of bytes by ``***``.

It is also a program of its own, that stands between a task and its logs:
``python -I -S stream_filter.py TASK OUT ERR`` copies the descriptors OUT and ERR to its standard output
and standard error until the process TASK is gone. Its standard input is a socket: first come the hidden
texts, separated by NUL, behind their length (eight bytes); to each further byte it answers with one,
when it has written all there is. It imports little, since its task waits for it.
"""

import os
import select
import sys

MASK = b"***"
LENGTH = 8
_LOOK = 100  # milliseconds between looks whether the task still lives
_CHUNK = 1 << 16


class Filter:
    """Replaces texts in a stream, also when they come in pieces.

    What may be the beginning of a hidden text is held back until it is known whether it is.

    Args:
        hidden: what to replace; none of them empty.
    """

    def __init__(self, hidden: list[bytes]) -> None:
        self._hidden = sorted(set(hidden), key=len, reverse=True)
        self._held = b""
        self._covered = 0  # so many bytes of `_held` belong to what is replaced already

    def feed(self, data: bytes) -> bytes:
        """Take more of the stream; return what can be shown."""
        buffer = self._held + data
        return self._show(buffer, self._uncertain(buffer))

    def end(self) -> bytes:
        """Return what was held back: the stream has ended."""
        return self._show(self._held, len(self._held))

    def _show(self, buffer: bytes, limit: int) -> bytes:
        """Return ``buffer`` up to ``limit`` with hidden texts replaced, and hold the rest back."""
        shown: list[bytes] = []
        position = covered = 0
        for start, stop in self._spans(buffer):
            goes_on = start == 0 and self._covered > 0
            if start >= limit and not goes_on:
                break
            shown.append(buffer[position:start])
            if not goes_on:
                shown.append(MASK)
            position = min(stop, limit)
            covered = stop - position
        shown.append(buffer[position:limit])
        self._held, self._covered = buffer[limit:], covered
        return b"".join(shown)

    def _spans(self, buffer: bytes) -> list[tuple[int, int]]:
        """Return where hidden texts are, in order; overlapping ones as one."""
        found = [(0, self._covered)] if self._covered else []
        for text in self._hidden:
            at = buffer.find(text)
            while at >= 0:
                found.append((at, at + len(text)))
                at = buffer.find(text, at + 1)
        spans: list[tuple[int, int]] = []
        for start, stop in sorted(found):
            if spans and start < spans[-1][1]:
                spans[-1] = (spans[-1][0], max(stop, spans[-1][1]))
            else:
                spans.append((start, stop))
        return spans

    def _uncertain(self, buffer: bytes) -> int:
        """Return from where on the end of ``buffer`` may be the beginning of a hidden text."""
        first = len(buffer)
        for text in self._hidden:
            at = buffer.find(text[:1], max(0, len(buffer) - len(text) + 1), first)
            while at >= 0:
                if text.startswith(buffer[at:]):
                    first = at
                    break
                at = buffer.find(text[:1], at + 1, first)
        return first


class Copier:
    """Copies the output of a task to its logs, through filters.

    Args:
        task: id of the process.
        ways: where to read and where to write.
        hidden: what to replace.
    """

    def __init__(self, task: int, ways: dict[int, int], hidden: list[bytes]) -> None:
        self._task = task
        self._ways = ways
        self._filters = {source: Filter(hidden) for source in ways}
        self._poll = select.poll()
        for descriptor in (0, *ways):
            self._poll.register(descriptor, select.POLLIN)

    def run(self) -> None:
        """Copy until both sources have ended, or the task has and nothing is left in them."""
        while self._filters:
            ready = [descriptor for descriptor, _ in self._poll.poll(_LOOK)]
            if not ready and _is_gone(self._task):
                break
            for source in ready:
                if source:
                    self._copy(source)
            if 0 in ready and not any(ready):
                self._answer()
        self._finish()

    def _copy(self, source: int) -> None:
        one = self._filters[source]
        data = os.read(source, _CHUNK)
        _write(self._ways[source], one.feed(data) if data else one.end())
        if not data:
            self._poll.unregister(source)
            del self._filters[source]

    def _answer(self) -> None:
        """Tell the task, when nothing else is there to be read, that all is written."""
        if not os.read(0, 1):
            self._poll.unregister(0)  # the task is gone
            return
        self._finish()
        _write(0, b"!")

    def _finish(self) -> None:
        for source, one in self._filters.items():
            _write(self._ways[source], one.end())


def _write(target: int, data: bytes) -> None:
    try:
        while data:
            data = data[os.write(target, data) :]
    except OSError:
        pass  # a full disk: the log misses something, but the task need not fail by it


def _is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def _read_exactly(count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = os.read(0, count - len(data))
        if not part:
            sys.exit("the task ended before it said what is secret")
        data += part
    return data


def main() -> None:
    """Be the program: see the module."""
    task, out, err = map(int, sys.argv[1:4])
    hidden = _read_exactly(int.from_bytes(_read_exactly(LENGTH), "big")).split(b"\0")
    Copier(task, {out: 1, err: 2}, [text for text in hidden if text]).run()


if __name__ == "__main__":
    main()
