"""What `current` has by this plugin, for type checkers: ``flow plugins stubs`` reads it."""

from __future__ import annotations

from flow_parallel.place import Parallel


class ParallelAttributes:
    """In the members of a gang."""

    parallel: Parallel
    """The place of the task in its gang."""
