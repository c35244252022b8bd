"""``python -m flow_metaflow.started FLOW ARGUMENTS…``: flow-core's command line for an old flow.

What a `flow_metaflow.runner.Runner` starts: the arguments are those of ``flow``, and FLOW, the file as
the runner was given it, stands in hints.
"""

from __future__ import annotations

import sys

from flow_core.api import FlowError, Front, main
from flow_metaflow import install


def start(file: str, *arguments: str) -> None:
    """Run the command line and exit."""
    try:
        install()
    except FlowError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    main(arguments, front=Front(f"python -m flow_metaflow {file}"))


if __name__ == "__main__":
    start(*sys.argv[1:])
