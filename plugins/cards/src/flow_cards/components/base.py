"""What all components have in common: each is frozen data, of which a copy with changes can be made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, ClassVar


class Component:
    """Base class of all components. Subclass it as a frozen dataclass and say its `parts`.

    Since 0.1.
    """

    live: ClassVar[tuple[str, ...]] = ()
    """Names of the fields that `update` takes by position, in order."""

    def parts(self) -> Iterable[Component]:
        """Return the components of which this one is made. Built-in ones are drawn as they are."""
        raise NotImplementedError(
            f"{type(self).__name__} does not say what it is made of. Write in its class: "
            "def parts(self): return [Markdown(...)]"
        )

    def inside(self) -> Iterator[Component]:
        """Yield the components that stand in the fields of this one, such as the cells of a table."""
        for name in _field_names(self):
            yield from _components_in(getattr(self, name))

    def update(self, *values: Any, **changes: Any) -> None:
        """Let cards of the running task show other data in the place of this component.

        The component itself does not change. ``current.card.refresh()`` shows it while the task
        runs.

        Args:
            values: new values of the fields in ``live``, in order.
            changes: new values of fields, by name.

        Raises:
            TypeError: there is no such field.
            RuntimeError: no task with a card runs here.
        """
        from flow_core.api import current

        cards = current.get("card")
        if cards is None:
            raise RuntimeError("Components can be updated in a task with @card only")
        cards.replace(self, {**dict(zip(self.live, values, strict=False)), **changes})

    def latest(self) -> Component:
        """Return what is shown in the place of this component now: see `update`."""
        from flow_core.api import current

        cards = current.get("card")
        found: Component = self if cards is None else cards.latest(self)
        return found

    def changed(self, changes: Mapping[str, Any]) -> Component:
        """Return a copy with other values in some fields: what `update` shows.

        A component for which an update means something else overrides it: `EventsTimeline` adds.

        Raises:
            TypeError: there is no such field.
        """
        known = _field_names(self)
        unknown = [name for name in changes if name not in known]
        if unknown:
            raise TypeError(
                f"{type(self).__name__} has no field '{unknown[0]}': it has {', '.join(sorted(known))}"
            )
        copy: Component = object.__new__(type(self))
        copy.restore({name: changes.get(name, getattr(self, name)) for name in known})
        copy.settle()
        return copy

    def restore(self, values: Mapping[str, Any]) -> None:
        """Set all fields of a component that is being made. Fields not named have their default."""
        if not is_dataclass(self):
            self._set(**values)
            return
        for one in fields(self):
            default = None if one.default is MISSING else one.default
            object.__setattr__(self, one.name, values.get(one.name, default))

    def settle(self) -> None:
        """Bring the fields into their form; called after they were set."""

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


def _field_names(component: Component) -> list[str]:
    """Return the fields of a component; of a class that is no dataclass, what its objects hold."""
    if is_dataclass(component):
        return [one.name for one in fields(component)]
    return list(vars(component))


def _components_in(value: Any) -> Iterator[Component]:
    if isinstance(value, Component):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _components_in(part)
