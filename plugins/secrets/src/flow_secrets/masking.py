"""Masking: secrets do not appear in what a task writes, whoever writes it."""

from __future__ import annotations

import atexit
import io
import json
import os
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import quote

from flow_secrets import stream_filter
from flow_secrets.stream_filter import Filter

SHORTEST = 4
"""Shorter values are not masked: ``1`` or ``no`` is everywhere, and its place would give it away."""

_LINE = 8
"""Shorter lines of a value of several lines are not masked by themselves."""

_PATIENCE = 1.0  # seconds that the filter gets at the end of the process


def forms(values: Sequence[str]) -> list[str]:
    """Return all texts that stand for ``values`` in output: as they are, as Python, JSON and URLs
    show them, and the lines of those that have several, since logs are often cut into lines."""
    found: set[str] = set()
    for value in values:
        if len(value) < SHORTEST:
            continue
        found.update(
            (
                value,
                value.strip(),
                repr(value)[1:-1],
                json.dumps(value)[1:-1],
                quote(value, safe=""),
            )
        )
        lines = [line.strip() for line in value.splitlines()]
        if len(lines) > 1:
            found.update(line for line in lines if len(line) >= _LINE)
    return sorted(text for text in found if len(text) >= SHORTEST)


def mask_process(texts: Sequence[str]) -> None:
    """Mask all that this process, and those that it starts, write from now on to their standard
    output and standard error, until it ends.

    A process of its own does it, so that nothing the step does can stop or deceive it: neither C
    code that holds the interpreter, nor a crash.
    """
    ours, theirs = socket.socketpair()
    sys.stdout.flush()
    sys.stderr.flush()
    pipes = [os.pipe(), os.pipe()]
    _spawn_filter(theirs.fileno(), [source for source, _ in pipes])
    theirs.close()
    for number, (source, target) in enumerate(pipes, 1):
        os.dup2(target, number)
        os.close(source)
        os.close(target)
    hidden = b"\0".join(text.encode("utf-8", "surrogateescape") for text in texts)
    ours.sendall(len(hidden).to_bytes(stream_filter.LENGTH, "big") + hidden)
    atexit.register(_wait_for_filter, ours, os.getpid())


def _spawn_filter(control: int, sources: Sequence[int]) -> None:
    """Start the filter as nobody's child: a step that waits for its own would wait for it too."""
    task = os.getpid()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the child only starts a program
        child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()  # signals to the task's group are none of its business
        if os.fork() == 0:
            os.dup2(control, 0)  # its output goes where that of the task went so far
            for source in sources:
                os.set_inheritable(source, True)
            numbers = map(str, (task, *sources))
            program = [sys.executable, "-I", "-S", stream_filter.__file__, *numbers]
            os.execv(sys.executable, program)
    finally:
        os._exit(0)


def _wait_for_filter(control: socket.socket, process: int) -> None:
    """Wait until all is written: where the process is that of a container, all ends with it."""
    if os.getpid() != process:
        return  # a child that the step forked
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):  # the step may have closed it
            stream.flush()
    control.settimeout(_PATIENCE)
    with suppress(OSError):  # it answers late, or not: then what it has not written is lost
        control.sendall(b"?")
        control.recv(1)


def can_mask_process() -> bool:
    """Whether the standard streams go to logs: on a terminal somebody may be typing."""
    return hasattr(os, "fork") and not (os.isatty(1) or os.isatty(2))


@contextmanager
def masked_streams(texts: Sequence[str]) -> Iterator[None]:
    """Mask what Python writes to `sys.stdout` and `sys.stderr` in the body."""
    hidden = [text.encode("utf-8", "surrogateescape") for text in texts]
    earlier = sys.stdout, sys.stderr
    streams: Any = [_Masked(stream, hidden) for stream in earlier]
    sys.stdout, sys.stderr = streams
    try:
        yield
    finally:
        sys.stdout, sys.stderr = earlier
        for stream in streams:
            stream.finish()


class _Masked(io.TextIOWrapper):
    """Takes the place of a text stream, and is like it in all but what is written."""

    def __init__(self, behind: Any, hidden: list[bytes]) -> None:
        self._bytes = _MaskedBytes(behind, hidden)
        super().__init__(io.BufferedWriter(self._bytes), "utf-8", "surrogateescape")
        self.reconfigure(write_through=True, line_buffering=True)

    def write(self, text: str) -> int:
        """Write at once what can be shown already: what follows may stop for a person."""
        written = super().write(text)
        self.flush()
        return written

    def finish(self) -> None:
        """Write what was held back."""
        with suppress(ValueError):  # the step has closed it
            self.flush()
        self._bytes.finish()


class _MaskedBytes(io.RawIOBase):
    """The bytes below a `_Masked`."""

    def __init__(self, behind: Any, hidden: list[bytes]) -> None:
        self._behind = behind
        self._filter = Filter(hidden)
        self._lock = threading.Lock()
        self.name = getattr(behind, "name", None)

    def write(self, data: Any) -> int:
        """Write what can be shown already."""
        self._pass_on(self._filter.feed, bytes(data))
        return len(data)

    def finish(self) -> None:
        """Write what was held back."""
        self._pass_on(self._filter.end)

    def _pass_on(self, step: Callable[..., bytes], *data: bytes) -> None:
        with self._lock:
            self._behind.write(step(*data).decode("utf-8", "surrogateescape"))
            self._behind.flush()

    def writable(self) -> bool:
        """It is."""
        return True

    def isatty(self) -> bool:
        """As the stream behind."""
        return bool(self._behind.isatty())

    def fileno(self) -> int:
        """As the stream behind: what is written there is not masked."""
        return int(self._behind.fileno())
