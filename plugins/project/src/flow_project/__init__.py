"""flow-project: flows that belong together, and branches of them that keep apart (``@project``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow_project.decorator import ProjectOptions as ProjectOptions
    from flow_project.decorator import project as project


def __getattr__(name: str) -> Any:
    if name in ("ProjectOptions", "project"):  # not needed by flows without the decorator
        from flow_project import decorator

        return getattr(decorator, name)
    raise AttributeError(f"module 'flow_project' has no attribute '{name}'")
