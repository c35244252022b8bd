"""flow-exit-hook: functions that are called when a run has ended (``@exit_hook``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flow_exit_hook.decorator import ExitHookOptions as ExitHookOptions
    from flow_exit_hook.decorator import exit_hook as exit_hook


def __getattr__(name: str) -> Any:
    if name in ("ExitHookOptions", "exit_hook"):  # not needed by flows without the decorator
        from flow_exit_hook import decorator

        return getattr(decorator, name)
    raise AttributeError(f"module 'flow_exit_hook' has no attribute '{name}'")
