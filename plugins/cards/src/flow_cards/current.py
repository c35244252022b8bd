"""``current.card``: what a step adds to its cards while it runs.

Nothing here may fail a task: what cannot be done is said on standard error, and left.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from flow_cards.codec import encode
from flow_cards.components import Component, as_component
from flow_cards.decorator import CardOptions
from flow_cards.storage import Added
from flow_core.api import did_you_mean

Write = Callable[[Iterable[tuple[int, Added]]], None]


class CardManager:
    """One card of the running task: ``current.card["loss"]``. Since 0.1.

    Attributes:
        type: its type.
        id: its id, or None.
        data: what was given to `refresh` last.
    """

    def __init__(self, cards: Cards, number: int, options: CardOptions) -> None:
        self.number = number
        self.options = options
        self.type, self.id = options.type, options.id
        self.data: Any = None
        self._cards = cards
        self._shown: list[Component] = []
        self._named: dict[str, Component] = {}
        self._refreshed = 0.0

    def append(self, component: Any, id: str | None = None) -> None:
        """Add a component.

        Args:
            component: a component; or text, which is Markdown; or any value: see `as_component`.
            id: a name, for ``current.card.components["name"].update(…)``.
        """
        made = as_component(component)
        if id is not None and id in self._named:
            self._cards.warn(f"the card has a component '{id}' already; this one gets no name")
        elif id is not None:
            self._named[id] = made
        self._shown.append(made)

    def extend(self, components: Iterable[Any]) -> None:
        """Add components."""
        for component in components:
            self.append(component)

    def clear(self) -> None:
        """Take all components away."""
        self._shown.clear()
        self._named.clear()

    def refresh(self, data: Any = None, force: bool = False) -> None:
        """Let the card be seen as it is now, while the task runs.

        Args:
            data: JSON data for the type of the card, see `CardTask.data`; None = as before.
            force: also when the last refresh was less than ``refresh_interval`` seconds ago.
        """
        if data is not None:
            self.data = data
        now = time.monotonic()
        if not force and now - self._refreshed < self.options.refresh_interval:
            return
        self._cards.write([self])
        self._refreshed = time.monotonic()  # what writing takes is no part of the interval

    @property
    def components(self) -> Components:
        """The components that have an id, by id."""
        return Components(self, self._named)

    def added(self) -> Added | None:
        """Return what was added so far; None when nothing was."""
        if not self._shown and self.data is None:
            return None
        shown = [encode(component, self._cards.latest) for component in self._shown]
        return Added(shown, self._cards.plain(self.data))

    def __len__(self) -> int:
        return len(self._shown)

    def __iter__(self) -> Iterator[Component]:
        return iter(self._shown)

    def __repr__(self) -> str:
        return f"<card {self.type}{f' {self.id!r}' if self.id else ''}: {len(self)} components>"


class Components(Mapping[str, Any]):
    """The components of a card that have an id."""

    def __init__(self, manager: CardManager, named: Mapping[str, Component]) -> None:
        self._manager = manager
        self._named = named

    def __getitem__(self, id: str) -> Any:
        if id in self._named:
            return self._named[id]
        hint = did_you_mean(id, self._named)
        self._manager._cards.warn(
            f"the card has no component '{id}'" + (f": {hint}" if hint else "")
        )
        return Nowhere()

    def __setitem__(self, id: str, component: Any) -> None:
        if id in self._named:
            raise ValueError(
                f"The card has a component '{id}' already: components['{id}'].update(…) changes it"
            )
        self._manager.append(component, id)

    def __iter__(self) -> Iterator[str]:
        return iter(self._named)

    def __len__(self) -> int:
        return len(self._named)


class Nowhere:
    """Stands for a card, or a component, that there is not: what it is told has no effect."""

    def append(self, component: Any, id: str | None = None) -> None:
        """Do nothing."""

    def extend(self, components: Iterable[Any]) -> None:
        """Do nothing."""

    def clear(self) -> None:
        """Do nothing."""

    def refresh(self, data: Any = None, force: bool = False) -> None:
        """Do nothing."""

    def update(self, *values: Any, **changes: Any) -> None:
        """Do nothing."""

    @property
    def components(self) -> Mapping[str, Any]:
        """Others like this one."""
        return _Nowheres()

    def __len__(self) -> int:
        return 0


class _Nowheres(dict[str, Any]):
    def __missing__(self, id: str) -> Nowhere:
        return Nowhere()


class Cards:
    """``current.card``: the cards of the running task. Since 0.1.

    Without an id it means the only card; of several the one with ``customize=True``, or the only one
    without an id.

    Args:
        options: the ``@card`` of the step, in order.
        write: stores what was added.
        enabled: whether to say what cannot be done.
    """

    def __init__(self, options: Sequence[CardOptions], write: Write, enabled: bool = True) -> None:
        self._managers = [CardManager(self, number, one) for number, one in enumerate(options)]
        self._write = write
        self._enabled = enabled
        self._said: set[str] = set()
        self._latest: dict[int, tuple[Component, Component]] = {}

    # --- as the one card that is meant ---

    def append(self, component: Any, id: str | None = None) -> None:
        """See `CardManager.append`."""
        self._meant().append(component, id)

    def extend(self, components: Iterable[Any]) -> None:
        """See `CardManager.extend`."""
        self._meant().extend(components)

    def clear(self) -> None:
        """See `CardManager.clear`."""
        self._meant().clear()

    def refresh(self, data: Any = None, force: bool = False) -> None:
        """See `CardManager.refresh`."""
        self._meant().refresh(data, force)

    @property
    def components(self) -> Mapping[str, Any]:
        """See `CardManager.components`."""
        return self._meant().components

    def _meant(self) -> CardManager | Nowhere:
        chosen = [m for m in self._managers if m.options.customize] or self._managers
        if len(chosen) > 1:
            chosen = [m for m in chosen if m.id is None]
        if len(chosen) == 1:
            return chosen[0]
        ids = [f"current.card['{m.id}']" for m in self._managers if m.id]
        choice = ", ".join(ids) if ids else "give them ids: @card(id='loss')"
        self.warn(
            f"current.card could mean each of {len(self._managers)} cards, so nothing was done: {choice}"
        )
        return Nowhere()

    # --- as a collection ---

    def __getitem__(self, id: str) -> CardManager | Nowhere:
        found = [m for m in self._managers if m.id == id]
        if found:
            return found[0]
        hint = did_you_mean(id, [m.id for m in self._managers if m.id])
        self.warn(f"the step has no card with the id '{id}'" + (f": {hint}" if hint else ""))
        return Nowhere()

    def __setitem__(self, id: str, components: Iterable[Any]) -> None:
        card = self[id]
        card.clear()
        card.extend([components] if isinstance(components, (str, Component)) else components)

    def get(self, type: str) -> list[CardManager]:
        """Return the cards of a type."""
        return [m for m in self._managers if m.type == type]

    def __len__(self) -> int:
        return len(self._managers)

    def __iter__(self) -> Iterator[CardManager]:
        return iter(self._managers)

    # --- for components and the hooks ---

    def replace(self, component: Component, changes: Mapping[str, Any]) -> None:
        """Show other data in the place of a component: see `Component.update`."""
        self._latest[id(component)] = (component, self.latest(component).changed(changes))

    def latest(self, component: Component) -> Component:
        """Return what is to be shown in the place of a component."""
        return self._latest.get(id(component), (component, component))[1]

    def finish(self) -> None:
        """Store what was added to all cards."""
        self.write(self._managers)

    def write(self, managers: Iterable[CardManager]) -> None:
        """Store what was added to some cards."""
        found = [(m.number, added) for m in managers if (added := m.added()) is not None]
        if not found:
            return
        try:
            self._write(found)
        except Exception as error:  # a card never fails its task
            self.warn(f"what the step added could not be stored: {type(error).__name__}: {error}")

    def plain(self, data: Any) -> Any:
        """Return ``data`` if it is JSON data; else say so."""
        try:
            return json.loads(json.dumps(data))
        except (TypeError, ValueError) as error:
            self.warn(f"current.card.refresh takes JSON data: {error}")
            return None

    def warn(self, text: str) -> None:
        """Say what cannot be done, once."""
        if self._enabled and text not in self._said:
            self._said.add(text)
            sys.stderr.write(f"card: {text}\n")
