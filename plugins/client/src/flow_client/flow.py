"""`Flow`: all runs of one flow; `flows`: all flows."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from flow_client.base import Container
from flow_client.errors import NamespaceMismatch, ObjectNotFound, names_hint
from flow_client.pathspec import split
from flow_client.reader import count_of
from flow_client.run import ENDED, LOST, Run
from flow_client.scope import get_namespace, reader
from flow_core.api import RunState, UsageError, did_you_mean

if TYPE_CHECKING:
    from flow_client.reader import Reader
    from flow_core.api import RunRecord

_PAGE = 100
_STATES = (*(s.value for s in RunState), LOST)


class Flow(Container[Run]):
    """All runs of one flow, newest first, as far as they are in the namespace.

    ``for run in Flow("MyFlow")``, ``Flow("MyFlow")["3"]``, ``"3" in Flow("MyFlow")``.

    Args:
        pathspec: name of the flow.

    Raises:
        UsageError: it is no name of a flow.
        ObjectNotFound: there is no run of such a flow.
        NamespaceMismatch: there are runs, but none in the namespace.

    Since 0.1.
    """

    __slots__ = ("_name",)

    def __init__(self, pathspec: str) -> None:
        (name,) = split("Flow", pathspec)
        self._reader = reader()
        self._name = name
        if next(self._records(page=1), None) is None:
            raise missing(self._reader, name)

    @classmethod
    def _of(cls, reader: Reader, name: str) -> Flow:
        flow = cls.__new__(cls)
        flow._reader = reader
        flow._name = name
        return flow

    @classmethod
    def _restore(cls, pathspec: str, attempt: int | None) -> Flow:
        return cls._of(reader(), pathspec)

    @property
    def pathspec(self) -> str:
        """The name of the flow."""
        return self._name

    @property
    def parent(self) -> None:
        """None: nothing stands above a flow."""
        return

    @property
    def latest_run(self) -> Run | None:
        """The newest run, whatever its state; None when there is none."""
        return next(self.runs(limit=1), None)

    @property
    def latest_successful_run(self) -> Run | None:
        """The newest run that succeeded; None when there is none."""
        return next(self.runs(state="succeeded", limit=1), None)

    def runs(self, *tags: str, state: str | None = None, limit: int | None = None) -> Iterator[Run]:
        """Yield runs, newest first; they are read page by page.

        Args:
            tags: only runs that carry all of these.
            state: only runs in this state, see `Run.state`.
            limit: at most so many.

        Raises:
            UsageError: there is no such state.
        """
        if state is not None and state not in _STATES:
            raise UsageError(
                f"There is no state '{state}' of a run", hint=did_you_mean(state, _STATES)
            )
        found = self._runs(tags, state, min(limit or _PAGE, _PAGE))
        return itertools.islice(found, count_of(limit))

    def _runs(self, tags: tuple[str, ...], state: str | None, page: int) -> Iterator[Run]:
        if state is None or state in ENDED:
            states = [RunState(state)] if state else []
            for record in self._records(tags, states, page):
                yield Run._of(self._reader, record)
            return
        # Whether a run that has not ended is alive is not in the index.
        open_states = [s for s in RunState if s.value not in ENDED]
        for record in self._records(tags, open_states):
            run = Run._of(self._reader, record)
            if run.state == state:
                yield run

    def _records(
        self, tags: tuple[str, ...] = (), states: list[RunState] | None = None, page: int = _PAGE
    ) -> Iterator[RunRecord]:
        name = get_namespace()
        wanted = [*tags, *([name] if name is not None else [])]
        return self._reader.runs(self._name, states or (), wanted, page)

    def _children(self) -> Iterator[Run]:
        return self.runs()

    def _child(self, name: str) -> Run:
        return Run._find(self._reader, self._name, name)


def flows() -> Iterator[Flow]:
    """Yield the flows that have runs in the namespace, by name. Since 0.1."""
    source = reader()
    for name in source.session.metadata.flows():
        flow = Flow._of(source, name)
        if next(flow._records(page=1), None) is not None:
            yield flow


def missing(source: Reader, name: str) -> ObjectNotFound:
    if source.session.metadata.runs(name, limit=1):
        return NamespaceMismatch(
            f"Flow '{name}' has no run in the namespace '{get_namespace()}'",
            where=source.session.metadata.url,
            why="the namespace hides runs that do not carry it as a tag",
            hint="namespace(None) shows the runs of everybody",
        )
    from flow_core.api import index_lacks  # brings the start of runs with it, which readers lack

    if index_lacks(source.session.metadata, source.session.store, name):
        return not_indexed(source, f"flow '{name}'")
    return ObjectNotFound(
        f"There is no flow '{name}'",
        where=source.session.metadata.url,
        why="the index knows no run of it",
        hint=names_hint(name, source.session.metadata.flows(), "flows")
        or "run one first: python my_flow.py run",
    )


def not_indexed(source: Reader, what: str) -> ObjectNotFound:
    """Return the error for what may be in the store, and which only the index does not know."""
    return ObjectNotFound(
        f"The index does not know the {what}",
        where=source.session.metadata.url,
        why=f"the store {source.session.store.url} has runs that the index lacks",
        hint="flow reindex",
    )
