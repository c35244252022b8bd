"""``--trigger``: a run that is started as if an event, or the end of a run, had started it."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flow_core.api import DefinitionError, RunState, UsageError, did_you_mean
from flow_trigger.decorators import (
    EventSource,
    TriggerOnFinishOptions,
    TriggerOptions,
    context_of,
)

if TYPE_CHECKING:
    from flow_core.api import FlowDefinition, RunDraft, Session


def check_parameters(definition: FlowDefinition) -> Iterator[DefinitionError]:
    """Yield an error for each parameter that an event sets and the flow does not have."""
    options = definition.options("trigger")
    assert isinstance(options, TriggerOptions)
    known = [p.name for p in definition.parameters]
    for source in options.sources():
        for name in source.parameters or ():
            if name not in known:
                yield DefinitionError(
                    f"The event '{source.name}' sets the parameter '{name}', which the flow lacks",
                    where="@trigger",
                    hint=did_you_mean(name, known) or f'{name} = Parameter("{name}")',
                )


def simulate(session: Session, given: Sequence[str], draft: RunDraft) -> list[dict[str, Any]]:
    """Return what the run records of its trigger; the draft gets parameters from the event.

    Args:
        session: the session of the run.
        given: the texts of ``--trigger``.
        draft: the run.

    Raises:
        UsageError: the flow waits for no such event or flow, or the run did not succeed.
    """
    return [_simulate(session, text, draft) for text in given]


def _simulate(session: Session, text: str, draft: RunDraft) -> dict[str, Any]:
    name, equals, payload = text.partition("=")
    if "/" in name:
        return _finished(session, text, draft)
    source, alone = _source(session, name, draft)
    fields = _fields(text, payload) if equals else {}
    known = {p.name for p in session.definition.parameters}
    mapping = source.parameters
    if mapping is None:
        mapping = {field: field for field in fields if field in known} if alone else {}
    for parameter, field in mapping.items():
        if field in fields:  # what is given on the command line counts more
            draft.parameters.setdefault(parameter, _text(fields[field]))
    return _record(source.name, uuid.uuid4().hex, time.time(), "event")


def _source(session: Session, name: str, draft: RunDraft) -> tuple[EventSource, bool]:
    options = session.definition.options("trigger")
    sources = []
    if isinstance(options, TriggerOptions):
        sources = options.sources(context_of(draft))
    for source in sources:
        if name == source.name:
            return source, len(sources) == 1
    names = [s.name for s in sources]
    finished = name in _awaited_flows(session, draft)
    raise UsageError(
        f"Flow '{draft.flow}' waits for no event '{name}'",
        where="--trigger",
        why="its events are: " + ", ".join(names) if names else "it has no @trigger",
        hint=f"--trigger {name}/RUN, since '{name}' is a flow"
        if finished
        else did_you_mean(name, names) or "--trigger FLOW/RUN",
    )


def _fields(text: str, payload: str) -> dict[str, Any]:
    try:
        fields = json.loads(payload)
    except ValueError as error:
        why = str(error)
    else:
        if isinstance(fields, dict):
            return fields
        why = "it is no JSON object"
    raise UsageError(
        f"The fields of the event cannot be read: {payload}",
        where="--trigger",
        why=why,
        hint="--trigger '" + text.partition("=")[0] + '={"field": 1}\'',
    )


def _text(value: Any) -> Any:
    """Parameters are given as text, as events carry them, whatever type the parameter has."""
    return value if isinstance(value, str) else json.dumps(value)


def _finished(session: Session, pathspec: str, draft: RunDraft) -> dict[str, Any]:
    flow, _, number = pathspec.partition("/")
    flows = _awaited_flows(session, draft)
    if flow not in flows:
        raise UsageError(
            f"Flow '{draft.flow}' does not wait for the flow '{flow}'",
            where="--trigger",
            why="it waits for: " + ", ".join(flows) if flows else "it has no @trigger_on_finish",
            hint=did_you_mean(flow, flows) or None,
        )
    run = session.metadata.run(flow, number)
    if run is None or run.state is not RunState.SUCCEEDED:
        good = session.metadata.runs(flow, states=[RunState.SUCCEEDED], limit=5)
        raise UsageError(
            f"There is no run {pathspec}" if run is None else f"Run {pathspec} has not succeeded",
            where="--trigger",
            why=None if run is None else f"its state is: {run.state.value}",
            hint="runs that have: " + ", ".join(r.pathspec for r in good)
            if good
            else f"run {flow} first",
        )
    document = session.run_document(flow, number)
    name = ".".join((*document.scope, flow))
    return _record(name, pathspec, run.finished_at or run.created_at, "run")


def _awaited_flows(session: Session, draft: RunDraft) -> list[str]:
    options = session.definition.options("trigger_on_finish")
    if not isinstance(options, TriggerOnFinishOptions):
        return []
    return [source.flow for source in options.sources(context_of(draft))]


def _record(name: str, id: str, timestamp: float, type: str) -> dict[str, Any]:
    return {"name": name, "id": id, "timestamp": timestamp, "type": type}
