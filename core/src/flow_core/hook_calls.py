"""How hooks are called: in order, each failure with the name of its plugin, none for ever.

`HookManager` is pluggy's manager, which calls hooks with these additions: the order of `hook_order`, a
budget of time (`hook_budget`), a check of what is returned, and for hooks that only tell (observers)
that one which fails is put aside. Calls that succeed pay next to nothing for it.
"""

from __future__ import annotations

import reprlib
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import CodeType, FunctionType, ModuleType, TracebackType
from typing import Any, NamedTuple

import pluggy

from flow_core import hookspecs
from flow_core.errors import FlowError, PluginError
from flow_core.hook_budget import OverBudget, Watch
from flow_core.hook_order import Place, Ring, arrange, explain
from flow_core.late_hooks import BEFORE_RUNS

_NOT_BLAMED = ("flow_task_call", "flow_add_hooks", "flow_settings")
"""Hooks whose exceptions pass unchanged: the user's own come through the first; those of the others
are reported by who registers plugins."""

_IN_TASK = ("flow_task_setup", "flow_task_teardown")
"""Hooks whose exceptions keep their type, since the attempt fails by them as by one of the step's
own: the plugin is named in the task's log."""

_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = 60


class _Calling(NamedTuple):
    """All that is known of a hook before it is called.

    Attributes:
        given: its implementations, as pluggy gives them.
        methods: the same in order, checked and traced, without those that were put aside.
        codes: code → names of the plugins whose function has it.
        limit: seconds that the call may take, or None.
        observer: whether the hook only tells.
    """

    given: Sequence[pluggy.HookImpl]
    methods: Sequence[pluggy.HookImpl]
    codes: Mapping[CodeType, list[str]]
    limit: float | None
    observer: bool


