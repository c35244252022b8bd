"""Processes in which is tried what may hang or load a lot: as tasks do it, and with a limit.

A probe is `flow_diagnose.probe` in an interpreter of its own. It writes a line of JSON for each thing
that it begins, and for each thing that it finds; what it has begun must be found in time.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from typing import IO, Any, NamedTuple

from flow_core.api import Diagnosis

_START = 60.0
"""Seconds that an interpreter gets to start: a busy machine is no reason to call a store dead."""

_END = 1.0  # seconds that a killed probe gets to be gone; one that is stuck in the system is left


class Outcome(NamedTuple):
    """What a probe has found.

    Attributes:
        lines: for people.
        data: facts for programs, by name.
    """

    lines: tuple[Diagnosis, ...]
    data: Mapping[str, Any]


def run_probes(asked: Mapping[str, Mapping[str, Any]], limit: float) -> dict[str, Outcome]:
    """Run probes at the same time.

    Args:
        asked: what to probe → what the probe is given, as JSON data.
        limit: seconds until each thing that a probe begins must be found.
    """
    found: dict[str, Outcome] = {}

    def one(name: str) -> None:
        found[name] = run_probe(name, asked[name], limit)

    threads = [threading.Thread(target=one, args=(name,), daemon=True) for name in asked]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {name: found[name] for name in asked}


def run_probe(
    name: str, given: Mapping[str, Any], limit: float, command: Sequence[str] = ()
) -> Outcome:
    """Run one probe to its end, or to that of its time.

    Args:
        name: what to probe.
        given: passed to it.
        limit: as for `run_probes`.
        command: the program, for tests; empty = the probe.
    """
    process = subprocess.Popen(
        command or (sys.executable, "-m", "flow_diagnose.probe", name),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,  # so that what it starts can be ended with it
    )
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # it ended at once; that is told below
        process.stdin.write(json.dumps(given).encode())
        process.stdin.close()
    streams = _Streams(process)
    try:
        return _follow(name, process, streams, limit)
    finally:
        _end(process)
        streams.join()


class _Streams:
    """Reads what a probe writes, in threads: one that hangs must not keep anybody.

    Attributes:
        news: the lines of JSON on standard output; None at its end.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.news: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._errors: list[bytes] = []
        self._threads = [
            threading.Thread(target=self._read, args=(process.stdout,), daemon=True),
            threading.Thread(target=self._read_errors, args=(process.stderr,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def errors(self) -> bytes:
        """Return what was written to standard error, once that has ended."""
        self._threads[1].join(_END)
        return b"".join(self._errors)

    def join(self) -> None:
        """Wait until both have ended, but not for ever."""
        for thread in self._threads:
            thread.join(_END)

    def _read(self, stream: IO[bytes]) -> None:
        with stream:
            for line in stream:
                if line.startswith(b"{"):  # a plugin may print something, too
                    self.news.put(line)
        self.news.put(None)

    def _read_errors(self, stream: IO[bytes]) -> None:
        with stream:
            self._errors.append(stream.read())


def _follow(
    name: str, process: subprocess.Popen[bytes], streams: _Streams, limit: float
) -> Outcome:
    lines: list[Diagnosis] = []
    data: dict[str, Any] = {}
    begun, until = "", time.monotonic() + _START
    while True:
        try:
            raw = streams.news.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            lines.append(_silent(begun or name, limit if begun else _START))
            return Outcome(tuple(lines), data)
        if raw is None:
            lines.append(_died(begun or name, process, streams.errors()))
            return Outcome(tuple(lines), data)
        told = json.loads(raw)
        if "begin" in told:
            begun, until = told["begin"], time.monotonic() + limit
        elif "line" in told:
            lines.append(Diagnosis(*told["line"]))
        elif "data" in told:
            data.update(told["data"])
        else:
            return Outcome(tuple(lines), data)


def _silent(subject: str, seconds: float) -> Diagnosis:
    hints = {
        "store": "look whether its place is reachable from here, or choose another: --datastore",
        "index": "look whether its place is reachable from here, or choose another: --metadata",
        "plugins": "flow plugins check tells which plugin takes long to be imported",
    }
    return Diagnosis(
        subject,
        "fail",
        f"no answer within {seconds:g} s",
        hint=hints.get(subject, "--timeout SECONDS waits longer"),
    )


def _died(subject: str, process: subprocess.Popen[bytes], errors: bytes) -> Diagnosis:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END)
    code = process.returncode
    how = "its process ended" if code is None else f"its process ended with {code}"
    last = errors.decode(errors="replace").strip().splitlines()[-1:]
    return Diagnosis(
        subject, "fail", f"{how}, without an answer", last[0] if last else "", "FLOW_DEBUG=1"
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a probe with all that it has started."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_END)
