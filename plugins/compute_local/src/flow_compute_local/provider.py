"""The compute provider ``local``: hands attempts to a server of tasks and tells what becomes of them."""

from __future__ import annotations

import os
import selectors
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from flow_compute_local import forking, gangs, manifests
from flow_compute_local.link import LaunchedAttempt, Link
from flow_compute_local.logs import MEGABYTE, STREAMS, Log, objects_of
from flow_compute_local.protocol import Ending, Order
from flow_core.api import (
    AttemptLogs,
    Begun,
    ComputeCapabilities,
    Exited,
    Output,
    RunRecord,
    Runtime,
    Started,
    Store,
    TaskCommand,
    TaskSpec,
    Update,
    attempt_prefix,
    run_key,
)

_BATCH = 4 * MEGABYTE  # bytes of output that one call of `poll` returns, about
_FAREWELL = 0.9  # seconds that a server gets to end its tasks when the run is over
_AT_START = ("PYTHON", "LD_", "DYLD_")  # variables that a server of another Python starts with

_SPAWNED = "tasks are spawned, not forked, and start slower: {}"


class _Key(NamedTuple):
    """What a server is for: a Python, what it brings along, and the variables it starts with."""

    interpreter: str | None = None
    runtime: str | None = None
    variables: tuple[tuple[str, str], ...] = ()


