"""``python -m flow_remote <url>``: supervise a task on a machine that has flow-core and flow-remote."""

from __future__ import annotations

import sys

from flow_core.api import FlowError, read_task
from flow_remote.supervisor import run

if __name__ == "__main__":
    try:
        status = run(read_task(sys.argv[1]), [])
    except FlowError as error:
        sys.exit(f"The task could not begin, or was not finished.\n{error}")
    sys.exit(status)