class HookManager(pluggy.PluginManager):
    """See the module.

    Attributes:
        installed: hook modules that entry points name → their distribution's short name.
        aside: what happened to the observers that were put aside, oldest first.
        complete: loads the plugins that wait for a hook of runs; None = nobody waits.

    Args:
        budget: seconds that an implementation may take in this process; None = any time.
        tell: called with lines about each call of a hook; None = nobody asks.
    """

    def __init__(
        self, budget: float | None = None, tell: Callable[[str], object] | None = None
    ) -> None:
        super().__init__(hookspecs.PROJECT)
        self.installed: Mapping[str, str] = {}
        self.aside: list[PluginError] = []
        self.tell = tell
        self.complete: Callable[[], object] | None = None
        self._budget = budget
        self._watch = Watch()
        self._left_out: set[tuple[str, str]] = set()
        self._callings: dict[str, _Calling] = {}

    def places(self, hook: str) -> list[Place]:
        """Return who implements a hook, in call order, with the reason for each place.

        Raises:
            Ring: the order that they wish cannot be.
        """
        if self.complete is not None:
            self.complete()
        return explain(arrange(getattr(self.hook, hook).get_hookimpls()))

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        """Return what the mark of a hook implementation says; None for all that is none.

        pluggy looks at each attribute of a plugin so that no descriptor is run. The functions of a
        module can be looked at directly, which makes registering fifty modules ten times as fast.
        """
        if type(plugin) is not ModuleType:
            return super().parse_hookimpl_opts(plugin, name)
        function = plugin.__dict__.get(name)
        if type(function) is not FunctionType:
            return None
        return getattr(function, f"{hookspecs.PROJECT}_impl", None)

    # --- calling --------------------------------------------------------------------------------

    def _hookexec(
        self,
        hook_name: str,
        methods: Sequence[pluggy.HookImpl],
        kwargs: Mapping[str, object],
        firstresult: bool,
    ) -> Any:
        if self.complete is not None and hook_name not in BEFORE_RUNS:
            methods = self._with_late(hook_name, methods)
        calling = self._callings.get(hook_name)
        if calling is None or calling.given != methods:
            calling = self._callings[hook_name] = self._prepare(hook_name, methods)
        if self.tell is not None:
            self.tell(f"hook {hook_name}({_arguments(kwargs)})")
        left = calling.methods
        while True:
            watched = calling.limit is not None and self._watch.begin(calling.limit, calling.codes)
            try:
                return self._inner_hookexec(hook_name, left, kwargs, firstresult)
            except BrokenPipeError:
                raise  # the reader of our output is gone (`| head`)
            except (Exception, SystemExit, OverBudget) as error:
                culprit = self._culprit(hook_name, calling, error)
                if culprit is None:
                    raise
                failed = self._failed(hook_name, culprit, _step(kwargs), error)
                if hook_name in _IN_TASK:
                    sys.stderr.write(f"{failed}\n")
                    raise
                if not calling.observer:
                    raise failed from error
                self._put_aside(hook_name, culprit.names, failed)
                left = _not_called(left, culprit.names)
            finally:
                if watched:
                    self._watch.end()

    def _with_late(
        self, hook: str, methods: Sequence[pluggy.HookImpl]
    ) -> Sequence[pluggy.HookImpl]:
        """Load the plugins that wait; return the implementations with theirs."""
        earlier = {name for name, _ in self.list_name_plugin()}
        assert self.complete is not None
        self.complete()
        now = getattr(self.hook, hook).get_hookimpls()
        return [*methods, *(m for m in now if m.plugin_name not in earlier)]

    def _prepare(self, hook: str, methods: Sequence[pluggy.HookImpl]) -> _Calling:
        try:
            ordered = arrange(methods)
        except Ring as ring:
            raise in_a_ring(hook, ring) from None
        codes: dict[CodeType, list[str]] = {}
        for method in ordered:
            code = getattr(method.function, "__code__", None)
            if code is not None:
                codes.setdefault(code, []).append(method.plugin_name)
        kept = [m for m in ordered if (m.plugin_name, hook) not in self._left_out]
        spec = getattr(self.hook, hook).spec
        marks = getattr(spec and spec.function, hookspecs.MARKS_ATTRIBUTE, hookspecs.Marks())
        wrapped = [self._wrapped(hook, method, marks.returns) for method in kept]
        limit = None if hook in (*_NOT_BLAMED, *_IN_TASK) else self._limit(kept)
        return _Calling(list(methods), wrapped, codes, limit, marks.observer)

    def _limit(self, methods: Iterable[pluggy.HookImpl]) -> float | None:
        """Return the time for all of them: that of the one that may take longest."""
        budgets = [
            getattr(m.function, hookspecs.BUDGET_ATTRIBUTE, hookspecs.USUAL) for m in methods
        ]
        own = [self._budget if budget == hookspecs.USUAL else budget for budget in budgets]
        known = [budget for budget in own if budget is not None]
        return max(known) if known and len(known) == len(own) else None

    # --- what implementations return, and a trace of them ----------------------------------------

    def _wrapped(
        self, hook: str, method: pluggy.HookImpl, returns: hookspecs.Returns | None
    ) -> pluggy.HookImpl:
        """Return the implementation with a check of its result, and traced; itself if neither."""
        if method.wrapper or method.hookwrapper or (returns is None and self.tell is None):
            return method
        function = method.function

        def checked(*arguments: Any) -> Any:
            began = time.perf_counter()
            result = function(*arguments)
            if self.tell is not None:
                took = (time.perf_counter() - began) * 1000
                self.tell(f"  {method.plugin_name}: {_SHORT.repr(result)} in {took:.3f} ms")
            for wrong in returns.wrong(result) if returns is not None else ():
                raise self._nonsense(hook, method, returns, wrong)
            return result

        wrapped = pluggy.HookImpl(method.plugin, method.plugin_name, checked, method.opts)
        object.__setattr__(wrapped, "argnames", method.argnames)  # those of the function inside
        return wrapped

    def _nonsense(
        self,
        hook: str,
        method: pluggy.HookImpl,
        returns: hookspecs.Returns | None,
        wrong: object,
    ) -> PluginError:
        code = getattr(method.function, "__code__", None)
        return PluginError(
            f"The plugin '{method.plugin_name}' returned nonsense from its hook {hook}",
            where=f"{code.co_filename}:{code.co_firstlineno}" if code else None,
            why=f"{_SHORT.repr(wrong)} ({type(wrong).__name__}) where the hook returns {returns}",
            hint=f"repair it, or leave it out: {self._way_out([method.plugin_name])}",
        )

    # --- failures -------------------------------------------------------------------------------

    def _culprit(self, hook: str, calling: _Calling, error: BaseException) -> _Culprit | None:
        """Return who is to blame; None where the error passes unchanged."""
        # An observer cannot stop anything on purpose.
        if hook in _NOT_BLAMED or (isinstance(error, FlowError) and not calling.observer):
            return None
        return _raised_in(calling.codes, error)

    def _failed(self, hook: str, culprit: _Culprit, step: str, error: BaseException) -> PluginError:
        place = [culprit.place, *([f"step '{step}'"] if step else []), time.strftime("%H:%M:%S")]
        why = str(error) if isinstance(error, OverBudget) else f"{type(error).__name__}: {error}"
        return PluginError(
            f"The plugin {' or '.join(map(repr, culprit.names))} failed in its hook {hook}",
            where=", ".join(place),
            why=why,
            hint=f"repair it, or leave it out: {self._way_out(culprit.names)}",
        )

    def _way_out(self, names: Sequence[str]) -> str:
        # What a plugin registers itself is named after it: "terminal.listener".
        owner = self.installed.get(names[0]) or self.installed.get(names[0].partition(".")[0])
        return f"-p no:{owner}" if owner else f"no '-p {names[0]}'"

    def _put_aside(self, hook: str, names: Sequence[str], failed: PluginError) -> None:
        """Never call them again in this hook."""
        self._left_out.update((name, hook) for name in names)
        self._callings.pop(hook, None)
        self.aside.append(failed)


