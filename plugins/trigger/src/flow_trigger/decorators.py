"""The decorators, and the normal form of what they are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_core.api import DefinitionError, FlowDecorator, Options, option

if TYPE_CHECKING:
    from flow_core.api import RunDraft

_EVENT_HINT = '@trigger(event={"name": "data_updated", "parameters": {"alpha": "field"}})'
_FLOW_HINT = '@trigger_on_finish(flow="FirstFlow") or flow="project.branch.FirstFlow"'


class TriggerContext(NamedTuple):
    """What a function in place of a name gets, when a run is recorded or the flow deployed.

    Attributes:
        flow_name: name of the flow.
        user_name: who runs or deploys it.
        scope: project and branch, or nothing.
    """

    flow_name: str
    user_name: str
    scope: tuple[str, ...]


class EventSource(NamedTuple):
    """An event that starts the flow.

    ``parameters`` are flow parameter → field of the event; None = none was said: then fields set
    the parameters of the same names, if this is the only event.
    """

    name: str
    parameters: dict[str, str] | None


class FlowSource(NamedTuple):
    """A flow whose successful runs start the flow. ``scope`` is its project and branch."""

    flow: str
    scope: tuple[str, ...]


@dataclass(frozen=True)
class TriggerOptions(Options):
    """Start the flow when an event happens, once it is deployed; of several, when all have.

    An event is a name, or ``{"name": …, "parameters": {flow_parameter: field_of_the_event}}``.
    Functions of one argument, with ``flow_name``, ``user_name`` and ``scope``, may stand for the event,
    its name or its parameters. ``run --trigger`` stands in for an event. Since 0.1.
    """

    event: Any = option(None, "The event.")  # noqa: RUF009
    events: list[Any] = option([], "Several events, instead of 'event'.")  # noqa: RUF009
    options: dict[str, Any] = option({}, "Passed to the deployer.")  # noqa: RUF009

    def validate(self) -> None:
        """Refuse what cannot be the description of events."""
        _exactly_one("event", self.event, "events", self.events, _EVENT_HINT)
        _distinct([e.name for e in self.sources()], "event")

    def sources(self, context: TriggerContext | None = None) -> list[EventSource]:
        """Return the events; without a context only those of which no function has to be asked."""
        given = self.events or [self.event]
        return [s for g in given if (s := _event_source(g, context)) is not None]

    def to_json(self, draft: RunDraft) -> dict[str, Any]:
        """Return ``events``, each with ``name`` and ``parameters``, and ``options``."""
        sources = self.sources(context_of(draft))
        return {"events": [s._asdict() for s in sources], "options": self.options}


@dataclass(frozen=True)
class TriggerOnFinishOptions(Options):
    """Start the flow when a run of another has succeeded, once it is deployed; of several, when all
    have.

    A flow is named ``"FirstFlow"``, in the same project and branch; ``"project.branch.FirstFlow"``; or
    ``{"name": …, "project": …, "project_branch": …}``. A function of one argument, with ``flow_name``,
    ``user_name`` and ``scope``, may stand for it. ``run --trigger FirstFlow/3`` stands in for the end
    of a run. Since 0.1.
    """

    flow: Any = option(None, "The flow.")  # noqa: RUF009
    flows: list[Any] = option([], "Several flows, instead of 'flow'.")  # noqa: RUF009
    options: dict[str, Any] = option({}, "Passed to the deployer.")  # noqa: RUF009

    def validate(self) -> None:
        """Refuse what cannot be the name of a flow."""
        _exactly_one("flow", self.flow, "flows", self.flows, _FLOW_HINT)
        _distinct([".".join((*s.scope, s.flow)) for s in self.sources()], "flow")

    def sources(self, context: TriggerContext | None = None) -> list[FlowSource]:
        """Return the flows; without a context only those of which no function has to be asked."""
        given = self.flows or [self.flow]
        return [s for g in given if (s := _flow_source(g, context)) is not None]

    def to_json(self, draft: RunDraft) -> dict[str, Any]:
        """Return ``flows``, each with ``flow`` and ``scope``, and ``options``."""
        sources = self.sources(context_of(draft))
        return {
            "flows": [{"flow": s.flow, "scope": list(s.scope)} for s in sources],
            "options": self.options,
        }


def context_of(draft: RunDraft) -> TriggerContext:
    """Return what functions are asked with."""
    return TriggerContext(draft.flow, draft.user, draft.scope)


def namespaced_event_name(name: str) -> Callable[[TriggerContext], str]:
    """Return an event's name that is different for each project and branch, for `trigger`.

    ``@trigger(event=namespaced_event_name("ready"))`` waits for ``movies.user.ada.ready`` where the flow
    is on the branch ``user.ada`` of the project ``movies``, and for ``ready`` without a project.
    Since 0.1.
    """
    return lambda context: ".".join((*context.scope, name))


# --- reading what is given ----------------------------------------------------------------------


def _exactly_one(one: str, value: Any, many: str, values: list[Any], hint: str) -> None:
    if (value is None) == (not values):
        why = "both are given" if values else "neither is given"
        raise DefinitionError(f"Give either '{one}' or '{many}'", why=why, hint=hint)


def _distinct(names: list[str], kind: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise DefinitionError(
                f"The {kind} '{name}' is named twice", hint="name it once: all are waited for"
            )


def _ask(given: Any, context: TriggerContext | None) -> Any:
    """Return what a function says, or the value itself; None for a function without a context."""
    if not callable(given):
        return given
    if context is None:
        return None
    return given(context)


def _event_source(given: Any, context: TriggerContext | None) -> EventSource | None:
    told = _ask(given, context)
    if told is None and callable(given) and context is None:
        return None
    if isinstance(told, str) and told:
        return EventSource(told, None)
    if not isinstance(told, dict) or not set(told) <= {"name", "parameters"} or "name" not in told:
        raise _no_event(told)
    name = _ask(told["name"], context)
    if name is None and callable(told["name"]):
        return None
    if not isinstance(name, str) or not name:
        raise _no_event(told)
    parameters = _ask(told.get("parameters"), context)
    return EventSource(name, None if parameters is None else _mapping(name, parameters))


def _mapping(event: str, given: Any) -> dict[str, str]:
    """Return parameter → field of a dict, or of a list of names and pairs."""
    pairs: list[Any]
    if isinstance(given, Mapping):
        pairs = list(given.items())
    elif isinstance(given, (list, tuple)):
        pairs = [(part, part) if isinstance(part, str) else part for part in given]
    else:
        raise _no_mapping(event, given)
    for pair in pairs:
        fits = isinstance(pair, (list, tuple)) and len(pair) == 2
        if not fits or not all(isinstance(part, str) for part in pair):
            raise _no_mapping(event, pair)
    _distinct([pair[0] for pair in pairs], "parameter")
    return {pair[0]: pair[1] for pair in pairs}


def _no_mapping(event: str, given: Any) -> DefinitionError:
    return DefinitionError(
        f"The parameters of event '{event}' cannot be {given!r}",
        why="they say which parameter of the flow gets which field of the event",
        hint=_EVENT_HINT,
    )


def _no_event(given: Any) -> DefinitionError:
    return DefinitionError(
        f"An event cannot be {given!r}",
        why="an event is a name, or a dict with 'name' and 'parameters'",
        hint=_EVENT_HINT,
    )


def _flow_source(given: Any, context: TriggerContext | None) -> FlowSource | None:
    told = _ask(given, context)
    if told is None and callable(given) and context is None:
        return None
    own = context.scope if context is not None else ()
    if isinstance(told, str):
        project, _, rest = told.partition(".")
        branch, _, flow = rest.rpartition(".")
        if not rest and told.isidentifier():
            return FlowSource(told, own)
        if project and branch and flow.isidentifier():
            return FlowSource(flow, (project, branch))
    if isinstance(told, dict) and "name" in told and set(told) <= _FLOW_KEYS:
        return _described_flow(told, own)
    raise DefinitionError(
        f"The flow to wait for cannot be {told!r}",
        why="it is a name, a name behind project and branch, or a dict with 'name'",
        hint=_FLOW_HINT,
    )


_FLOW_KEYS = frozenset({"name", "project", "project_branch"})


def _described_flow(told: Mapping[str, Any], own: tuple[str, ...]) -> FlowSource:
    project, branch = told.get("project"), told.get("project_branch")
    if project is None and branch is None:
        return FlowSource(str(told["name"]), own)
    scope = (project or own[:1], branch or ".".join(own[1:]))
    parts = tuple(part if isinstance(part, str) else "".join(part) for part in scope)
    return FlowSource(str(told["name"]), tuple(part for part in parts if part))


trigger = FlowDecorator("trigger", TriggerOptions)
trigger_on_finish = FlowDecorator("trigger_on_finish", TriggerOnFinishOptions)
