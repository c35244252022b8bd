"""Flows from Python: ``MyFlow.run(alpha=3)`` in a script, a notebook, a web app or a test.

`run_flow` and `resume_flow` do the work: parameters in one argument, options by name, so that none
can clash. ``MyFlow.run`` takes both by name; a parameter of the flow comes before an option of
the same name, which is then given with `run_flow`.
"""

from __future__ import annotations

import functools
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple

from flow_core.byvalue import can_be_imported
from flow_core.context import current
from flow_core.errors import PluginWarning, RunFailed, UsageError, did_you_mean
from flow_core.exports import load_export
from flow_core.flowspec import LOADED, FlowSpec, stop_loading
from flow_core.index import installed
from flow_core.parameters import collect_parameters
from flow_core.run import RunRequest
from flow_core.session import Session
from flow_core.settings import Settings

_NONE: Mapping[str, Any] = MappingProxyType({})


class _Call(NamedTuple):
    """The options of `run_flow` and `resume_flow`, which documents them."""

    tags: Sequence[str] | str = ()
    decorators: Sequence[str] | str = ()
    compute: str | None = None
    datastore: str | None = None
    metadata: str | None = None
    max_workers: int | None = None
    plugins: Sequence[str] | str = ()
    settings: Mapping[str, Any] = _NONE
    run_id_file: str | None = None
    show: bool | None = None
    check: bool = True
    configs: Mapping[str, str] = _NONE
    config_values: Mapping[str, Any] = _NONE

    def all_settings(self) -> dict[str, Any]:
        """Return the settings, also those that have options of their own."""
        named = {"compute": self.compute, "datastore": self.datastore, "metadata": self.metadata}
        return {**self.settings, **_given(named)}


OPTIONS = _Call._fields
"""Names of the options of `run_flow`, which `resume_flow` has as well."""


def run_flow(
    flow: type[FlowSpec],
    parameters: Mapping[str, Any] = _NONE,
    /,
    *,
    tags: Sequence[str] | str = (),
    decorators: Sequence[str] | str = (),
    compute: str | None = None,
    datastore: str | None = None,
    metadata: str | None = None,
    max_workers: int | None = None,
    plugins: Sequence[str] | str = (),
    settings: Mapping[str, Any] = _NONE,
    run_id_file: str | None = None,
    show: bool | None = None,
    check: bool = True,
    configs: Mapping[str, str] = _NONE,
    config_values: Mapping[str, Any] = _NONE,
    **options: Any,
) -> Any:
    """Run a flow to its end and return its `Run`.

    Args:
        flow: the class.
        parameters: values by name, as Python objects or text; ``_`` and ``-`` count as one, and
            None as not given.
        tags: tags of the run.
        decorators: decorators for every step, as ``--with`` takes them: ``"retry:times=2"``.
        compute: where tasks run that do not say so themselves. ``"in-process"``, which a plugin
            provides: in this process, so that a debugger and coverage see them.
        datastore, metadata: where artifacts and the index are: a name or a URL.
        max_workers: tasks that run at the same time.
        plugins: ``no:NAME``, ``only:NAME`` or a hook module, as ``-p`` takes them.
        settings: further settings by name: ``{"failure_grace": 1}``.
        run_id_file: a file that gets the run id as soon as it is known.
        show: whether the progress and the output of the tasks are shown. None: in the main thread
            (a script, a notebook, a test) they are, in another one (of a web app) they are not.
        check: whether a run that fails is a `RunFailed`; else it is returned.
        configs, config_values: for the configurations of the flow: paths of files, or values, by
            name.
        options: what plugins offer for the runs of this flow: ``branch="test"``.

    Raises:
        FlowError: it could not be started: there is no such parameter, the graph is wrong, …
        RunFailed: it failed; ``error.run`` is the `Run`.
        KeyboardInterrupt: it was interrupted, whatever ``check`` says; ``__cause__`` is the
            `RunFailed`.

    Since 0.1.
    """
    call = _Call(
        tags,
        decorators,
        compute,
        datastore,
        metadata,
        max_workers,
        plugins,
        settings,
        run_id_file,
        show,
        check,
        configs,
        config_values,
    )
    return _run(flow, parameters, options, call)


def resume_flow(
    flow: type[FlowSpec],
    parameters: Mapping[str, Any] = _NONE,
    /,
    *,
    origin: Any = None,
    step: str | None = None,
    **options: Any,
) -> Any:
    """Go on after a failed run, in a new one: what was finished is reused. Return the new `Run`.

    It needs a plugin that resumes runs.

    Args:
        flow: the class.
        parameters: values that are to differ from those of the run that is resumed.
        origin: the run to resume: its id, its pathspec, or a `Run`; None = the latest.
        step: run this step, and what follows it, again.
        options: as for `run_flow`, whose errors are raised, too.

    Raises:
        UsageError: there is no such run or step.

    Since 0.1.
    """
    prepare = installed().load("flow.calls", "resume")
    run = getattr(origin, "pathspec", origin)
    own = {name: options.pop(name) for name in OPTIONS if name in options}
    resumed = functools.partial(prepare, run=None if run is None else str(run), step=step)
    return _run(flow, parameters, options, _Call(**own), resumed)


