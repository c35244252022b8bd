"""A command as a process: its output in files, shown as it comes; its end, by itself or by force."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

STREAMS = ("stdout", "stderr")
PAUSE = 0.05
"""Seconds between two looks at a process or its output."""


class FlowProcess:
    """One process of a command.

    Args:
        words: the command.
        environment: all variables.
        folder: working folder; None = that of this process.
        show: whether output is passed on to `sys.stdout` and `sys.stderr` as it comes.
        run_id_file: where the command writes the run id; None = ``run-id`` in `folder`.

    Attributes:
        folder: a temporary folder of its own, with the files ``stdout``, ``stderr`` and ``run-id``.
    """

    def __init__(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        folder: str | None,
        show: bool,
        run_id_file: str | None = None,
    ) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix="flow-runner-")
        self.folder = self._temporary.name
        self._run_id_file = run_id_file or self.path("run-id")
        words = [word.replace("{folder}", self.folder) for word in words]
        files = [open(self.path(s), "wb") for s in STREAMS]  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                words,
                env=dict(environment),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=files[0],
                stderr=files[1],
                start_new_session=True,  # Ctrl-C reaches it through us, who then wait for its end
            )
        finally:
            for file in files:
                file.close()
        self._showing: threading.Thread | None = None
        if show:
            self._showing = threading.Thread(
                target=self._show, args=(sys.stdout, sys.stderr), name="flow-runner", daemon=True
            )
            self._showing.start()

    def path(self, name: str) -> str:
        """Return the path of a file of the process."""
        return os.path.join(self.folder, name)

    @property
    def returncode(self) -> int | None:
        """The exit status, or None while it runs."""
        return self._process.poll()

    def output(self, stream: str) -> str:
        """Return what it has written to ``stdout`` or ``stderr`` so far."""
        with open(self.path(stream), "rb") as file:
            return file.read().decode("utf-8", "replace")

    def run_id(self) -> str | None:
        """Return the id that the command has announced, or None."""
        try:
            with open(self._run_id_file, encoding="utf-8") as file:
                return file.read().strip() or None
        except FileNotFoundError:
            return None

    def finish_showing(self) -> None:
        """Wait until all that was written is shown, too; after its end."""
        if self._showing is not None:
            self._showing.join()

    def _show(self, *targets: Any) -> None:
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(open(self.path(s), "rb")) for s in STREAMS]
            ended = False
            while not ended:
                ended = self.returncode is not None  # then what comes now is the rest
                for file, target in zip(files, targets, strict=True):
                    if data := file.read():
                        with contextlib.suppress(OSError, ValueError):  # nobody reads any more
                            target.write(data.decode("utf-8", "replace"))
                            target.flush()
                if not ended:
                    time.sleep(PAUSE)

    # --- its end --------------------------------------------------------------------------------

    def interrupt(self, grace: float = 2.0) -> None:
        """Have the command and all that it has started end; by force after ``grace`` seconds.

        The tasks get a part of it: the command asks them to end, too.
        """
        if self.returncode is None:
            family = _descendants(self._process.pid)
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(grace)
            if self.returncode is None:
                family += _descendants(self._process.pid)
                self._process.kill()
                self._process.wait()
            for pid in family:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
        self.finish_showing()

    def remove(self) -> None:
        """End what still runs, and remove the files."""
        self.interrupt()
        self._temporary.cleanup()


def _descendants(pid: int) -> list[int]:
    """Return the processes that come of ``pid``, as far as this system tells (Linux does)."""
    parents: dict[int, list[int]] = {}
    try:
        entries = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except OSError:
        return []
    for entry in entries:
        with contextlib.suppress(OSError, ValueError, IndexError):
            with open(f"/proc/{entry}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
            parents.setdefault(parent, []).append(entry)
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = parents.get(waiting.pop(), [])
        found += children
        waiting += children
    return found
