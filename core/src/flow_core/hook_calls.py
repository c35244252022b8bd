"""How hooks are called: in order, each failure with the name of its plugin, none for ever.

`HookManager` is pluggy's manager, which calls hooks with these additions: the order of `hook_order`, a
budget of time (`hook_budget`), a check of what is returned, and for hooks that only tell (observers)
that one which fails is put aside. Calls that succeed pay next to nothing for it.
"""

from __future__ import annotations

import inspect
import reprlib
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import CodeType, FunctionType, MethodType, ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple

import pluggy

from flow_core import hookspecs
from flow_core.errors import FlowError, PluginError
from flow_core.hook_budget import OverBudget, Watch
from flow_core.hook_order import Place, Ring, arrange, budget_of, explain

if TYPE_CHECKING:
    from flow_core.hook_trace import Trace

if TYPE_CHECKING:
    from flow_core.deprecation import Deprecation

_NOT_BLAMED = ("flow_task_call", "flow_add_hooks", "flow_settings")
"""Hooks whose exceptions pass unchanged: the user's own come through the first; those of the others
are reported by who registers plugins."""

_IN_TASK = ("flow_task_setup", "flow_task_teardown")
"""Hooks whose exceptions keep their type, since the attempt fails by them as by one of the step's
own: the plugin is named in the task's log."""

_NO_MARKS = hookspecs.Marks()

_SHORT = reprlib.Repr()
_SHORT.maxother = _SHORT.maxstring = 60


def hookable(value: object) -> bool:
    """Whether something is of a kind that can be a hook implementation at all."""
    return isinstance(value, (FunctionType, MethodType, classmethod, staticmethod))


class HookInfo(NamedTuple):
    """What is known of a hook from its declaration.

    Attributes:
        name: its name.
        arguments: their names.
        first_result: the first implementation that returns something else than None ends the call.
        historic: plugins that come later are called, too.
        observer: it only tells; who fails is put aside.
        returns: what implementations may return; None = it is not checked.
        budget: seconds that an implementation may take in the launcher; None = any time.
        doc: the text of the declaration.
        declared: where it stands among others.

    Since 0.1.
    """

    name: str
    arguments: tuple[str, ...]
    first_result: bool
    historic: bool
    observer: bool
    returns: hookspecs.Returns | None
    budget: float | None
    doc: str
    declared: tuple[bool, str, int]


class WrongArguments(pluggy.PluginValidationError):
    """An implementation takes arguments that its hook does not give.

    Attributes:
        function: the implementation.
        unknown: names of those arguments.
        given: names of those that the hook gives.
    """

    def __init__(
        self, hook: str, method: pluggy.HookImpl, unknown: Sequence[str], given: Sequence[str]
    ) -> None:
        takes, gets = ", ".join(map(repr, unknown)), ", ".join(given) or "nothing"
        super().__init__(method.plugin, f"{hook} takes {takes}, and is given: {gets}")
        self.function, self.unknown, self.given = method.function, unknown, given


class _Calling(NamedTuple):
    """All that is known of a hook before it is called.

    Attributes:
        given: its implementations, as pluggy gives them.
        methods: the same in order, checked and traced, without those that were put aside.
        codes: code → names of the plugins whose function has it.
        limits: code → seconds that it may take, of those whose time is limited.
        observer: whether the hook only tells.
    """

    given: Sequence[pluggy.HookImpl]
    methods: Sequence[pluggy.HookImpl]
    codes: Mapping[CodeType, list[str]]
    limits: Mapping[CodeType, float]
    observer: bool


