"""What ``FLOW_TRACE_HOOKS=1`` tells: each call of a hook, by whom it is answered, how long it takes.

    hook 12:31:04.204 3940  flow_task_call(task=F/1/train/2 attempt 0, flow)
    hook 12:31:04.204 3940    catch wraps what follows
    hook 12:31:04.209 3940      flow-core raises ValueError: no  4.812 ms
    hook 12:31:04.209 3940    catch -> None  5.120 ms

Each line has the time, the id of the process and, by its indentation, who called whom.
"""

from __future__ import annotations

import os
import reprlib
import sys
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any

import pluggy

_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = 60

KERNEL = "KernelHooks"
"""The name under which the kernel's own implementations are registered."""


def plugin_name(registered: str) -> str:
    """Return the name of a plugin for people: the kernel's own is ``flow-core``."""
    return "flow-core" if registered == KERNEL else registered


class Trace:
    """Writes lines about the calls of hooks in this process.

    Args:
        write: called with each line; None = to standard error.
    """

    def __init__(self, write: Callable[[str], object] | None = None) -> None:
        self._write = write or _to_stderr
        self._depth = 0

    def begin(self, hook: str, kwargs: Mapping[str, object], heard: bool) -> None:
        """Tell that a hook is called; ``heard`` says whether anybody implements it."""
        nobody = "" if heard else "  nobody implements it"
        self._tell(f"{hook}({_arguments(kwargs)}){nobody}")
        self._depth += 1

    def end(self) -> None:
        """Tell no more of the call that began last."""
        self._depth -= 1

    def traced(self, method: pluggy.HookImpl, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return a function that does what an implementation does, and tells of it."""
        name = plugin_name(method.plugin_name)
        if method.wrapper:
            return self._traced_wrapper(name, function)

        def told(*arguments: Any) -> Any:
            began = time.perf_counter()
            try:
                result = function(*arguments)
            except BaseException as error:
                self._done(name, began, f" raises {_raised(error)}")
                raise
            self._done(name, began, "" if result is None else f" -> {_SHORT.repr(result)}")
            return result

        return told

    def _traced_wrapper(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def told(*arguments: Any) -> Generator[None, object, object]:
            self._tell(f"{name} wraps what follows")
            began = time.perf_counter()
            self._depth += 1
            try:
                result = yield from function(*arguments)
            except BaseException as error:
                self._depth -= 1
                self._done(name, began, f" raises {_raised(error)}")
                raise
            self._depth -= 1
            self._done(name, began, f" -> {_SHORT.repr(result)}")
            return result

        return told

    def _done(self, name: str, began: float, result: str) -> None:
        took = (time.perf_counter() - began) * 1000
        self._tell(f"{name}{result}  {took:.3f} ms")

    def _tell(self, text: str) -> None:
        now = time.time()
        clock = time.strftime("%H:%M:%S", time.localtime(now))
        milliseconds = int(now % 1 * 1000)
        indent = "  " * self._depth
        self._write(f"hook {clock}.{milliseconds:03} {os.getpid()}  {indent}{text}")


def _to_stderr(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _raised(error: BaseException) -> str:
    first = str(error).partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _arguments(kwargs: Mapping[str, object]) -> str:
    return ", ".join(f"{name}{_shown(value)}" for name, value in kwargs.items())


def _shown(value: Any) -> str:
    """Return ``=VALUE`` for what can be told in a few words, ``""`` for other objects."""
    kind = type(value)
    if value is None or isinstance(value, (bool, int, float, str, bytes, BaseException)):
        return f"={_SHORT.repr(value)}"
    if not kind.__module__.startswith("flow_core."):
        return ""  # a flow, whose artifacts nobody has asked for, or an object of a plugin
    about = getattr(value, "spec", value)
    about = value.run if hasattr(getattr(value, "run", None), "pathspec") else about
    names = [getattr(about, name, None) for name in ("pathspec", "step", "name", "text")]
    words = [kind.__name__] if "at" in getattr(kind, "_fields", ()) else []  # an event
    words += [name for name in names if isinstance(name, str)][:1]
    attempt = getattr(about, "attempt", 0)
    return "=" + " ".join([*words, *([f"attempt {attempt}"] if attempt else [])]) if words else ""
