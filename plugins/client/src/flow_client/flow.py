"""`Flow`: all runs of one flow; `flows`: all flows."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from flow_client.base import Container
from flow_client.errors import NamespaceMismatch, ObjectNotFound, names_hint
from flow_client.pathspec import split
from flow_client.reader import count_of, moment
from flow_client.run import Run
from flow_client.scope import get_namespace, reader
from flow_core.api import (
    RUN_STATES,
    RunQuery,
    check_states,
    find_runs,
    time_of,
    value_texts,
)

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from flow_client.reader import Reader
    from flow_core.api import RunRecord

_PAGE = 100
_LONG_PAGE = 1000


class Flow(Container[Run]):
    """All runs of one flow, newest first, as far as they are in the namespace.

    ``for run in Flow("MyFlow")``, ``Flow("MyFlow")["3"]``, ``"3" in Flow("MyFlow")``.

    Args:
        pathspec: name of the flow.
        store: where to read it from, a URL such as ``s3://bucket/prefix``, a folder, or a name; None =
            what is read anyway.

    Raises:
        UsageError: it is no name of a flow.
        ObjectNotFound: there is no run of such a flow.
        NamespaceMismatch: there are runs, but none in the namespace.

    Since 0.1.
    """

    __slots__ = ("_name",)

    def __init__(self, pathspec: str, *, store: str | None = None) -> None:
        (name,) = split("Flow", pathspec)
        self._reader = reader(store)
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
        source = reader()
        if not source.session.metadata.runs(pathspec, limit=1):
            raise missing(source, pathspec)
        return cls._of(source, pathspec)

    @property
    def pathspec(self) -> str:
        """The name of the flow."""
        return self._name

    @property
    def parent(self) -> None:
        """None: nothing stands above a flow."""
        return

    @property
    def created_at(self) -> datetime | None:
        """When the oldest of its runs in the namespace was started; it looks through all of them."""
        times = (record.created_at for record in self._records(page=_LONG_PAGE))
        return moment(min(times, default=None))

    @property
    def finished_at(self) -> datetime | None:
        """When the newest of its runs in the namespace ended; None while it goes on."""
        latest = self.latest_run
        return latest.finished_at if latest is not None else None

    def is_in_namespace(self) -> bool:
        """Whether any of its runs is in the namespace."""
        return next(self._records(page=1), None) is not None

    @property
    def latest_run(self) -> Run | None:
        """The newest run, whatever its state; None when there is none."""
        return next(self.runs(limit=1), None)

    @property
    def latest_successful_run(self) -> Run | None:
        """The newest run that succeeded; None when there is none."""
        return next(self.runs(state="succeeded", limit=1), None)

    def runs(
        self,
        *tags: str,
        state: str | Iterable[str] | None = None,
        since: datetime | timedelta | str | None = None,
        until: datetime | timedelta | str | None = None,
        user: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        before: Run | str | None = None,
        limit: int | None = None,
    ) -> Iterator[Run]:
        """Yield runs, newest first; they are found by the index, and read page by page.

        For pages of your own give the last run of a page as ``before`` of the next one: what is
        started meanwhile changes nothing in them.

        Args:
            tags: only runs that carry all of these.
            state: only runs in this state, or in one of these, see `Run.state`.
            since: only runs started then or later: a `datetime` (without a zone: local time), a
                `timedelta` or text like ``"7d"`` for so long ago, or a date like ``"2026-11-28"``.
            until: only runs started before then.
            user: only runs that this user started.
            parameters: only runs with these values; ``3`` is ``3.0`` too. Of values that are longer
                than 500 characters as JSON, or have no JSON form, nothing is found.
            before: only runs older than this one.
            limit: at most so many.

        Raises:
            UsageError: there is no such state, a time is none, or a value has no JSON form.
            ObjectNotFound: there is no run ``before``.
        """
        query = RunQuery(
            tags,
            (state,) if isinstance(state, str) else tuple(state or ()),
            time_of(since) if since is not None else None,
            time_of(until) if until is not None else None,
            user,
            {name: value_texts(value) for name, value in (parameters or {}).items()},
        )
        check_states(query.states, RUN_STATES, "a run")
        if isinstance(before, str):
            before = Run._find(self._reader, self._name, before.rpartition("/")[2], anywhere=True)
        older = before._record if before is not None else None
        count = count_of(limit)
        found = self._records(query, older, page=min(count or _PAGE, _PAGE))
        runs = (Run._of(self._reader, record) for record in found)
        return itertools.islice(runs, count)

    def _records(
        self,
        query: RunQuery = RunQuery(),  # noqa: B008 - it cannot be changed
        before: RunRecord | None = None,
        *,
        page: int = _PAGE,
    ) -> Iterator[RunRecord]:
        name = get_namespace()
        if name is not None:
            query = query._replace(tags=(*query.tags, name))
        return find_runs(self._reader.session.metadata, self._name, query, before=before, page=page)

    def _children(self) -> Iterator[Run]:
        return self.runs()

    def _child(self, name: str) -> Run:
        return Run._find(self._reader, self._name, name)

    def _repr_html_(self) -> str:
        from flow_client.html import flow_table

        return flow_table(self)


class Flows:
    """The flows that have runs in the namespace, by name: what `flows` returns.

    ``for flow in flows()``, ``flows()["MyFlow"]``, ``"MyFlow" in flows()``. Since 0.1.
    """

    def __init__(self, store: str | None = None) -> None:
        self._reader = reader(store)

    @property
    def flows(self) -> list[Flow]:
        """All of them."""
        return list(self)

    def __iter__(self) -> Iterator[Flow]:
        for name in self._reader.session.metadata.flows():
            flow = Flow._of(self._reader, name)
            if next(flow._records(page=1), None) is not None:
                yield flow

    def __getitem__(self, name: str) -> Flow:
        flow = Flow._of(self._reader, name)
        if next(flow._records(page=1), None) is None:
            raise missing(self._reader, name)
        return flow

    def __contains__(self, name: object) -> bool:
        flow = Flow._of(self._reader, str(name))
        return next(flow._records(page=1), None) is not None

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<Flows {', '.join(flow.id for flow in self) or 'none'}>"

    def _ipython_key_completions_(self) -> list[str]:
        return [flow.id for flow in self]

    def _repr_html_(self) -> str:
        from flow_client.html import flows_table

        return flows_table(self)


def flows(*, store: str | None = None) -> Flows:
    """Return the flows that have runs in the namespace, by name: iterate, or take one.

    Args:
        store: where to read it from, a URL such as ``s3://bucket/prefix``, a folder, or a name; None =
            what is read anyway.

    Since 0.1.
    """
    return Flows(store)


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
