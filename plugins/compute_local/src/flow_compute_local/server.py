"""The server of tasks: a process with one thread that starts a process for each attempt.

It is forked from the launcher, or started as ``python -m flow_compute_local.server FD``. It lives
as long as the launcher holds the other end of its socket, and takes all its tasks with it.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import selectors
import signal
import socket
import sys
import time
from functools import partial
from typing import Any, NoReturn

from flow_compute_local import child, descriptors, processes
from flow_compute_local.attempts import (
    PATIENCE,
    OomWatch,
    ServedAttempt,
    judge,
    log_sizes,
    peak_memory,
    used_up,
)
from flow_compute_local.manifests import leave_copy
from flow_compute_local.protocol import Decoder, Ending, Order, encode
from flow_compute_local.sheets import Sheets
from flow_core.api import TaskSpec, tell_begin

_TICK = 1.0  # seconds between looks at the launcher and at the kernel's counters
_WATCH = 0.075  # seconds between looks at the logs
_LINGER = 0.01  # seconds between looks for processes left behind
_FAREWELL = 0.4  # seconds between the polite and the forced end of all tasks
_HOLD = 0.02  # seconds for which the news of a start may wait: short tasks have ended by then


class Server:
    """Runs attempts for the launcher at the other end of ``connection``.

    Args:
        runtime: the session, to run attempts in forked children.
        launcher: process id of the launcher, the parent of this process.
        watch: whether to tell when logs grow.
        fork: whether forking is safe; else each attempt is an interpreter of its own.
    """

    def __init__(
        self, connection: socket.socket, runtime: Any, launcher: int, *, watch: bool, fork: bool
    ) -> None:
        self._connection = connection
        self._runtime = runtime
        self._launcher = launcher
        self._watch = watch
        self._fork = fork
        self._plain_files: list[int] = []
        self._own: list[int] = []  # descriptors that no child may have
        self._pid = os.getpid()
        self._decoder = Decoder()
        self._outgoing = bytearray()
        self._attempts: dict[int, ServedAttempt] = {}  # by number, until the launcher was told
        self._running: dict[int, ServedAttempt] = {}  # by process id
        self._doomed: dict[int, ServedAttempt] = {}  # running, to be killed at a time
        self._lingering: list[ServedAttempt] = []  # ended, but processes of theirs have not
        self._ending = False
        self._oom = OomWatch()
        self._next_tick = self._next_watch = 0.0
        self._selector = selectors.DefaultSelector()
        self._wakeup = os.pipe()
        self._sheets = Sheets()
        self._held = bytearray()  # messages that may wait a little, to go with the next one
        self._held_until = 0.0

    # --- life ---

    def run(self, plain_files: list[int]) -> None:
        """Serve until the launcher is gone."""
        self._plain_files = plain_files
        self._connection.setblocking(False)
        self._install_signals()
        self._selector.register(self._connection, selectors.EVENT_READ)
        self._selector.register(self._wakeup[0], selectors.EVENT_READ)
        watcher: Any = self._selector  # those of every system that can fork have a descriptor
        self._own = [self._connection.fileno(), watcher.fileno(), *self._wakeup]
        processes.prepare_controls()
        processes.adopt_orphans()
        if self._fork:
            with contextlib.suppress(Exception):  # the launcher, or each attempt, meets it again
                self._runtime.get_ready()
        gc.freeze()  # children then share all that exists, and never look at it
        while not self._ending:
            self._serve()
        self._end_all()

    def _install_signals(self) -> None:
        for end in self._wakeup:
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wakeup[1], warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _ignore)
        signal.signal(signal.SIGINT, _ignore)  # SIG_IGN would stay in interpreters it starts
        signal.signal(signal.SIGTERM, self._stop)

    def _stop(self, *_: object) -> None:
        self._ending = True

    def _serve(self) -> None:
        for key, _ in self._selector.select(self._pause()):
            if key.fileobj is self._connection:
                self._receive()
            elif key.data is not None:
                self._begun(key.data)
            else:
                self._drain_wakeup()
        self._reap()
        self._look_after(time.monotonic())
        self._send()

    def _pause(self) -> float:
        if self._lingering:
            return _LINGER
        if self._watch and self._running:
            return _HOLD if self._held else _WATCH
        now = time.monotonic()
        due = [a.kill_at or 0.0 for a in self._doomed.values()]
        if self._held:
            due.append(self._held_until)
        return min([_TICK, *(max(0.0, at - now) for at in due)])

    def _drain_wakeup(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakeup[0], 4096)

    # --- messages ---

    def _receive(self) -> None:
        try:
            data = self._connection.recv(1 << 16)
        except BlockingIOError:
            return
        except ConnectionError:
            data = b""
        if not data:
            self._ending = True
        for kind, *rest in self._decoder.feed(data):
            if kind == "launch":
                self._launch(*rest)
            elif kind == "cancel":
                self._cancel(*rest)
            elif kind == "run":
                self._runtime.adopt_run(rest[0].encode())

    def _tell(self, *message: Any) -> None:
        self._release()
        self._outgoing += encode(list(message))

    def _tell_soon(self, *message: Any) -> None:
        """Tell with the next message, or in a moment: each sending wakes the launcher."""
        if not self._held:
            self._held_until = time.monotonic() + _HOLD
        self._held += encode(list(message))

    def _release(self) -> None:
        self._outgoing += self._held
        self._held.clear()

    def _send(self) -> None:
        """Send as much as goes without waiting: a server that waited would not read, nor reap."""
        if self._held and time.monotonic() >= self._held_until:
            self._release()
        try:
            while self._outgoing:
                del self._outgoing[: self._connection.send(self._outgoing)]
        except BlockingIOError:
            pass
        except OSError:
            self._ending = True
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outgoing else 0)
        if self._selector.get_key(self._connection).events != events:
            self._selector.modify(self._connection, events)

    # --- starting ---

    def _launch(self, number: int, order: Order) -> None:
        title = f"{order['task']['task']}.{order['task']['attempt']} {order['task']['step']}"
        logs = (order["stdout"], order["stderr"])
        attempt = ServedAttempt(number, order["mark"], title, logs)
        started = time.time()
        try:
            attempt.pid = self._start(attempt, order)
        except OSError as error:
            self._refuse(attempt, error)
            return
        self._attempts[number] = self._running[attempt.pid] = attempt
        self._tell_soon("started", number, attempt.pid, started)

    def _refuse(self, attempt: ServedAttempt, error: OSError) -> None:
        message = f"the process could not be started: {error}"
        ending = Ending(None, None, "launch", message, time.time())
        self._tell("exited", attempt.number, ending)

    def _start(self, attempt: ServedAttempt, order: Order) -> int:
        folder = order["folder"]
        if folder is not None and not os.path.isdir(folder):
            raise FileNotFoundError(errno.ENOENT, "the working folder does not exist", folder)
        ends: list[int] = []  # of the child: its two logs, and where it tells that it begins
        try:
            ends.extend(self._open_log(attempt, path) for path in attempt.logs)
            if order["timed"]:
                ends.append(self._open_begin(attempt))
            if self._fork and not order["fresh"]:
                return self._start_fork(attempt, order, *ends)
            return self._start_fresh(order, *ends)
        except BaseException:
            self._give_back(attempt)
            self._close_begin(attempt)
            raise
        finally:
            for end in ends:
                os.close(end)

    def _open_begin(self, attempt: ServedAttempt) -> int:
        attempt.begin, of_child = os.pipe()
        self._own.append(attempt.begin)
        self._selector.register(attempt.begin, selectors.EVENT_READ, attempt)
        return of_child

    def _close_begin(self, attempt: ServedAttempt) -> None:
        if attempt.begin is not None:
            self._selector.unregister(attempt.begin)
            self._own.remove(attempt.begin)
            os.close(attempt.begin)
            attempt.begin = None

    def _begun(self, attempt: ServedAttempt) -> None:
        """The body of an attempt begins, or its process ended before that."""
        if attempt.begin is not None and os.read(attempt.begin, 1):
            self._tell_soon("begun", attempt.number, time.time())
        self._close_begin(attempt)

    def _open_log(self, attempt: ServedAttempt, path: str) -> int:
        sheet = self._sheets.take(path)
        if sheet is None:
            return open_log(path)
        attempt.sheets.append(sheet)
        return sheet.open()

    def _give_back(self, attempt: ServedAttempt) -> None:
        while attempt.sheets:
            # What was left behind by the attempt might still write.
            self._sheets.give_back(attempt.sheets.pop(), blank=not attempt.left)

    def _start_fork(
        self, attempt: ServedAttempt, order: Order, out: int, err: int, begin: int | None = None
    ) -> int:
        # No signal may reach the child while it still has the server's handlers.
        processes.set_mask(signal.SIG_BLOCK, child.SERVER_SIGNALS)
        try:
            pid = os.fork()
            if pid == 0:
                self._be_task(attempt, order, out, err, begin)
        finally:
            processes.set_mask(signal.SIG_SETMASK, ())
        with contextlib.suppress(PermissionError, ProcessLookupError):
            os.setpgid(pid, pid)  # the child does the same; who comes first does not matter
        return pid

    def _be_task(
        self, attempt: ServedAttempt, order: Order, out: int, err: int, begin: int | None
    ) -> NoReturn:
        def body() -> int:
            self._let_go()
            child.enter(order, self._pid, attempt.title, out, err)
            task = TaskSpec.from_json(order["task"])
            tell = None if begin is None else partial(tell_begin, begin)
            copy = order["manifest"]
            committed = None if copy is None else partial(leave_copy, copy)
            return int(self._runtime.run_attempt(task, tell, committed))

        try:
            status = child.run(body)
            child.leave(status)
        finally:
            os._exit(1)  # never back into the loop of the server

    def _let_go(self) -> None:
        # Only the numbers: the objects behind them live on, frozen, until the child exits.
        for number in self._own:
            os.close(number)
        self._sheets.close()
        descriptors.separate(self._plain_files)

    def _start_fresh(self, order: Order, out: int, err: int, begin: int | None = None) -> int:
        from flow_compute_local.interpreter import start_attempt

        return start_attempt(self._runtime, order, out, err, begin)

    # --- ending ---

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if attempt := self._running.pop(pid, None):
                self._doomed.pop(pid, None)
                self._exited(attempt, status, usage)

    def _exited(self, attempt: ServedAttempt, status: int, usage: Any) -> None:
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        attempt.ended = judge(
            status,
            usage,
            cancelled=attempt.cancelled,
            out_of_memory=killed and (self._oom.happened() or used_up(peak_memory(usage))),
        )
        if self._left_behind(attempt):
            patience = time.monotonic() + PATIENCE
            attempt.kill_at = max(patience, attempt.kill_at or 0.0)
            self._lingering.append(attempt)
        else:
            self._finish(attempt)

    def _finish(self, attempt: ServedAttempt) -> None:
        assert attempt.ended is not None
        notes = attempt.notes()
        try:
            attempt.show_logs()
        except OSError as error:
            notes.append(f"its output could not be kept: {error}")
        written = log_sizes(attempt.logs)
        for path, size in zip(attempt.logs, written, strict=True):
            if size == 0 and not attempt.sheets:
                _remove(path)
        self._give_back(attempt)
        self._close_begin(attempt)
        del self._attempts[attempt.number]
        ending = attempt.ended._replace(notes=notes, written=written)
        self._tell("exited", attempt.number, ending)

    def _left_behind(self, attempt: ServedAttempt) -> list[int]:
        """Return living processes of an attempt whose own process has ended."""
        left = []
        if processes.group_exists(attempt.pid):
            left = [p.pid for p in processes.everyone() if p.group == attempt.pid]
        orphans = [pid for pid in processes.children() if pid not in self._running]
        return left + [pid for pid in orphans if pid not in left and self._owns(attempt, pid)]

    def _owns(self, attempt: ServedAttempt, pid: int) -> bool:
        process = processes.look_up(pid)
        if process is None or process.state in "ZX":
            return False
        # A mere fork has the task's process name, a program that was started has the variable.
        if process.name == attempt.title[: processes.NAME_LENGTH]:
            return True
        mark = processes.mark_of(pid)
        # One that hides its variables can only be told apart when there is just one attempt.
        return mark == attempt.mark or (mark is None and len(self._attempts) == 1)

    def _look_after(self, now: float) -> None:
        for attempt in list(self._lingering):
            self._end_leftovers(attempt, now)
        for pid, attempt in list(self._doomed.items()):
            if now >= (attempt.kill_at or 0.0):
                del self._doomed[pid]
                processes.signal_group(pid, signal.SIGKILL)
        if self._watch and now >= self._next_watch:
            self._next_watch = now + _WATCH
            self._tell_growth()
        if now >= self._next_tick:
            self._next_tick = now + _TICK
            if not self._watch:
                self._tell_growth()  # nobody looks all the time, but now and then somebody may
            self._oom.tick()
            self._ending = self._ending or os.getppid() != self._launcher

    def _end_leftovers(self, attempt: ServedAttempt, now: float) -> None:
        left = self._left_behind(attempt)
        if not left:
            self._lingering.remove(attempt)
            self._finish(attempt)
        elif attempt.kill_at is not None and now >= attempt.kill_at:
            for pid in left:
                if pid not in attempt.left:
                    attempt.left[pid] = processes.describe(pid)
                processes.signal_process(pid, signal.SIGKILL)

    def _tell_growth(self) -> None:
        grown = [attempt.number for attempt in self._running.values() if attempt.grew()]
        if grown:
            self._tell("grown", grown)

    def _cancel(self, numbers: list[int], grace: float) -> None:
        kill_at = time.monotonic() + grace
        for attempt in filter(None, map(self._attempts.get, numbers)):
            attempt.cancelled = True
            attempt.kill_at = kill_at
            if attempt.ended is None:
                self._doomed[attempt.pid] = attempt
            processes.signal_group(attempt.pid, signal.SIGTERM)

    def _end_all(self) -> None:
        """End every descendant: politely, then by force."""
        self._signal_all(signal.SIGTERM)
        deadline = time.monotonic() + _FAREWELL
        while self._any_child() and time.monotonic() < deadline:
            time.sleep(0.005)
        for _ in range(50):  # what the ended ones leave behind comes to this process in turn
            self._signal_all(signal.SIGKILL)
            if not self._any_child():
                break
            time.sleep(0.005)

    def _signal_all(self, number: int) -> None:
        for attempt in self._attempts.values():
            processes.signal_group(attempt.pid, number)
        for pid in processes.children():
            processes.signal_process(pid, number)

    def _any_child(self) -> bool:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return False
        return True


def _ignore(*_: object) -> None:
    """Handle a signal by being woken up."""


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def open_log(path: str) -> int:
    """Open the file for a stream of a task, making its folder."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o666)
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return os.open(path, flags, 0o666)


def serve_forked(connection: socket.socket, runtime: Any, launcher: int) -> NoReturn:
    """Be the fork server in a process just forked from the launcher."""
    try:
        os.setsid()  # Ctrl-C of the terminal is for the launcher, which then cancels
        keep_alive = child.become_template()
        _read_nothing()
        plain = descriptors.give_up({connection.fileno()})
        server = Server(connection, runtime, launcher, watch=runtime.interactive, fork=True)
        server.run(plain)
        del keep_alive
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        os._exit(0)


def _read_nothing() -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


def main() -> None:
    """Be a server in an interpreter of its own."""
    from flow_compute_local.interpreter import serve_spawned

    serve_spawned(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()
