"""Calling the functions from the launcher, each in a process of its own; showing what they write."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from typing import IO, TYPE_CHECKING

from flow_core.api import Message, RunState
from flow_exit_hook.decorator import Function, functions, takes_run, title

if TYPE_CHECKING:
    from flow_core.api import Session

_LONGEST = 1 << 20
"""Bytes of a function's output that are shown."""


def call_all(session: Session, pathspec: str, state: RunState) -> None:
    """Call the functions for a run that has ended so. What goes wrong is shown, not raised."""
    outcome = "on_success" if state is RunState.SUCCEEDED else "on_error"
    for number, function in enumerate(functions(session.definition, outcome)):
        try:
            failure = _call(session, pathspec, outcome, number, function)
        except Exception as error:  # the run is over, and stays what it was
            failure = f"{type(error).__name__}: {error}"
        if failure:
            text = f"The exit hook '{title(function)}' failed: {failure}"
            session.emit(Message(text, "warning", time.time()))


def _call(session: Session, pathspec: str, outcome: str, number: int, function: Function) -> str:
    """Return what went wrong, or ``""``."""
    if not os.path.isfile(session.graph.file):  # a notebook: no other process could load it
        call_here(function, pathspec)
        return ""
    document = {"session": session.document, "outcome": outcome, "number": number, "run": pathspec}
    timeout = float(session.settings["exit_hook_timeout"])
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                [sys.executable, "-m", "flow_exit_hook.process"],
                input=json.dumps(document).encode(),
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(session),
                timeout=timeout,
                check=False,
            )
            failure = _ending(done.returncode)
        except subprocess.TimeoutExpired:
            failure = f"it took longer than {timeout:g} s, and was ended"
        _show(session, title(function), output)
    return failure


def call_here(function: Function, pathspec: str) -> None:
    """Call the function in this process."""
    if takes_run(function):
        from flow_core import Run

        function(run=Run(pathspec))
    else:
        function()


def _environment(session: Session) -> dict[str, str]:
    """Return the variables by which the process reads from the store and index of the run."""
    chosen = {**session.settings.overrides(), "datastore": session.store_text()}
    chosen["metadata"] = session.metadata.url
    variables = {f"FLOW_{name.upper()}": str(value) for name, value in chosen.items()}
    return {**session.settings.script_environment(), **variables}


def _ending(status: int) -> str:
    if status < 0:
        return f"it was killed by signal {-status}"
    return "" if status == 0 else f"exit status {status}"


def _show(session: Session, name: str, output: IO[bytes]) -> None:
    output.seek(0)
    text = output.read(_LONGEST).decode(errors="replace")
    for line in text.splitlines():
        session.emit(Message(f"[exit hook {name}] {line}", "info", time.time()))
