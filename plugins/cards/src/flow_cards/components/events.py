"""What happens while a task runs, one event after the other."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, NamedTuple

from flow_cards.components.base import Component
from flow_cards.components.cells import as_cell
from flow_cards.components.layout import as_child

EVENT_THEMES = (
    "default",
    "primary",
    "secondary",
    "info",
    "success",
    "warning",
    "error",
    "tool_call",
    "ai_response",
)
PRIORITIES = ("low", "normal", "high", "critical")
_HEADLINES = ("event", "title", "message", "name")
_NEW = ("event_data", "style_theme", "priority", "payloads")


class Event(NamedTuple):
    """Something that happened: as from `EventsTimeline.event`.

    Attributes:
        time: when, in seconds since the epoch; 0 = not known.
        theme: one of ``EVENT_THEMES``.
        priority: one of ``PRIORITIES``.
        data: names and cells.
        payloads: names and components.
    """

    time: float
    theme: str
    priority: str
    data: tuple[tuple[str, Any], ...]
    payloads: tuple[tuple[str, Component], ...]


@dataclass(frozen=True)
class EventsTimeline(Component):
    """Events, the newest first. Unlike other components it grows by ``update``:

        timeline.update({"event": "epoch", "loss": 0.3}, style_theme="success")

    ``update(event_data, style_theme="default", priority="normal", payloads=None, finished=False)`` adds an
    event, with the time of now. ``event_data`` is text, or a dict of what is known of it: ``event``, ``title``,
    ``message`` or ``name`` stands out. ``payloads`` are values by name that are folded below it.
    ``style_theme`` and ``priority`` are words of ``EVENT_THEMES`` and ``PRIORITIES``.

    Attributes:
        title: a line above.
        max_events: how many are kept: the last ones.
        events: the events, oldest first, as from `event`; or what ``update`` takes as ``event_data``, where
            ``timestamp`` may say when it was.
        finished: whether nothing more is to come.
        earlier: how many events are not kept, as theme, priority and count.
        first: when the first one of all was, in seconds since the epoch; 0 = not known.
    """

    title: str | None = None
    max_events: int = 100
    events: Iterable[Any] = ()
    finished: bool = False
    earlier: tuple[tuple[str, str, int], ...] = ()
    first: float = 0.0
    live: ClassVar[tuple[str, ...]] = (*_NEW, "finished")

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        if isinstance(self.max_events, bool) or int(self.max_events) < 1:
            raise ValueError(f"EventsTimeline: max_events must be above 0, not {self.max_events!r}")
        events = [_as_event(one) for one in self.events]
        keep = max(0, len(events) - int(self.max_events))
        tally = Counter({(theme, priority): count for theme, priority, count in self.earlier})
        tally.update((one.theme, one.priority) for one in events[:keep])
        self._set(
            events=tuple(events[keep:]),
            max_events=int(self.max_events),
            finished=bool(self.finished),
            earlier=tuple((*key, count) for key, count in tally.items()),
            first=self.first or (events[0].time if events else 0.0),
        )

    def changed(self, changes: Mapping[str, Any]) -> EventsTimeline:
        """See `Component.changed`. ``event_data`` and what belongs to it add an event."""
        changes = dict(changes)
        new = {name: changes.pop(name) for name in _NEW if name in changes}
        if new and "event_data" not in new:
            raise TypeError(f"EventsTimeline.update: {next(iter(new))} without event_data")
        if new:
            events = changes.get("events", self.events)
            changes["events"] = (*events, self.event(**{"timestamp": time.time(), **new}))
        copy = super().changed(changes)
        assert isinstance(copy, EventsTimeline)
        return copy

    @staticmethod
    def event(
        event_data: Mapping[str, Any] | str,
        style_theme: str = "default",
        priority: str = "normal",
        payloads: Mapping[str, Any] | None = None,
        timestamp: float | datetime = 0.0,
    ) -> Event:
        """Return an event for ``EventsTimeline(events=[…])``.

        Args:
            event_data, style_theme, priority, payloads: as of ``update``.
            timestamp: when it was; ``event_data["timestamp"]`` counts more.

        Raises:
            ValueError: there is no such theme or priority.
        """
        for name, value, known in (
            ("style_theme", style_theme, EVENT_THEMES),
            ("priority", priority, PRIORITIES),
        ):
            if value not in known:
                raise ValueError(f"EventsTimeline: {name} cannot be {value!r}: {', '.join(known)}")
        data: dict[str, Any] = (
            dict(event_data) if isinstance(event_data, Mapping) else {"event": event_data}
        )
        moment = data.pop("timestamp", timestamp)
        if _seconds(moment) is None:  # text, for example
            data["timestamp"], moment = moment, timestamp
        return Event(
            _seconds(moment) or 0.0,
            style_theme,
            priority,
            tuple((str(name), as_cell(value)) for name, value in data.items()),
            tuple((str(name), as_child(value)) for name, value in (payloads or {}).items()),
        )

    @property
    def left_out(self) -> int:
        """How many earlier events are not kept."""
        return sum(count for _, _, count in self.earlier)

    def get_stats(self) -> dict[str, Any]:
        """Return what is known of all events so far.

        Keys: ``total``, ``shown``, ``left_out``; ``themes`` and ``priorities``, counts by name; ``first`` and
        ``last``, seconds since the epoch or None; ``seconds`` between them; ``per_second``, None where
        that cannot be said; ``finished``.
        """
        now = self.latest()
        assert isinstance(now, EventsTimeline)
        themes, priorities = Counter[str](), Counter[str]()
        kept = ((one[1], one[2], 1) for one in now.events)
        for theme, priority, count in (*now.earlier, *kept):
            themes[theme] += count
            priorities[priority] += count
        last = max((one[0] for one in now.events), default=0.0)
        seconds = max(0.0, last - now.first) if now.first and last else 0.0
        return {
            "total": themes.total(),
            "shown": themes.total() - now.left_out,
            "left_out": now.left_out,
            "themes": dict(themes),
            "priorities": dict(priorities),
            "first": now.first or None,
            "last": last or None,
            "seconds": seconds,
            "per_second": (themes.total() - 1) / seconds if seconds else None,
            "finished": now.finished,
        }


def headline(data: Iterable[tuple[str, Any]]) -> tuple[Any, list[tuple[str, Any]]]:
    """Return what stands out of an event's data, or None, and the rest."""
    pairs = list(data)
    for name in _HEADLINES:
        for pair in pairs:
            if pair[0] == name:
                return pair[1], [other for other in pairs if other is not pair]
    return None, pairs


def _as_event(value: Any) -> Event:
    if isinstance(value, tuple) and len(value) == len(Event._fields):
        return Event(*value)
    return EventsTimeline.event(value)


def _seconds(moment: Any) -> float | None:
    if isinstance(moment, datetime):
        return moment.timestamp()
    if isinstance(moment, (int, float)) and not isinstance(moment, bool):
        return float(moment)
    return None
