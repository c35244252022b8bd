"""How a manifest comes from a task to the launcher, where the store is no disk of this machine.

The task leaves a copy of what it has committed in a file beside its logs: reading that costs the
launcher nothing, reading the store a request for each task, one after the other. The store stays
the truth: what is missing, torn or another's is read there.
"""

from __future__ import annotations

import os
from contextlib import suppress

from flow_compute_local.logs import Log
from flow_core.api import FlowError, Manifest, TaskSpec


def place(log: Log) -> str | None:
    """Return where the task with this log leaves a copy; None where the store is as near."""
    return None if log.stored else f"{log.path}.manifest"


def leave_copy(path: str, content: bytes) -> None:
    """Leave a copy of a manifest; a disk that is full, or not there, makes no difference."""
    with suppress(OSError), open(path, "xb") as file:
        file.write(content)


def take(path: str | None, task: TaskSpec) -> Manifest | None:
    """Return the manifest that a task has left, and remove the file; None = read the store."""
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            manifest = Manifest.decode(file.read(), path)
        os.unlink(path)
    except (OSError, FlowError):
        return None
    same = manifest[:5] == (task.flow, task.run, task.step, task.task, task.attempt)
    return manifest if same else None
