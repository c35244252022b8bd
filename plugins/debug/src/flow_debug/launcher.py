"""Starts the process in which a task is debugged, with the terminal as its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from typing import Any

from flow_core.api import Session, TaskCommand, TaskSpec, python_command


def launch(
    session: Session,
    file: str,
    spec: TaskSpec,
    start: bool,
    script: str | None,
    python: TaskCommand,
) -> int:
    """Debug an attempt in a process of its own; return its exit status.

    Args:
        session: where the attempt is recorded.
        file: the flow's file.
        spec: the attempt.
        start: whether to stop at the first line.
        script: file with commands for the debugger; None = standard input.
        python: in which Python.
    """
    document: dict[str, Any] = {
        "session": session.document_of(file, spec.flow),
        "store": session.store_text(),
        "task": spec.to_json(),
        "start": start,
        "script": os.path.abspath(script) if script is not None else None,
    }
    document["session"]["arguments"] = [file]
    session.close_index()
    with tempfile.TemporaryDirectory(prefix="flow-debug-state-") as folder:
        document["scratch"] = os.path.join(folder, "store")
        order = os.path.join(folder, "order.json")
        with open(order, "w", encoding="utf-8") as text:
            json.dump(document, text)
        sys.stdout.flush()
        interpreter = python.interpreter or sys.executable
        command = [*python_command(interpreter, "flow_debug.child", python.runtime), order]
        process = subprocess.Popen(command, env={**os.environ, **python.variables})
        earlier = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the debugger's
        try:
            return process.wait()
        finally:
            signal.signal(signal.SIGINT, earlier)
