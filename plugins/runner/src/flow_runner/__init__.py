"""flow-runner: starts flows as processes of their own, from Python, and follows them.

    from flow_core import Runner

    with Runner("my_flow.py").run(alpha=3) as executing:
        print(executing.status, executing.run.data)

Importing this package imports nothing else.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow_runner.executing import ExecutingProcess as ExecutingProcess
    from flow_runner.executing import ExecutingRun as ExecutingRun
    from flow_runner.executing import ExecutingTask as ExecutingTask
    from flow_runner.executing import NotStarted as NotStarted
    from flow_runner.notebook import NBRunner as NBRunner
    from flow_runner.runner import Runner as Runner

_HOME = {
    "ExecutingProcess": "executing",
    "ExecutingRun": "executing",
    "ExecutingTask": "executing",
    "NBRunner": "notebook",
    "NotStarted": "executing",
    "Runner": "runner",
}

__all__ = sorted(_HOME)  # noqa: PLE0605 - computed, so that each name is written once


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'flow_runner' has no attribute '{name}'")
    value = getattr(importlib.import_module(f"flow_runner.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
