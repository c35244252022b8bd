"""``python -m flow_remote <url>``: supervise a task on a machine that has flow-core and flow-remote."""

from __future__ import annotations

import sys

from flow_core.api import FlowError, read_task
from flow_remote.supervisor import main

if __name__ == "__main__":
    try:
        spec = read_task(sys.argv[1])
    except FlowError as error:
        sys.exit(f"The task could not begin.\n{error}")
    sys.exit(main(spec, []))