def in_a_ring(hook: str, ring: Ring) -> PluginError:
    """Return the error of plugins whose wishes contradict each other."""
    return PluginError(
        f"The plugins {', '.join(ring.names)} cannot be put in order for the hook {hook}",
        why=f"each wants to come before the next: {ring}",
        hint=f"change a before= or after=, or leave one out: -p no:{ring.names[0]}",
    )


def _not_called(methods: Sequence[pluggy.HookImpl], failed: Sequence[str]) -> list[pluggy.HookImpl]:
    """Return those that come after the one that failed. pluggy calls the last of the list first.

    A wrapper that fails has called the others, or ends the call with its own end.
    """
    at = [n for n, method in enumerate(methods) if method.plugin_name in failed]
    if not at or methods[at[-1]].wrapper or methods[at[-1]].hookwrapper:
        return []
    return [m for m in methods[: at[-1]] if m.plugin_name not in failed]


def _step(kwargs: Mapping[str, object]) -> str:
    """Return the name of the step that a call is about, or ``""``."""
    for argument in (kwargs.get("task"), kwargs.get("step"), kwargs.get("event")):
        for thing in (argument, getattr(argument, "spec", None), getattr(argument, "task", None)):
            name = getattr(thing, "step", None) or (
                getattr(thing, "name", None) if argument is kwargs.get("step") else None
            )
            if isinstance(name, str):
                return name
    return ""


def _arguments(kwargs: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={_SHORT.repr(value)}" for name, value in kwargs.items())


class _Culprit(NamedTuple):
    """Who raised an exception: names of plugins (more than one where they share a function), and
    the place in the plugin's file."""

    names: list[str]
    place: str


def _raised_in(codes: Mapping[CodeType, list[str]], error: BaseException) -> _Culprit | None:
    """Return whose implementation raised ``error``; None when the traceback shows none of them."""
    names: list[str] = []
    place, file = "", ""
    for code, line in _calls(error.__traceback__):
        # The innermost counts: the exceptions of others pass through wrappers.
        if code in codes:
            names, file = codes[code], code.co_filename
        if names and code.co_filename == file:
            place = f"{file}:{line}"
    return _Culprit(names, place) if names else None


def _calls(traceback: TracebackType | None) -> Iterable[tuple[CodeType, int]]:
    """Yield the code and the line of each call, outermost first."""
    while traceback is not None:
        yield traceback.tb_frame.f_code, traceback.tb_lineno
        traceback = traceback.tb_next
