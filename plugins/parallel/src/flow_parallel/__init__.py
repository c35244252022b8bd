"""flow-parallel: gangs of tasks that start together and talk to each other (``@parallel``)."""

from __future__ import annotations

from dataclasses import dataclass

from flow_core.api import DefinitionError, Options, StepDecorator, option


@dataclass(frozen=True)
class ParallelOptions(Options):
    """Let a step be the tasks of a gang: ``self.next(self.train, num_parallel=4)``.

    They start together, or not at all, and ``current.parallel`` tells each one which it is and where
    the main one is: ``main_ip``, ``main_port``, ``num_nodes``, ``node_index``, ``control_task_id``.
    When one fails all are ended, and tried again together. A join follows directly.
    Since 0.1.
    """

    port: int = option(0, "Port at which the main task can listen; 0 = one that is free.")

    def validate(self) -> None:
        """Refuse what is no port."""
        if not 0 <= self.port <= 65535:
            raise DefinitionError(
                f"Option 'port' must be between 0 and 65535, not {self.port}",
                hint="@parallel, which takes a free port, or @parallel(port=29500)",
            )


parallel = StepDecorator("parallel", ParallelOptions)