class LocalCompute:
    """Runs each attempt as a process of this machine, forked from a server where that is safe.

    Attributes:
        notice: why tasks are not forked, as a sentence for people; None when they are.
    """

    capabilities = ComputeCapabilities(gang=True, tells_begin=True, interpreters=True)

    def __init__(self) -> None:
        self.notice: str | None = None
        self._owner = os.getpid()
        self._token = os.urandom(8).hex()  # no other launcher's tasks are taken for this one's
        self._runtime: Runtime | None = None
        self._store: Store | None = None
        self._document: bytes | None = None
        self._scratch: str | None = None
        self._links: dict[_Key, Link] = {}
        self._open: set[Link] = set()
        self._attempts: dict[int, LaunchedAttempt] = {}
        self._last_number = 0
        self._news: deque[tuple[Link | None, list[Any]]] = deque()
        self._selector = selectors.DefaultSelector()
        self._more = os.pipe()  # readable while `_news` is not empty
        self._more_is_told = False
        self._selector.register(self._more[0], selectors.EVENT_READ)
        self._limit = 10 * MEGABYTE
        self._ports: deque[int] = deque(maxlen=1000)  # that gangs got, the latest ones
        self._closed = False

    # --- the contract ---

    def prepare(self, runtime: Runtime) -> None:
        """Fork the server while this process is fit for it."""
        self._runtime = runtime
        self._limit = int(float(runtime.setting("max_log_size") or 10) * MEGABYTE)
        if runtime.setting("fork") == "never":
            self.notice = _SPAWNED.format("the setting 'fork' is 'never'")
        elif reasons := forking.unsafe_reasons():
            # The server may still find that it can fork, where only the launcher cannot.
            self.notice = f"tasks cannot be forked from this process and start slower: {reasons[0]}"
        else:
            self._add_link(_Key(), Link.forked(runtime))

    def open(self, run: RunRecord, store: Store) -> None:
        """Remember where logs belong, and have the servers hold what every task needs."""
        self._store = store
        self._document = next(iter(store.read([run_key(run.flow, run.run)])))
        for link in self._open:
            self._introduce(link)

    def _introduce(self, link: Link) -> None:
        if self._document is not None:
            link.send(["run", self._document.decode()])

    def launch(self, task: TaskSpec, command: TaskCommand) -> int:
        """Send the attempt to the server of its interpreter; return its number."""
        self._last_number += 1
        number = self._last_number
        logs = self._make_logs(task)
        attempt = LaunchedAttempt(
            number, f"{self._token}-{number}", task, logs, self._limit, manifests.place(logs[0])
        )
        self._attempts[number] = attempt
        try:
            self._hand_over(attempt, command)
        except OSError as error:
            message = f"no process could be started: {error}"
            ending = Ending(None, None, "launch", message, time.time())
            self._news.append((None, ["exited", number, ending]))
            self._signal_more()
        return number

    def expect(self, command: TaskCommand) -> None:
        """Start the server of an interpreter, so that it is ready when its first attempt comes."""
        with suppress(OSError):  # `launch` meets it again, and tells it
            self._link(self._key(command))

    def launch_gang(self, members: Sequence[tuple[TaskSpec, TaskCommand]]) -> list[int]:
        """Send all attempts; they meet at an address of this machine that nobody else uses."""
        place = gangs.meeting_place(self._ports)
        self._ports.append(int(place["MASTER_PORT"]))
        for task, command in members:
            command.variables = {**place, **gangs.local_rank(task), **command.variables}
        return [self.launch(task, command) for task, command in members]

    def poll(self, timeout: float) -> Sequence[Update]:
        """Return what happened; wait up to ``timeout`` seconds for it."""
        deadline = time.monotonic() + timeout
        while True:
            self._listen(max(0.0, deadline - time.monotonic()))
            updates = list(self._digest())
            if updates or time.monotonic() >= deadline:
                return updates

    def fileno(self) -> int | None:
        """Return the descriptor of the selector that watches all servers."""
        selector: Any = self._selector
        return int(selector.fileno()) if hasattr(selector, "fileno") else None

    def cancel(self, handles: Sequence[Any], grace: float) -> None:
        """End attempts: SIGTERM now, SIGKILL after ``grace`` seconds."""
        numbers: dict[Link, list[int]] = {}
        for handle in handles:
            attempt = self._attempts.get(handle)
            if attempt is not None and attempt.link is not None:
                numbers.setdefault(attempt.link, []).append(handle)
        for link, of_link in numbers.items():
            link.send(["cancel", of_link, grace])  # if it is gone, its tasks are too

    def logs(self, task: TaskSpec, stream: str, offset: int = 0) -> bytes:
        """Return what an attempt wrote to ``stream``, also while it runs."""
        for attempt in self._attempts.values():
            if attempt.task == task:
                return attempt.logs[STREAMS.index(stream)].read(offset)
        assert self._store is not None
        return AttemptLogs(self._store, _prefix(task)).read(stream, offset)

    def close(self) -> None:
        """End all servers and their tasks."""
        if self._closed or os.getpid() != self._owner:
            return  # a forked task that inherited this object must not end its siblings
        self._closed = True
        for link in [one for one in self._open if not one.ready and not one.attempts]:
            link.bury()  # expected, and not needed: it would only notice when it is ready
            self._open.remove(link)
        for link in self._open:
            link.connection.close()  # all servers begin to end at the same time
        for link in self._open:
            link.close(_FAREWELL)
        self._selector.close()
        for end in self._more:
            os.close(end)
        self._remove_scratch()

    # --- servers ---

    def _hand_over(self, attempt: LaunchedAttempt, command: TaskCommand) -> None:
        key = self._key(command)
        link = self._link(key)
        message = ["launch", attempt.number, _order(attempt, command)]
        if not link.send(message):
            # It died since; `poll` tells the fate of its tasks, and of this one if it comes to that.
            link = self._start(key)
            link.send(message)
        attempt.link = link
        link.attempts[attempt.number] = attempt

    def _key(self, command: TaskCommand) -> _Key:
        if command.interpreter is None:
            return _Key()
        early = [(k, v) for k, v in command.variables.items() if k.startswith(_AT_START)]
        return _Key(command.interpreter, command.runtime, tuple(sorted(early)))

    def _link(self, key: _Key) -> Link:
        link = self._links.get(key)
        return link if link is not None and link.alive else self._start(key)

    def _start(self, key: _Key) -> Link:
        # Never by a fork: by now the launcher has a database open.
        assert self._runtime is not None
        fork = str(self._runtime.setting("fork") or "auto")
        python = key.interpreter or sys.executable
        link = Link.spawned(self._runtime, python, key.runtime, dict(key.variables), fork)
        self._add_link(key, link)
        return link

    def _add_link(self, key: _Key, link: Link) -> None:
        self._links[key] = link
        self._open.add(link)
        self._introduce(link)
        self._selector.register(link.connection, selectors.EVENT_READ, link)

    # --- news ---

    def _listen(self, timeout: float) -> None:
        for key, _ in self._selector.select(0 if self._news else timeout):
            if isinstance(link := key.data, Link):
                self._news.extend((link, message) for message in link.receive())
                if not link.alive:
                    self._selector.unregister(link.connection)
                    self._news.append((link, ["gone"]))

    def _digest(self) -> Iterator[Update]:
        """Yield updates until all news are used up, or enough output for one time is collected."""
        self._settle_ended()
        size = 0
        while self._news and size < _BATCH:
            link, message = self._news.popleft()
            for update in self._translate(link, message):
                size += len(update.data) if isinstance(update, Output) else 0
                yield update
        self._signal_more()

    def _signal_more(self) -> None:
        """Keep `fileno` readable as long as there are news."""
        if self._news and not self._more_is_told:
            os.write(self._more[1], b".")
        elif self._more_is_told and not self._news:
            os.read(self._more[0], 1)
        self._more_is_told = bool(self._news)

    def _translate(self, link: Link | None, message: list[Any]) -> Iterator[Update]:
        kind, *rest = message
        if kind == "started":
            yield self._started(*rest)
        elif kind == "begun":
            yield Begun(*rest)
        elif kind == "exited":
            yield from self._exited(rest[0], Ending(*rest[1]))
        elif kind == "grown":
            for number in rest[0]:
                for log in self._attempts[number].logs:
                    log.note(time.time())
                yield from self._output(self._attempts[number])
        elif link is not None:
            yield from self._changed(link, *message)

    def _changed(self, link: Link, kind: str, *rest: Any) -> Iterator[Update]:
        if kind == "gone":
            yield from self._lost(link)
        elif kind == "broken":
            link.broken = (rest[0], rest[1])
        elif kind == "ready":
            link.ready = True
            if rest[0]:
                self.notice = _SPAWNED.format(rest[0])

    def _started(self, number: int, pid: int, at: float) -> Started:
        self._attempts[number].pid = pid
        return Started(number, str(pid), at)

    def _exited(self, number: int, ending: Ending) -> Iterator[Update]:
        attempt = self._attempts[number]
        if any(ending.written):
            yield from self._output(attempt)
            self._settle(attempt)
        manifest = manifests.take(attempt.manifest, attempt.task)
        self._forget(attempt)
        yield Exited(
            number,
            ending.code,
            ending.signal,
            ending.cause,
            ending.message,
            ending.at,
            ending.cpu_seconds,
            ending.peak_memory,
            tuple(ending.notes),
            manifest,
        )

    def _output(self, attempt: LaunchedAttempt) -> Iterator[Output]:
        for stream, data in attempt.window.take(attempt.logs):
            yield Output(attempt.number, stream, data, time.time())

    def _settle_ended(self) -> None:
        """Bring the logs of all attempts that have ended by now into the store at the same time.

        Where each of them takes the time of a request, the launcher would do nothing else.
        """
        numbers = [message[1] for _, message in self._news if message[0] == "exited"]
        ended = [self._attempts[n] for n in numbers if not self._attempts[n].settled]
        if len(ended) > 1:
            self._write_logs(ended)

    def _settle(self, attempt: LaunchedAttempt) -> None:
        if not attempt.settled:
            self._write_logs([attempt])
        for log in attempt.logs:
            log.close()

    def _write_logs(self, attempts: Sequence[LaunchedAttempt]) -> None:
        assert self._store is not None
        objects: list[tuple[str, bytes]] = []
        for attempt in attempts:
            objects += objects_of(attempt.logs, _prefix(attempt.task), self._limit)
            attempt.settled = True
            if sum(len(content) for _, content in objects) > _BATCH:
                break  # the others have their turn
        if objects:
            self._store.write(objects)

    def _forget(self, attempt: LaunchedAttempt) -> None:
        del self._attempts[attempt.number]
        if attempt.link is not None:
            del attempt.link.attempts[attempt.number]

    def _lost(self, link: Link) -> Iterator[Update]:
        link.bury()
        self._open.discard(link)
        if link.broken is not None:
            cause, (message, text) = "launch", link.broken
            for attempt in link.attempts.values():
                attempt.logs[1].write(f"{text}\n")
        elif not link.ready:
            cause, message = "launch", "the server of tasks ended before it was ready; see above"
        else:
            cause, message = "lost", "the server of tasks ended unexpectedly, and the task with it"
        for attempt in list(link.attempts.values()):
            yield from self._output(attempt)
            self._settle(attempt)
            self._forget(attempt)
            yield Exited(attempt.number, None, None, cause, message, time.time())

    # --- logs ---

    def _make_logs(self, task: TaskSpec) -> tuple[Log, Log]:
        stdout, stderr = (self._make_log(task, stream) for stream in STREAMS)
        return stdout, stderr

    def _make_log(self, task: TaskSpec, stream: str) -> Log:
        assert self._store is not None
        key = _prefix(task) + stream
        path = self._store.local_path(key)
        if path is not None:
            return Log(key, path, stored=True)
        return Log(key, os.path.join(self._scratch_folder(), key.replace("/", "-")), stored=False)

    def _scratch_folder(self) -> str:
        if self._scratch is None:
            import tempfile  # only for stores whose objects are not files of this machine

            self._scratch = tempfile.mkdtemp(prefix="flow-logs-")
        return self._scratch

    def _remove_scratch(self) -> None:
        if self._scratch is not None:
            import shutil

            shutil.rmtree(self._scratch, ignore_errors=True)


def _order(attempt: LaunchedAttempt, command: TaskCommand) -> Order:
    own = command.interpreter is None
    return {
        "task": attempt.task.to_json(),
        "name": f"{attempt.task.pathspec}/{attempt.task.attempt}",
        "mark": attempt.mark,
        "variables": command.variables,
        "folder": command.folder,
        "stdout": attempt.logs[0].path,
        "stderr": attempt.logs[1].path,
        "runtime": command.runtime,
        "fresh": own and forking.needs_fresh_interpreter(command.variables),
        "timed": command.timed,
        "manifest": attempt.manifest,
    }


def _prefix(task: TaskSpec) -> str:
    return attempt_prefix(task.flow, task.run, task.step, task.task, task.attempt)
