"""``current.card``: what a step adds to its cards while it runs.

Nothing here may fail a task: what cannot be done is said on standard error, and left.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_cards.codec import encode
from flow_cards.components import Component, as_component
from flow_cards.decorator import CardOptions
from flow_cards.storage import Added
from flow_core.api import did_you_mean

if TYPE_CHECKING:
    from flow_cards.pace import Pace

Write = Callable[[Iterable[tuple[int, Added]]], None]


class _Shown(NamedTuple):
    """What a card shows at one moment. Components are frozen, so this stays as it is."""

    components: tuple[Component, ...]
    latest: Mapping[int, tuple[Component, Component]]
    data: Any


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
        self._stored = False
        self._pace: Pace[_Shown] | None = None  # once it is refreshed

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

        It may be called as often as one likes. What comes less than ``refresh_interval`` seconds
        after the last one is seen at the end of that time, even if the step computes meanwhile; of
        several the last. Where the store is slow it takes longer: at most a tenth of the time goes
        into writing.

        Args:
            data: JSON data for the type of the card, see `CardTask.data`; None = as before.
            force: write it now, and return when that is done.
        """
        if data is not None:
            self.data = self._cards.plain(data)
        if self._pace is None:
            from flow_cards.pace import Pace  # few steps refresh

            self._pace = Pace(self.options.refresh_interval, self._write)
        self._pace.ask(self._now(), force=force)

    @property
    def components(self) -> Components:
        """The components that have an id, by id."""
        return Components(self, self._named)

    def end(self) -> None:
        """Let no thread write any more."""
        if self._pace is not None:
            self._pace.end()

    def added(self, shown: _Shown | None = None) -> Added | None:
        """Return what was added so far, or at an earlier moment; None when nothing ever was."""
        shown = shown or self._now()
        if not shown.components and shown.data is None and not self._stored:
            return None
        self._stored = True

        def latest(component: Component) -> Component:
            return shown.latest.get(id(component), (component, component))[1]

        components = [encode(component, latest) for component in shown.components]
        return Added(components, shown.data, self._cards.described(self.options))

    def _now(self) -> _Shown:
        return _Shown(tuple(self._shown), self._cards.changes(), self.data)

    def _write(self, shown: _Shown) -> None:
        self._cards.write([(self, shown)])

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
        facts: what is known of the task, as JSON data, for those who look while it runs.
    """

    def __init__(
        self,
        options: Sequence[CardOptions],
        write: Write,
        enabled: bool = True,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        self._facts = dict(facts or {})
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

    def changes(self) -> Mapping[int, tuple[Component, Component]]:
        """Return what is to be shown in whose place, as it is now."""
        return self._latest.copy()

    def finish(self) -> None:
        """Store what was added to all cards; nothing is written after that."""
        for manager in self._managers:
            manager.end()
        self.write([(manager, None) for manager in self._managers])

    def write(self, shown: Iterable[tuple[CardManager, _Shown | None]]) -> None:
        """Store what was added to some cards, so far or at an earlier moment."""
        try:
            found = [(m.number, added) for m, one in shown if (added := m.added(one)) is not None]
            if found:
                self._write(found)
        except Exception as error:  # a card never fails its task
            self.warn(f"what the step added could not be stored: {type(error).__name__}: {error}")

    def described(self, options: CardOptions) -> dict[str, Any]:
        """Return which card it is, as JSON data, so that it can be drawn without the flow."""
        return {
            "type": options.type,
            "id": options.id,
            "options": json.loads(json.dumps(options.options, default=str)),
            "timeout": options.timeout,
            "task": self._facts,
        }

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
