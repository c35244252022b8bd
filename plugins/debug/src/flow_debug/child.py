"""The process in which a task is debugged: ``python -m flow_debug.child ORDER``."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from flow_core.api import (
    FlowError,
    OverlayStore,
    Session,
    Settings,
    Store,
    TaskSpec,
    attempt_prefix,
    code_folder,
    installed,
    task_command,
)
from flow_debug.debugger import Debugger

_STORE = "debug"
_STORES = "flow.stores"


def main() -> int:
    """Debug the attempt that the order names; return 0 unless it could not be looked at."""
    with open(sys.argv[1], encoding="utf-8") as file:
        order: dict[str, Any] = json.load(file)
    try:
        return _debug(order, TaskSpec.from_json(order["task"]))
    except FlowError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _debug(order: dict[str, Any], spec: TaskSpec) -> int:
    document = order["session"]
    document["settings"]["datastore"] = _STORE
    debugger = Debugger(code_folder(document["file"]), order["start"], order["script"])
    session = Session.from_document(
        document,
        modules=[debugger],
        providers={("store", _STORE): _read_only(order["store"], order["scratch"], spec)},
    )
    session.use_configs_of(spec.flow, spec.run)
    if spec.step not in session.graph:
        raise FlowError(f"The flow has no step '{spec.step}'", where=document["file"])
    command = task_command(session, spec, interpreter=False)
    os.environ.update(command.variables)
    if command.folder is not None:
        os.chdir(command.folder)
    status = session.run_attempt(spec)
    if debugger.was_entered:
        return 0
    if status == 0:
        sys.stdout.write(
            f"Step '{spec.step}' ended well this time: there is nothing to stop at.\n"
            "  stop at its first line: --start\n"
        )
    return status


def _read_only(url: str, scratch: str, spec: TaskSpec) -> Store:
    """Return the store of the run, with another one for what is written: that is thrown away."""
    (kind,) = (s.default for s in Settings().declared() if s.name == "datastore")
    own = installed().open(_STORES, f"{kind}://{scratch}")
    result = attempt_prefix(spec.flow, spec.run, spec.step, spec.task, spec.attempt)

    def below(key: str) -> str | None:
        return None if key.startswith(result) else key

    return OverlayStore(own, installed().open(_STORES, url), below)


if __name__ == "__main__":
    sys.exit(main())
