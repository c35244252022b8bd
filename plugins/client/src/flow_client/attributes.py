"""What `current` has by this plugin, for type checkers: ``flow plugins stubs`` reads it."""

from __future__ import annotations

from flow_client import Run, Task


class ClientAttributes:
    """In each task."""

    run: Run
    """The run that goes on."""
    task: Task
    """The task that runs."""
