"""The audit file: what its lines say, and how they get there whole."""

from __future__ import annotations

import fcntl
import json
import os
import time
from datetime import datetime, timezone
from typing import Any

from flow_acme import AuditedOptions
from flow_core.api import FlowError, Manifest, RunDocument, SettingsError, TaskSpec


def start_line(run: RunDocument, task: TaskSpec, options: AuditedOptions) -> dict[str, Any]:
    """Return what is written when an attempt begins."""
    return {
        **_about(run, task, options),
        "event": "start",
        "at": _moment(time.time()),
    }


def end_line(run: RunDocument, manifest: Manifest, options: AuditedOptions) -> dict[str, Any]:
    """Return what is written when an attempt has ended: all that is known of it.

    Messages of errors are left out: they may hold what was in the data.
    """
    return {
        **_about(run, manifest, options),
        "event": "end",
        "at": _moment(manifest.finished or time.time()),
        "started": _moment(manifest.started),
        "outcome": manifest.state.value,
        "cause": manifest.failure.cause if manifest.failure else None,
        "error": manifest.failure.type if manifest.failure else None,
        "machine": manifest.host,
        "reused_from": manifest.origin,
    }


def _about(run: RunDocument, what: TaskSpec | Manifest, options: AuditedOptions) -> dict[str, Any]:
    return {
        "event": "",  # first in the line, as people read it
        "at": "",
        "user": run.user,
        "host": run.info.get("host"),
        "flow": what.flow,
        "run": what.run,
        "step": what.step,
        "task": what.task,
        "attempt": what.attempt,
        "purpose": options.purpose,
        "parameters": _parameters(run, options.values),
        "commit": run.info.get("git", {}).get("commit"),
        "code": run.code,
    }


def _parameters(run: RunDocument, values: bool) -> list[str] | dict[str, Any]:
    names = [name for name in run.parameters if name not in run.configs]
    if not values:
        return names
    texts = run.parameter_texts
    return {name: json.loads(texts[name]) if name in texts else "(long)" for name in names}


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")


class AuditLog:
    """A file of JSON lines, to which any number of processes append at once.

    Args:
        path: the file; made when there is none, readable for its owner and group.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def check(self) -> None:
        """Raise `SettingsError` when nothing can be appended."""
        try:
            os.close(self._open())
        except OSError as error:
            raise SettingsError(**self._refusal(error)) from None

    def append(self, line: dict[str, Any]) -> None:
        """Append a line, whole; `FlowError` when that cannot be done."""
        text = json.dumps(line, ensure_ascii=False, separators=(",", ":"))
        try:
            self._write(text.encode() + b"\n")
        except OSError as error:
            raise FlowError(**self._refusal(error)) from None

    def _write(self, line: bytes) -> None:
        file = self._open()
        try:
            fcntl.flock(file, fcntl.LOCK_EX)  # a long line may take two writes
            size = os.fstat(file).st_size
            torn = size and os.pread(file, 1, size - 1) != b"\n"  # by a crash: it stays one line
            rest = memoryview(b"\n" + line if torn else line)
            while rest:
                rest = rest[os.write(file, rest) :]
        finally:
            os.close(file)  # and the lock is gone

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        return os.open(self._path, flags, 0o640)

    def _refusal(self, error: OSError) -> dict[str, str]:
        """Return the four parts of an error."""
        return {
            "what": f"Nothing can be written to the audit file '{self._path}'",
            "where": "setting 'acme_audit_file'",
            "why": error.strerror or str(error),
            "hint": "name a file in a folder that exists and is yours: FLOW_ACME_AUDIT_FILE=…",
        }
