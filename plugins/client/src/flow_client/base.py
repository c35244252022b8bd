"""What all objects of the client have in common."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from flow_core.api import FlowError, NotFound

if TYPE_CHECKING:
    from flow_client.reader import Reader
    from flow_core.api import Store

C = TypeVar("C", bound="Entity")

_COMPLETIONS = 100


class Entity:
    """One thing with a pathspec. Two are equal when they are of one kind and pathspec."""

    __slots__ = ("_reader",)
    _reader: Reader

    @property
    def pathspec(self) -> str:
        """The full name: ``Flow/run/step/task/artifact``, cut to the depth of this object."""
        raise NotImplementedError

    @property
    def id(self) -> str:
        """The last part of the pathspec."""
        return self.pathspec.rpartition("/")[2]

    @property
    def path_components(self) -> list[str]:
        """The parts of the pathspec."""
        return self.pathspec.split("/")

    @property
    def stored_in(self) -> tuple[str, str]:
        """The URLs of the store and the index that it was read from."""
        return self._reader.place

    @property
    def store(self) -> Store:
        """The store that holds what the run left, for tools that read it whole. Since 0.1."""
        store: Store = self._reader.session.store
        return store

    @property
    def tags(self) -> frozenset[str]:
        """The tags of the run, on all levels below it; a flow has none."""
        return frozenset()

    @property
    def user_tags(self) -> frozenset[str]:
        """The tags of the run that people gave."""
        return frozenset()

    @property
    def system_tags(self) -> frozenset[str]:
        """The tags of the run that flow-core gave."""
        return frozenset()

    @property
    def origin_pathspec(self) -> str | None:
        """What this is a copy of, in an earlier run, or None."""
        return None

    def is_in_namespace(self) -> bool:
        """Whether the run carries the tag that is the namespace; of a flow, whether any run does."""
        from flow_client.scope import get_namespace

        name = get_namespace()
        return name is None or name in self.tags

    @property
    def _pinned(self) -> int | None:
        """The attempt that was asked for, or None for the latest."""
        return None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Entity) or type(other) is not type(self):
            return NotImplemented
        return (self.pathspec, self._pinned) == (other.pathspec, other._pinned)

    def __hash__(self) -> int:
        return hash((type(self).__name__, self.pathspec, self._pinned))

    def __repr__(self) -> str:
        attempt = "" if self._pinned is None else f", attempt={self._pinned}"
        return f"{type(self).__name__}({self.pathspec!r}{attempt})"

    def __reduce__(self) -> tuple[Any, ...]:
        return restore, (type(self), self.pathspec, self._pinned, self._reader.place)

    @classmethod
    def _restore(cls, pathspec: str, attempt: int | None) -> Any:
        """Find the object again, whatever the namespace."""
        raise NotImplementedError


class Container(Entity, Generic[C]):
    """An object with children: iterate over them, take one by its id, ask whether there is one."""

    __slots__ = ()

    def _children(self) -> Iterator[C]:
        raise NotImplementedError

    def _child(self, name: str) -> C:
        """Return one child; `ObjectNotFound` when there is none."""
        raise NotImplementedError

    def __iter__(self) -> Iterator[C]:
        return self._children()

    def __getitem__(self, name: str | int) -> C:
        return self._child(str(name))

    def __contains__(self, name: object) -> bool:
        try:
            self._child(str(name))
        except NotFound:
            return False
        return True

    def _ipython_key_completions_(self) -> list[str]:
        return [child.id for child in itertools.islice(self._children(), _COMPLETIONS)]


def restore(
    cls: type[Entity], pathspec: str, attempt: int | None, place: tuple[str, str] | None = None
) -> Any:
    """Undo pickling, in any process and folder. Its name is part of the pickled form.

    Args:
        cls, pathspec, attempt: the object.
        place: URLs of its store and index; None = what is read now.
    """
    from flow_client.scope import reader, reader_at, using_reader

    if place is None or place == reader().place:
        return cls._restore(pathspec, attempt)
    try:
        with using_reader(reader_at(*place)):
            return cls._restore(pathspec, attempt)
    except FlowError as error:
        # The folder was moved, or the provider is not installed here: what is read now may be it.
        try:
            return cls._restore(pathspec, attempt)
        except NotFound:
            raise error from None