def of_class(flow: type[FlowSpec], name: str) -> Callable[..., Any]:
    """Return ``MyFlow.run`` or ``MyFlow.resume``: parameters and options by name."""
    function, more = _FUNCTIONS[name]

    def call(**given: Any) -> Any:
        _stop_where_loaded(flow)
        parameters = {_variable(p.name) for p in collect_parameters(flow)}
        own = {n for n in given if n in (*OPTIONS, *more) and n not in parameters}
        values = {n: v for n, v in given.items() if n not in own}
        return function(flow, _Mixed(values), **{n: given[n] for n in own})

    call.__name__, call.__qualname__ = name, f"{flow.__qualname__}.{name}"
    call.__doc__ = function.__doc__
    return call


_FUNCTIONS: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "run": (run_flow, ()),
    "resume": (resume_flow, ("origin", "step")),
}


class _Mixed(dict[str, Any]):
    """Values of parameters and of what plugins offer, which are told apart in a session."""


# --- the run ------------------------------------------------------------------------------------


def _run(
    flow: type[FlowSpec],
    parameters: Mapping[str, Any],
    options: Mapping[str, Any],
    call: _Call,
    prepare: Callable[[Session, RunRequest], RunRequest] | None = None,
) -> Any:
    _stop_where_loaded(flow)
    runs = load_export("Run")  # a missing plugin is told before anything runs
    with _session(flow, call) as session:
        # A resumed run has the configurations of the other one, on which the rest may depend.
        request = prepare(session, RunRequest()) if prepare is not None else RunRequest()
        values, more = _told_apart(session, parameters)
        request = request._replace(
            parameters=values,
            tags=_texts(call.tags),
            max_workers=call.max_workers,
            run_id_file=call.run_id_file,
            options=_given({**options, **more}),
        )
        return _execute(session, request, runs, call.check)


@contextmanager
def _session(flow: type[FlowSpec], call: _Call) -> Iterator[Session]:
    on_main_thread = threading.current_thread() is threading.main_thread()
    settings, chosen = Settings(), call.all_settings()
    _override(settings, chosen)
    session = Session(
        flow,
        settings=settings,
        decorators=_texts(call.decorators),
        plugins=_texts(call.plugins),
        interactive=on_main_thread if call.show is None else call.show,
        by_value=not can_be_imported(flow),
        configs=tuple(call.configs.items()),
        config_values=tuple(call.config_values.items()),
    )
    try:
        with session:
            if chosen and session.plugins:  # those of plugins are declared when these are loaded
                for name, value in chosen.items():
                    settings.override(name, value, "settings=")
            yield session
    finally:
        for error in session.put_aside:
            warnings.warn(str(error), PluginWarning, stacklevel=2)


def _override(settings: Settings, chosen: dict[str, Any]) -> None:
    for name in [s.name for s in settings.declared() if s.name in chosen]:
        settings.override(name, chosen.pop(name), f"{name}=" if name in OPTIONS else "settings=")


def _stop_where_loaded(flow: type[FlowSpec]) -> None:
    """Where a file is loaded for its flow it starts no runs: each task would start all of them."""
    loaded = getattr(sys.modules.get("__main__"), LOADED, None)
    if loaded is None:
        return
    of_the_file = loaded is True or threading.current_thread() in loaded
    if of_the_file or not current.is_running_flow:
        stop_loading(flow)


def _execute(session: Session, request: RunRequest, runs: Any, check: bool) -> Any:
    try:
        result = session.execute(request)
    except RunFailed as failed:
        failed.run = runs.of_session(session, failed.pathspec)
        if failed.state == "interrupted":
            raise KeyboardInterrupt(failed.what) from failed
        if not check:
            return failed.run
        failed.hint = _how_to_resume(session, failed)
        raise
    return runs.of_session(session, f"{result.flow}/{result.run}")


def _how_to_resume(session: Session, failed: RunFailed) -> str | None:
    assert session.flow is not None
    if "resume" not in installed().names("flow.calls"):
        return None
    run = failed.pathspec.rpartition("/")[2]
    return f"{session.flow.__name__}.resume(origin={run!r})"


# --- arguments ----------------------------------------------------------------------------------


def _told_apart(
    session: Session, given: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the values of parameters, and of options of plugins, by their proper names."""
    known = {_variable(p.name): p.name for p in session.definition.parameters}
    offered = [o.name for o in session.run_options] if isinstance(given, _Mixed) else []
    values, options = {}, {}
    for name, value in given.items():
        if _variable(name) in known:
            values[known[_variable(name)]] = value
        elif name in offered:
            options[name] = value
        else:
            more = (*offered, *OPTIONS) if isinstance(given, _Mixed) else ()
            raise UsageError(
                f"Flow '{session.definition.name}' has no parameter '{name}'"
                + (", and a run has no option of that name" if more else ""),
                hint=did_you_mean(name, [*known, *more]),
            )
    return _given(values), options


def _variable(name: str) -> str:
    return name.replace("-", "_")


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _texts(given: Sequence[str] | str) -> tuple[str, ...]:
    """A text alone is meant as a list of one; its letters are none."""
    return (given,) if isinstance(given, str) else tuple(given)
