"""Hears when containers end, by ``podman events`` or ``docker events``: one process for a run."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable

from flow_container.engine import DOCKER, Engine

_AGAIN = 1.0  # seconds after which a stream that has ended is opened again

_WITH_US = '"$@" & exec >&-; read -r _; kill $! 2>/dev/null'
"""Runs a program until its own input is closed: also when this process is killed, it ends."""

_ENDS = {b"die", b"died", b"destroy", b"remove"}  # as Docker and podman call them


class EventStream:
    """Calls ``heard`` whenever a container with a label ends or is removed.

    It may miss some, where the runtime keeps no events, or is started anew: who listens looks for
    itself now and then, more often as long as the stream is not `alive`.

    Args:
        engine: the runtime.
        label: ``name=value``.
        heard: called in a thread of the stream; must not raise.
    """

    def __init__(self, engine: Engine, label: str, heard: Callable[[], object]) -> None:
        what = "{{.Action}}" if engine.name == DOCKER else "{{.Status}}"
        filters = ["--filter", f"label={label}", "--filter", "type=container"]
        # Not filtered by the kind of event: podman, as Docker's daemon, would tell of none.
        self._command = ["/bin/sh", "-c", _WITH_US, "events"]
        self._command += [engine.path, "events", *filters, "--format", what]
        self._heard = heard
        self._alive = False
        self._closed = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._listen, name="container events", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the stream is open."""
        return self._alive

    def close(self) -> None:
        """End the process and the thread."""
        self._closed.set()
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()
        self._thread.join()

    def _listen(self) -> None:
        while not self._closed.is_set():
            with self._lock:
                if self._closed.is_set():
                    return
                self._process = self._open()
            if self._process is not None:
                self._hear(self._process)
            self._heard()  # what ended meanwhile was not told
            self._closed.wait(_AGAIN)

    def _hear(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process:
            self._alive = True
            for line in process.stdout:
                if line.strip() in _ENDS:
                    self._heard()
            self._alive = False

    def _open(self) -> subprocess.Popen[bytes] | None:
        try:
            return subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError:
            return None  # the runtime was removed meanwhile; who looks for itself says so
