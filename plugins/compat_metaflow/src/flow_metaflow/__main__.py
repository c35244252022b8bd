"""``python -m flow_metaflow SCRIPT …``: run a script in which ``metaflow`` means flow-core."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Sequence

from flow_metaflow import VERSION, install

USAGE = """Usage: python -m flow_metaflow SCRIPT [ARGS]…

Run SCRIPT, a flow or any script written for Metaflow, with flow-core: in it, its tasks and the
Python processes that they start, 'import metaflow' means flow-core.

  python -m flow_metaflow flow.py run --alpha 3
  python -m flow_metaflow read_results.py

What is not offered says so by name: docs/from-metaflow.md.
"""


def main(arguments: Sequence[str]) -> None:
    """Run the script that the arguments name."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(USAGE)
        sys.exit(0 if arguments else 2)
    if arguments[0] in ("--version", "version"):
        sys.stdout.write(f"flow-metaflow, the names of Metaflow {VERSION}\n")
        sys.exit(0)
    script = arguments[0]
    if not os.path.isfile(script):
        _no_script(script)
    _install()
    run_script(script, arguments)


def _no_script(name: str) -> None:
    known = name in ("status", "configure", "tutorials", "develop", "code")
    why = f"  why:   the command 'metaflow {name}' is not offered\n" if known else ""
    sys.stderr.write(
        f"error: There is no script '{name}'\n  where: {os.getcwd()}\n{why}"
        "  try:   python -m flow_metaflow flow.py run\n"
    )
    sys.exit(2)


def _install() -> None:
    from flow_core.api import FlowError

    try:
        install()
    except FlowError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)


def run_script(script: str, arguments: Sequence[str]) -> None:
    """Run ``script`` as Python runs one that it is given."""
    path = os.path.abspath(script)
    sys.argv[:] = arguments
    sys.path[0] = os.path.dirname(path)
    module = types.ModuleType("__main__")
    module.__file__ = path
    module.__builtins__ = __builtins__  # type: ignore[attr-defined]
    sys.modules["__main__"] = module
    with open(path, "rb") as file:
        source = file.read()
    from flow_metaflow.names import NotOffered

    try:
        exec(compile(source, path, "exec", dont_inherit=True), module.__dict__)
    except NotOffered as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(1)
    except Exception as error:
        # As Python does that runs it directly: the traceback begins in the script.
        frames = error.__traceback__.tb_next if error.__traceback__ is not None else None
        sys.excepthook(type(error), error.with_traceback(frames), frames)
        sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
