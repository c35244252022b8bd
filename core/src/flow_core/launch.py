"""An attempt in a process of its own: ``python -m flow_core.launch`` with a document on stdin.

The document is all that such a process is told; the rest it reads from the store.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
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


def tell_begin(descriptor: int) -> None:
    """Tell who started this process that the body of the step begins: write a byte, and close.

    Nobody may be there any more to hear it; the attempt goes on all the same. Since 0.1.
    """
    with suppress(BrokenPipeError):
        os.write(descriptor, b".")
    os.close(descriptor)


def _rebuilt(document: dict[str, Any]) -> Runtime:
    """Make the session that a document describes, or another runtime: it names who makes that.

    So the conformance suite tests providers with steps that need no flow.
    """
    if "rebuild" not in document:
        return Session.from_document(document)
    module, _, function = document["rebuild"].partition(":")
    runtime: Runtime = getattr(importlib.import_module(module), function)(document)
    return runtime


def main() -> int:
    """Run the attempt whose `launch_document` is on standard input; return the exit status."""
    document = json.load(sys.stdin)
    check_format(document, "launch document")
    runtime = _rebuilt(document["session"])
    begin = document.get("begin")
    return runtime.run_attempt(
        TaskSpec.from_json(document["task"]), None if begin is None else partial(tell_begin, begin)
    )


if __name__ == "__main__":
    sys.exit(main())
