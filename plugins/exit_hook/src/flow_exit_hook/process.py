"""The process in which one function is called: ``python -m flow_exit_hook.process``."""

from __future__ import annotations

import json
import sys
import traceback

from flow_core.api import Session
from flow_exit_hook.calls import call_here
from flow_exit_hook.decorator import functions


def main() -> int:
    """Call the function that the document on standard input names; return the exit status."""
    document = json.load(sys.stdin)
    session = Session.from_document(document["session"])
    function = functions(session.definition, document["outcome"])[document["number"]]
    try:
        call_here(function, document["run"])
    except Exception as error:
        _show(error)
        return 1
    return 0


def _show(error: Exception) -> None:
    """Print the traceback from the function on: how it came to be called says nothing to people."""
    frames = traceback.extract_tb(error.__traceback__)[2:]
    sys.stderr.write("Traceback (most recent call last):\n")
    sys.stderr.writelines(traceback.format_list(frames))
    sys.stderr.writelines(traceback.format_exception_only(error))


if __name__ == "__main__":
    sys.exit(main())
