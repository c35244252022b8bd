"""One attempt in an interpreter of its own: ``python -m flow_compute_local.attempt``.

Reads ``{"session": …, "task": …}`` from its standard input. It is `flow_core.launch` for sessions
that are not the kernel's.
"""

from __future__ import annotations

import json
import sys
from functools import partial

from flow_core.api import TaskSpec, tell_begin


def main() -> int:
    """Run the attempt; return the exit status."""
    from flow_compute_local.interpreter import rebuild

    document = json.load(sys.stdin)
    runtime = rebuild(document["session"])
    task, begin = TaskSpec.from_json(document["task"]), document["begin"]
    return int(runtime.run_attempt(task, None if begin is None else partial(tell_begin, begin)))


if __name__ == "__main__":
    sys.exit(main())
