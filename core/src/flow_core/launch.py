"""An attempt in a process of its own: ``python -m flow_core.launch`` with a document on stdin.

The document is all that such a process is told; the rest it reads from the store.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any

from flow_core.interfaces import Runtime
from flow_core.records import FORMAT, TaskSpec, check_format
from flow_core.session import Session


def launch_document(runtime: Runtime, task: TaskSpec, begin: int | None = None) -> dict[str, Any]:
    """Return the JSON document from which ``python -m flow_core.launch`` runs an attempt.

    Args:
        runtime: the session.
        task: which attempt.
        begin: a descriptor that the process inherits, to `tell_begin` by.
    """
    document = {"format": FORMAT, "session": runtime.document, "task": task.to_json()}
    return document if begin is None else {**document, "begin": begin}


_START = (
    "import runpy, sys; sys.path.insert(1, sys.argv.pop(1)); "
    "runpy.run_module(sys.argv.pop(1), run_name='__main__', alter_sys=True)"
)


def python_command(interpreter: str, module: str, runtime: str | None = None) -> list[str]:
    """Return the words that run a module of flow-core, or of a plugin, in any Python.

    Args:
        interpreter: path of that Python.
        module: what to run, as behind ``python -m``; its arguments may follow the words.
        runtime: see `TaskCommand.runtime`.

    Since 0.1.
    """
    if runtime is None:
        return [interpreter, "-m", module]
    return [interpreter, "-c", _START, runtime, module]


def tell_begin(descriptor: int) -> None:
    """Tell who started this process that the body of the step begins: write a byte, and close.

    Nobody may be there any more to hear it; the attempt goes on all the same. Since 0.1.
    """
    with suppress(BrokenPipeError):
        os.write(descriptor, b".")
    os.close(descriptor)


def rebuild_runtime(document: Mapping[str, Any]) -> Runtime:
    """Make the runtime whose `Runtime.document` this is, in another process.

    It is a session, or what the function ``module:function`` makes of the document that it names as
    ``rebuild``: so do the runtimes of conformance tests. Since 0.1.
    """
    module, _, function = document.get("rebuild", "").partition(":")
    if not module:
        return Session.from_document(document)
    made: Runtime = getattr(importlib.import_module(module), function)(document)
    return made


def main() -> int:
    """Run the attempt whose `launch_document` is on standard input; return the exit status."""
    document = json.load(sys.stdin)
    check_format(document, "launch document")
    runtime = rebuild_runtime(document["session"])
    begin = document.get("begin")
    return runtime.run_attempt(
        TaskSpec.from_json(document["task"]), None if begin is None else partial(tell_begin, begin)
    )


if __name__ == "__main__":
    sys.exit(main())