class HookManager(pluggy.PluginManager):
    """See the module.

    Attributes:
        installed: hook modules that entry points name → their distribution's short name.
        aside: what happened to the observers that were put aside, oldest first.

    Args:
        budget: seconds that an implementation may take in this process; None = any time.
        trace: is told of each call of a hook; None = nobody asks.
    """

    def __init__(self, budget: float | None = None, trace: Trace | None = None) -> None:
        super().__init__(hookspecs.PROJECT)
        self.installed: Mapping[str, str] = {}
        self.aside: list[PluginError] = []
        self._trace = trace
        self._budget = budget
        self._watch = Watch()
        self._left_out: set[tuple[str, str]] = set()
        self._former: dict[str, str] = {}
        self._callings: dict[str, _Calling] = {}

    def places(self, hook: str) -> list[Place]:
        """Return who implements a hook, in call order, with the reason for each place.

        Raises:
            Ring: the order that they wish cannot be.
        """
        arranged = arrange(getattr(self.hook, hook).get_hookimpls())
        usual = self._usual(hook)
        return [
            place._replace(budget=usual) if place.budget == hookspecs.USUAL else place
            for place in explain(arranged)
        ]

    def hooks(self) -> list[HookInfo]:
        """Return what is known of each hook that is declared, in the order of the declarations:
        the kernel's, then those of plugins.

        Since 0.1.
        """
        specs = [c.spec for name, c in vars(self.hook).items() if name[0] != "_" and c.spec]
        return sorted(map(self._info, specs), key=lambda info: info.declared)

    def _info(self, spec: Any) -> HookInfo:
        marks = getattr(spec.function, hookspecs.MARKS_ATTRIBUTE, hookspecs.Marks())
        code = spec.function.__code__
        module = spec.function.__module__
        return HookInfo(
            spec.name,
            tuple(spec.argnames),
            bool(spec.opts["firstresult"]),
            bool(spec.opts["historic"]),
            marks.observer,
            marks.returns,
            self._usual(spec.name),
            inspect.cleandoc(spec.function.__doc__ or ""),
            (module != hookspecs.__name__, module, code.co_firstlineno),
        )

    def _usual(self, hook: str) -> float | None:
        """Return the time for implementations that ask for none of their own."""
        return None if hook in (*_NOT_BLAMED, *_IN_TASK) else self._budget

    # --- former names ---------------------------------------------------------------------------

    def present_name(self, hook: str) -> str:
        """Return the name of a hook that is declared, for its former name; else what is given."""
        return self._former.get(hook, hook)

    def add_hookspecs(self, module_or_class: Any) -> None:
        """Add declarations of hooks, and their former names."""
        super().add_hookspecs(module_or_class)
        for name, spec in vars(module_or_class).items():
            notice = getattr(spec, hookspecs.MARKS_ATTRIBUTE, _NO_MARKS).deprecated
            if notice is not None and notice.name:
                self._former[notice.name] = name
                self._adopt(notice.name, getattr(self.hook, name))

    def _adopt(self, former: str, hook: pluggy.HookCaller) -> None:
        """Take over what plugins that came before the declaration implement by its former name."""
        early: pluggy.HookCaller | None = getattr(self.hook, former, None)
        if early is None:
            return
        for method in early.get_hookimpls():
            early._remove_plugin(method.plugin)
            self._verify_hook(hook, method)
            hook._maybe_apply_history(method)
            hook._add_hookimpl(method)

    def parse_hookimpl_opts(self, plugin: Any, name: str) -> pluggy.HookimplOpts | None:
        """Find out whether something is an implementation, also of a hook's former name."""
        # pluggy looks at each attribute with so much care that this was most of a registration.
        if name.startswith("__"):
            return None
        if type(plugin) is ModuleType and not hookable(plugin.__dict__.get(name)):
            return None
        options = super().parse_hookimpl_opts(plugin, name)
        if options is None or name not in self._former:
            return options
        renamed = options.copy()
        renamed["specname"] = self._former[name]
        return renamed

    def _verify_hook(self, hook: pluggy.HookCaller, hookimpl: pluggy.HookImpl) -> None:
        declared = hook.spec and hook.spec.function
        notice = getattr(declared, hookspecs.MARKS_ATTRIBUTE, _NO_MARKS).deprecated
        if notice is not None:
            _take_former(hook.name, hookimpl, notice)
        given = hook.spec.argnames if hook.spec else hookimpl.argnames
        unknown = [name for name in hookimpl.argnames if name not in given]
        if unknown:
            raise WrongArguments(hook.name, hookimpl, unknown, given)
        super()._verify_hook(hook, hookimpl)

    # --- calling --------------------------------------------------------------------------------

    def _hookexec(
        self,
        hook_name: str,
        methods: Sequence[pluggy.HookImpl],
        kwargs: Mapping[str, object],
        firstresult: bool,
    ) -> Any:
        calling = self._callings.get(hook_name)
        if calling is None or calling.given != methods:
            calling = self._callings[hook_name] = self._prepare(hook_name, methods)
        if self._trace is None:
            return self._call(hook_name, calling, kwargs, firstresult)
        # The historic ones are called before anybody is there, and then for each who comes.
        awaited = getattr(self.hook, hook_name).is_historic()
        self._trace.begin(hook_name, kwargs, bool(calling.methods) or awaited)
        try:
            return self._call(hook_name, calling, kwargs, firstresult)
        finally:
            self._trace.end()

    def _call(
        self, hook_name: str, calling: _Calling, kwargs: Mapping[str, object], firstresult: bool
    ) -> Any:
        left = calling.methods
        while True:
            watched = self._watch.begin(calling.limits)
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
        marks = getattr(spec and spec.function, hookspecs.MARKS_ATTRIBUTE, _NO_MARKS)
        wrapped = [self._wrapped(hook, method, marks.returns) for method in kept]
        return _Calling(list(methods), wrapped, codes, self._limits(hook, kept), marks.observer)

    def _limits(self, hook: str, methods: Iterable[pluggy.HookImpl]) -> dict[CodeType, float]:
        """Return the seconds of each that has a limit; where some share a function, the longest."""
        usual = self._usual(hook)
        found: dict[CodeType, float] = {}
        unlimited: set[CodeType] = set()
        for method in methods:
            code = getattr(method.function, "__code__", None)
            budget = budget_of(method.function)
            seconds = usual if budget == hookspecs.USUAL else budget
            if code is None or hook in (*_NOT_BLAMED, *_IN_TASK):
                continue
            if seconds is None:
                unlimited.add(code)
            else:
                found[code] = max(seconds, found.get(code, 0))
        return {code: seconds for code, seconds in found.items() if code not in unlimited}

    # --- what implementations return, and a trace of them ---------------------------------------

    def _wrapped(
        self, hook: str, method: pluggy.HookImpl, returns: hookspecs.Returns | None
    ) -> pluggy.HookImpl:
        """Return the implementation with a check of its result, and traced; itself if neither."""
        function = method.function
        if returns is not None and not (method.wrapper or method.hookwrapper):
            function = self._checked(hook, method, returns)
        if self._trace is not None:
            function = self._trace.traced(method, function)
        if function is method.function:
            return method
        wrapped = pluggy.HookImpl(method.plugin, method.plugin_name, function, method.opts)
        object.__setattr__(wrapped, "argnames", method.argnames)  # those of the function inside
        return wrapped

    def _checked(
        self, hook: str, method: pluggy.HookImpl, returns: hookspecs.Returns
    ) -> Callable[..., Any]:
        function = method.function

        def checked(*arguments: Any) -> Any:
            result = function(*arguments)
            for wrong in returns.wrong(result):
                raise self._nonsense(hook, method, returns, wrong)
            return result

        return checked

    def _nonsense(
        self,
        hook: str,
        method: pluggy.HookImpl,
        returns: hookspecs.Returns,
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


def _take_former(hook: str, method: pluggy.HookImpl, notice: Deprecation) -> None:
    """Let a method have the present names of its arguments, and warn where it says former ones."""
    from flow_core.deprecation import warn_at

    who = f"The plugin '{method.plugin_name}'"
    named = method.function.__name__
    if notice.name and named == notice.name:
        warn_at(notice.called(f"{who} implements the hook {named}, which", hook), method.function)
    elif not (notice.name or notice.arguments):
        warn_at(notice.gone(f"{who} implements the hook {hook}, which"), method.function)
    taken = []
    for argument in method.argnames:
        new = notice.arguments.get(argument)
        if new is not None:
            what = f"{who} takes the argument '{argument}' of the hook {hook}, which"
            warn_at(notice.called(what, new) if new else notice.gone(what), method.function)
        taken.append(new or argument)
    object.__setattr__(method, "argnames", tuple(taken))  # they are given by position


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
