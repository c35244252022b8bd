"""``resume``: go on after a failure with today's code; what was finished is reused by reference."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

import click

from flow_core.api import (
    Command,
    CommandContext,
    NotFound,
    RunFailed,
    RunRequest,
    RunState,
    Session,
    UsageError,
    command_line,
    did_you_mean,
    index_lacks,
)
from flow_run.options import (
    added,
    changed_parameter,
    chosen,
    execute,
    given_parameters,
    shared,
    take_shared,
)
from flow_run.reuse import Choice, Reuse

_OWN_OPTIONS = frozenset({"--origin-run-id", "--changed-code", "--clone-only"})
"""A parameter of such a name keeps the value that it had."""


def build(context: CommandContext) -> click.Command:
    """Make the click command."""
    _take_configs(context)
    offered = context.session().run_options
    parameters = [
        p for p in context.session().definition.parameters if p.option not in _OWN_OPTIONS
    ]

    def resume(
        step: str | None,
        origin_run_id: str | None,
        changed_code: bool,
        clone_only: bool,
        **options: Any,
    ) -> None:
        choice = Choice(step, changed_code, clone_only)
        session = take_shared(context, options)
        if not session.has_configs:  # else the store was asked for them already
            session.prepare_run()
        request = _prepare(session, RunRequest(), origin_run_id, choice)
        given = given_parameters(parameters, options)
        gc.freeze()  # what is known of the old run stays; looking for garbage in it costs a tenth
        try:
            execute(
                session,
                options,
                origin=request.origin,
                parameters=given,
                options=chosen(offered, options),
            )
        except RunFailed as ended:
            # That something was left to run is what was asked for.
            if not (clone_only and ended.state == RunState.INTERRUPTED.value):
                raise

    return click.Command(
        "resume",
        callback=resume,
        params=[
            click.Argument(["step"], required=False),
            click.Option(
                ["--origin-run-id"], metavar="RUN", help="The run to resume (default: the latest)."
            ),
            click.Option(
                ["--changed-code"],
                is_flag=True,
                help="Run steps again, too, whose code has changed since, and what depends on them.",
            ),
            click.Option(
                ["--clone-only"],
                is_flag=True,
                help="Only reuse what was finished; run nothing. A later resume goes on from there.",
            ),
            *(changed_parameter(p) for p in parameters),
            *added(offered),
            *shared(),
        ],
        help="Go on after a failed or interrupted run, in a new run: tasks that were finished are "
        "reused by reference, the rest runs with today's code and the old parameters. With STEP, "
        "that step and what follows it run again. With a parameter, the tasks that have read it run "
        "again, and those whose inputs are others then.",
    )


def prepare(
    session: Session, request: RunRequest, run: str | None = None, step: str | None = None
) -> RunRequest:
    """Let the next run of ``session`` go on where another one ended; return what to ask for.

    This is how ``MyFlow.resume()`` finds the way here, too (group ``flow.calls``).

    Args:
        session: a session of the flow.
        request: what is asked for besides.
        run: id or pathspec of the run to resume; None = the latest.
        step: a step to run again although it was finished.

    Raises:
        UsageError, NotFound: there is no such run or step.
    """
    return _prepare(session, request, run, Choice(step))


def _prepare(session: Session, request: RunRequest, run: str | None, choice: Choice) -> RunRequest:
    origin, step = _origin(session, run), choice.step
    if session.has_configs:
        session.use_configs_of(*origin.split("/"))
    if step is not None and step not in session.graph:
        raise UsageError(
            f"There is no step '{step}'",
            where=f"flow {session.definition.name}",
            hint=f"resume --origin-run-id {step}"
            if step.isdigit()
            else did_you_mean(step, session.graph.nodes),
        )
    session.plugins.manager.register(Reuse(session, origin, choice), "resume")
    return request._replace(origin=origin)


def _take_configs(context: CommandContext) -> None:
    """Let the flow have the configurations of the run to resume; its options may depend on them."""
    session = context.session()
    if not session.has_configs:
        return
    try:
        flow, _, run = _origin(session, _given_origin(context.arguments)).partition("/")
    except NotFound:
        if {"--help", "-h"} & set(context.arguments):
            return  # help is given also where there is nothing to resume
        raise
    session.use_configs_of(flow, run)


def _given_origin(arguments: Sequence[str]) -> str | None:
    for number, word in enumerate(arguments):
        option, equals, value = word.partition("=")
        if option == "--origin-run-id":
            return value if equals else "".join(arguments[number + 1 : number + 2]) or None
    return None


def _origin(session: Session, run_id: str | None) -> str:
    """Return the pathspec of the run to resume, checked before a new run is announced."""
    assert session.flow is not None
    flow = (
        session.flow.__name__
    )  # not of the definition, which may need the origin's configurations
    if run_id is None:
        latest = session.metadata.runs(flow, limit=1)
        if not latest:
            _check_index(session, None)
            raise NotFound(
                f"There is no run of {flow} to resume",
                where=session.metadata.url,
                hint="start one with: run",
            )
        return latest[0].pathspec
    run_id = run_id.removeprefix(f"{flow}/")
    if session.metadata.run(flow, run_id) is None:
        _check_index(session, run_id)
        newest = [r.run for r in session.metadata.runs(flow, limit=5)]
        raise UsageError(
            f"There is no run {flow}/{run_id}",
            where=session.metadata.url,
            hint="the latest are: " + ", ".join(newest) if newest else "start one with: run",
        )
    return f"{flow}/{run_id}"


def _check_index(session: Session, run: str | None) -> None:
    """Raise `NotFound` when the store has the run, and only the index does not know it."""
    flow = session.definition.name
    if index_lacks(session.metadata, session.store, flow, run):
        raise NotFound(
            f"The index does not know the run{f' {flow}/{run}' if run else f's of {flow}'}",
            where=session.metadata.url,
            why=f"the store {session.store.url} has runs that the index lacks",
            hint=command_line(session, "reindex"),
        )


command = Command("Go on after a failed run; finished tasks are reused.", True, build)
