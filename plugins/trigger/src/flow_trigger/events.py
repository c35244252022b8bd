"""What a run was started by: `current.trigger`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timezone
from typing import Any, NamedTuple


class TriggerEvent(NamedTuple):
    """One event. ``type`` is ``"event"``, or ``"run"`` for the end of a run.

    Attributes:
        name: name of the event; of a run, the name of its flow behind project and branch.
        id: of a run its pathspec; else what the sender, or ``--trigger``, gave it.
        timestamp: when it happened.
        type: see above.
    """

    name: str
    id: str
    timestamp: datetime | None
    type: str = "event"


class Trigger:
    """What a run was started by: ``current.trigger``; None for a run that a person started.

    Iterating gives the events, ``trigger["name"]`` is one of them, ``"name" in trigger`` asks for it.
    Since 0.1.
    """

    def __init__(self, events: Iterable[TriggerEvent]) -> None:
        self._events = tuple(events)

    @classmethod
    def from_runs(cls, runs: Iterable[Any]) -> Trigger:
        """Return the trigger that the end of these `Run` objects is."""
        return cls(TriggerEvent(r.parent.id, r.pathspec, r.finished_at, "run") for r in runs)

    @classmethod
    def from_json(cls, data: Iterable[dict[str, Any]]) -> Trigger:
        """Return the trigger that a run has recorded."""
        return cls(
            TriggerEvent(
                d["name"], d["id"], datetime.fromtimestamp(d["timestamp"], timezone.utc), d["type"]
            )
            for d in data
        )

    @property
    def event(self) -> TriggerEvent | None:
        """The event, the first of several; None when runs were the reason."""
        return next(iter(self.events or ()), None)

    @property
    def events(self) -> list[TriggerEvent] | None:
        """The events; None when runs were the reason."""
        return [e for e in self._events if e.type == "event"] or None

    @property
    def run(self) -> Any:
        """The `Run` whose end was the reason, the first of several; None when there is none."""
        return next(iter(self.runs or ()), None)

    @property
    def runs(self) -> list[Any] | None:
        """The `Run` objects whose end was the reason, of whatever namespace; None for none."""
        found = [e.id for e in self._events if e.type == "run"]
        return _runs(found) if found else None

    def __iter__(self) -> Iterator[TriggerEvent]:
        return iter(self._events)

    def __getitem__(self, name: str) -> TriggerEvent:
        for event in self._events:
            if name in (event.name, event.name.rpartition(".")[2]):
                return event
        raise KeyError(name)

    def __contains__(self, name: object) -> bool:
        return any(name in (e.name, e.name.rpartition(".")[2]) for e in self._events)

    def __repr__(self) -> str:
        return f"<Trigger {', '.join(e.name for e in self._events)}>"


def _runs(pathspecs: list[str]) -> list[Any]:
    # What started a run is for that run to read, whoever it belongs to.
    from flow_core import Run, get_namespace, namespace

    kept = get_namespace()
    namespace(None)
    try:
        return [Run(pathspec) for pathspec in pathspecs]
    finally:
        namespace(kept)
