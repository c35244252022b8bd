"""Scripts that run flows and read results."""

from __future__ import annotations

from flow_core import (
    Flow,
    FlowError,
    FlowSpec,
    Run,
    RunFailed,
    Runner,
    Task,
    namespace,
    run_flow,
    step,
)


class Small(FlowSpec):
    """Two steps."""

    @step
    def start(self) -> None:
        """Begin."""
        self.next(self.end)

    @step
    def end(self) -> None:
        """End."""


def read() -> list[str]:
    """Read."""
    namespace(None)
    run = Flow("Small").latest_run
    if run is None or not run.successful:
        return []
    names = [task.pathspec for found in run for task in found]
    task: Task | None = run["end"].task
    if task is not None:
        names.append(str(task.data.total))
    return [*names, str(run.created_at), *run.tags]


def start() -> Run | None:
    """Run."""
    try:
        run: Run = run_flow(Small, {"alpha": 3}, tags=["test"], max_workers=2)
    except RunFailed as error:
        print(error.pathspec, error.state)
        return None
    except FlowError as error:
        print(error.what, error.hint)
        return None
    Small.run(alpha=3)
    with Runner("small.py") as runner:
        print(runner.run(alpha=3).run)
    return run
