"""The launcher's end of one server: what it runs, and what must be done when one side ends."""

from __future__ import annotations

import os
import signal
import socket
import sys
import warnings
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from flow_compute_local import processes
from flow_compute_local.logs import Log, Window
from flow_compute_local.protocol import Decoder, encode
from flow_core.api import Runtime, TaskSpec


class LaunchedAttempt:
    """One attempt in the launcher, until its end was told."""

    __slots__ = ("link", "logs", "manifest", "mark", "number", "pid", "settled", "task", "window")

    def __init__(
        self,
        number: int,
        mark: str,
        task: TaskSpec,
        logs: tuple[Log, Log],
        limit: int,
        manifest: str | None = None,
    ) -> None:
        self.number = number
        self.task = task
        self.mark = mark
        self.link: Link | None = None
        self.logs = logs
        self.manifest = manifest
        self.window = Window(limit)
        self.pid = 0
        self.settled = False


class Link:
    """A server and the attempts that it runs. Made by `forked` or `spawned`."""

    def __init__(self, pid: int, connection: socket.socket) -> None:
        self.pid = pid
        self.attempts: dict[int, LaunchedAttempt] = {}
        self.alive = True
        self.ready = True
        self.broken: tuple[str, str] | None = None  # why it is not ready: a sentence, and all of it
        self.connection = connection
        self._decoder = Decoder()

    @classmethod
    def forked(cls, runtime: Runtime) -> Link:
        """Fork a server from this process, which must be fit for it."""
        launcher = os.getpid()
        ours, theirs = socket.socketpair()
        _flush_streams()
        pid = _fork_quietly()
        if pid == 0:
            ours.close()
            _be_server(theirs, runtime, launcher)
        theirs.close()
        return cls(pid, ours)

    @classmethod
    def spawned(
        cls,
        runtime: Runtime,
        interpreter: str,
        folder: str | None,
        variables: Mapping[str, str],
        fork: str,
    ) -> Link:
        """Start a server as an interpreter of its own, with ``folder`` as its `TaskCommand.runtime`."""
        from flow_compute_local.interpreter import start_server

        document = runtime.document  # first: it may be that the flow cannot be sent
        link = cls(*start_server(interpreter, folder, variables))
        link.ready = False
        link.send(["hello", document, runtime.interactive, fork])
        return link

    def send(self, message: list[Any]) -> bool:
        """Send a message; False when the server is gone, as `receive` will say too.

        The server always reads, so this does not wait for long.
        """
        try:
            self.connection.sendall(encode(message))
        except OSError:
            return False
        return True

    def receive(self) -> Iterator[list[Any]]:
        """Yield the messages that have arrived; at the end of the server, clear `alive`."""
        try:
            data = self.connection.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        self.alive = bool(data)
        yield from self._decoder.feed(data)

    def bury(self) -> None:
        """Make sure that the server and all its tasks are gone."""
        self.alive = False
        self.connection.close()
        processes.signal_process(self.pid, signal.SIGKILL)
        processes.wait_for_child(self.pid, 1.0)
        self._end_tasks()

    def _end_tasks(self) -> None:
        groups = [attempt.pid for attempt in self.attempts.values() if attempt.pid]
        marks = {attempt.mark for attempt in self.attempts.values()}
        for group in groups:
            processes.signal_group(group, signal.SIGKILL)
        for process in processes.everyone() if marks else ():
            # Those who left the group, or whose start the server had not told yet.
            if process.pid != os.getpid() and processes.mark_of(process.pid) in marks:
                processes.signal_process(process.pid, signal.SIGKILL)
        processes.wait_until_gone(groups, 0.5)

    def close(self, timeout: float) -> None:
        """Have the server end its tasks and itself, by force after ``timeout`` seconds."""
        self.connection.close()
        if not self.alive or not processes.wait_for_child(self.pid, timeout):
            self.bury()
        self.alive = False


def _be_server(connection: socket.socket, runtime: Runtime, launcher: int) -> NoReturn:
    try:
        # Only here, so that the launcher goes on while the server gets ready.
        from flow_compute_local.server import serve_forked

        serve_forked(connection, runtime, launcher)
    finally:
        os._exit(1)


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__):
        if stream is not None and not stream.closed:
            stream.flush()


def _fork_quietly() -> int:
    with warnings.catch_warnings():
        # Python warns of any native thread; those of numpy were judged to be harmless.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()
