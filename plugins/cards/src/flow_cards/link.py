"""The launcher's side of making cards: it starts the process that makes them, and tells it of attempts."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol

from flow_cards.children import outcome_of
from flow_cards.making import (
    cards_of_step,
    failure_text,
    make_card,
    make_error_card,
    make_run_card,
    make_run_error_card,
    run_failure_text,
)
from flow_cards.storage import Place

if TYPE_CHECKING:
    from flow_cards.decorator import CardOptions
    from flow_core.api import Session

_GRACE = 5.0
_SAID = 2000


class Maker(Protocol):
    """Makes the cards of a run."""

    def ended(self, place: Place) -> None:
        """An attempt has ended: its cards can be made. Returns at once."""

    def of_run(self, flow: str, run: str) -> None:
        """Have a card of the whole run made, too, when those of its tasks are done."""

    def finish(self, patience: float) -> list[str]:
        """Wait for the cards, for so many seconds at most; return what went wrong, for people."""


def make_maker(session: Session) -> Maker:
    """Return what makes the cards of the run of a session."""
    store = session.store
    if store.capabilities.in_process or not session.index.opens("flow.stores", store.url):
        return Here(session)
    return Apart(session)


class Here:
    """Makes cards in this process, when the run has ended, without a limit of time: of runs whose
    store lies in the memory of this process, so that no other could read it. That is in tests."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._places: list[Place] = []
        self._run: tuple[str, str] | None = None

    def ended(self, place: Place) -> None:
        """See `Maker`."""
        self._places.append(place)

    def of_run(self, flow: str, run: str) -> None:
        """See `Maker`."""
        self._run = flow, run

    def finish(self, patience: float) -> list[str]:
        """See `Maker`."""
        problems = []
        for place in self._places:
            for number, options in enumerate(cards_of_step(self._session, place[2])):
                try:
                    make_card(self._session, place, number)
                except Exception as error:  # of the code of others
                    problems.append(self._failed(place, number, options, error))
        self._places.clear()
        if self._run is not None:
            try:
                make_run_card(self._session, *self._run)
            except Exception as error:  # of the code of others
                outcome = outcome_of(error)
                make_run_error_card(self._session, *self._run, "run", *outcome)
                problems.append(run_failure_text(*self._run, "run", outcome))
        return problems

    def _failed(self, place: Place, number: int, options: CardOptions, error: Exception) -> str:
        outcome = outcome_of(error)
        if options.save_errors:
            make_error_card(self._session, place, number, *outcome)
        return failure_text(place, options, outcome)


class Apart:
    """Has cards made by a process of its own, see `flow_cards.renderer`."""

    def __init__(self, session: Session) -> None:
        workers = session.settings["cards_workers"] or min(4, os.cpu_count() or 1)
        first = {"session": session.document, "workers": workers}
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed at the end
        self._process = subprocess.Popen(
            [sys.executable, "-m", "flow_cards.renderer"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env=session.settings.script_environment(),
            start_new_session=True,  # Ctrl-C of the terminal is for the launcher
            bufsize=0,
        )
        assert self._process.stdin is not None
        self._input = self._process.stdin.fileno()
        os.set_blocking(self._input, False)
        self._waiting = bytearray()
        self._tell(first)

    def ended(self, place: Place) -> None:
        """See `Maker`."""
        self._tell(place)

    def of_run(self, flow: str, run: str) -> None:
        """See `Maker`."""
        self._tell({"run": [flow, run, "run"]})

    def finish(self, patience: float) -> list[str]:
        """See `Maker`."""
        self._tell("finish")
        try:
            with _interruptible():
                report = self._report(time.monotonic() + patience)
        except KeyboardInterrupt:
            return ["Some cards were not made: Ctrl-C ended the waiting for them"]
        finally:
            self._end()
        if report is None:
            return [f"Some cards were not made within {patience:g} s (setting cards_wait)"]
        if not report:
            return [f"Cards could not be made, their process died: {self._last_words()}"]
        problems: list[str] = json.loads(report)
        return problems

    def _report(self, deadline: float) -> bytes | None:
        """Return what the process tells at its end: b"" when it died, None when it takes too long."""
        assert self._process.stdout is not None
        output = self._process.stdout.fileno()
        told = b""
        while (left := deadline - time.monotonic()) > 0:
            writing = [self._input] if self._waiting else []
            readable, _, _ = select.select([output], writing, [], left)
            self._send()
            if not readable:
                continue
            chunk = os.read(output, 1 << 16)
            told += chunk
            if not chunk or told.endswith(b"\n"):
                return told
        return None

    def _tell(self, message: Any) -> None:
        self._waiting += json.dumps(message).encode() + b"\n"
        self._send()

    def _send(self) -> None:
        """Send as much as goes without waiting: the launcher has tasks to run."""
        try:
            while self._waiting:
                del self._waiting[: os.write(self._input, self._waiting)]
        except BlockingIOError:
            pass
        except BrokenPipeError:
            self._waiting.clear()  # it died; `finish` says so

    def _end(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        try:
            self._process.wait(_GRACE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _last_words(self) -> str:
        self._said.seek(max(0, self._said.seek(0, os.SEEK_END) - _SAID))
        lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else f"exit status {self._process.returncode}"


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C raise: at the end of a run it is held back, so that the run is recorded whole."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, earlier)
