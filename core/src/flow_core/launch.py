"""An attempt in a process of its own: ``python -m flow_core.launch`` with a document on stdin.

The document is all that such a process is told; the rest it reads from the store.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from flow_core.interfaces import Runtime
from flow_core.records import FORMAT, TaskSpec, check_format
from flow_core.session import Session


def launch_document(runtime: Runtime, task: TaskSpec) -> dict[str, Any]:
    """Return the JSON document from which ``python -m flow_core.launch`` runs an attempt."""
    return {"format": FORMAT, "session": runtime.document, "task": task.to_json()}


def main() -> int:
    """Run the attempt whose `launch_document` is on standard input; return the exit status."""
    document = json.load(sys.stdin)
    check_format(document, "launch document")
    session = Session.from_document(document["session"])
    return session.run_attempt(TaskSpec.from_json(document["task"]))


if __name__ == "__main__":
    sys.exit(main())
