"""The server's side of drawing cards of running tasks: it starts the process that draws, and asks it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from flow_cards.live import View
from flow_cards.workshop import facts_of

if TYPE_CHECKING:
    from flow_cards.storage import Place
    from flow_core.api import Session

_WORKERS = 2
_GRACE = 2.0
_SAID = 4000

Then = Callable[[View | str], None]
"""Is given what was drawn, or why nothing was."""


class LiveLink:
    """Has cards drawn by a process of its own, which is started for the first one, and again when it
    has died. Any thread may ask.

    Args:
        session: the server's.
    """

    def __init__(self, session: Session) -> None:
        self._lock = threading.Lock()
        self._folder = tempfile.TemporaryDirectory(prefix="flow-cards-")
        self._first = {
            **facts_of(session),
            "folder": self._folder.name,
            "workers": _WORKERS,
        }
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end
        self._environment = session.settings.script_environment()
        self._process: subprocess.Popen[bytes] | None = None
        self._listener: threading.Thread | None = None
        self._asked: dict[int, Then] = {}
        self._count = 0
        self._closed = False

    def draw(self, place: Place, number: int, facts: Mapping[str, Any], then: Then) -> None:
        """Ask for a card; ``then`` is called by another thread, or by this one.

        Args:
            place: which attempt.
            number: which card of it.
            facts: see `flow_cards.live.view_card`; and ``type``, ``timeout``.
            then: see `Then`.
        """
        with self._lock:
            if self._closed:
                return
            self._count += 1
            job = self._count
            self._asked[job] = then
            try:
                self._tell(self._running(), [job, place, number, dict(facts)])
                return
            except OSError:  # it has just died
                pass
        self._answered(job, self._last_words())

    def get_ready(self) -> None:
        """Start the process: what it has to import takes longer than to draw."""
        with self._lock:
            if not self._closed:
                self._running()

    def close(self) -> None:
        """End the process; nobody is answered any more."""
        with self._lock:
            self._closed = True
            self._asked.clear()
            process, self._process = self._process, None
        if process is not None:
            _end(process)
        if self._listener is not None:
            self._listener.join()
        self._said.close()
        self._folder.cleanup()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flow_cards.live_renderer"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._said,
                env=self._environment,
                start_new_session=True,  # Ctrl-C of the terminal is for the server
            )
            self._tell(self._process, self._first)
            self._listener = threading.Thread(
                target=self._listen, args=(self._process,), daemon=True
            )
            self._listener.start()
        return self._process

    def _tell(self, process: subprocess.Popen[bytes], message: Any) -> None:
        assert process.stdin is not None
        process.stdin.write(json.dumps(message).encode() + b"\n")
        process.stdin.flush()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        with process.stdout as answers:
            for line in answers:
                job, error = json.loads(line)
                self._answered(job, error)
        with self._lock:  # it has died, and so has what it was asked for
            lost = list(self._asked) if process is self._process else []
        for job in lost:
            self._answered(job, self._last_words())

    def _last_words(self) -> str:
        size = os.fstat(self._said.fileno()).st_size
        said = os.pread(self._said.fileno(), _SAID, max(0, size - _SAID))
        lines = said.decode("utf-8", "replace").strip().splitlines()
        return "the process that draws cards has died" + (f": {lines[-1]}" if lines else "")

    def _answered(self, job: int, error: str) -> None:
        with self._lock:
            then = self._asked.pop(job, None)
        if then is not None:
            then(error or self._result(job))

    def _result(self, job: int) -> View | str:
        path = os.path.join(self._folder.name, f"{job}.json")
        try:
            with open(path, encoding="utf-8") as file:
                return View.from_json(json.load(file))
        except (OSError, ValueError) as problem:
            return f"what was drawn cannot be read: {problem}"
        finally:
            with contextlib.suppress(OSError):
                os.remove(path)


def _end(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(_GRACE)  # its input has ended, and so does it
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
