"""The metadata provider ``local``: an index over runs in one SQLite file."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any

from flow_core.api import (
    AttemptRecord,
    AttemptState,
    FlowError,
    NotFound,
    RunRecord,
    RunState,
    StepSummary,
    advance_run,
    check_tags,
    state_folder,
)
from flow_metadata_local import rows
from flow_metadata_local.database import Database

if TYPE_CHECKING:
    from flow_core.api import Store


class LocalMetadata:
    """Keeps the index of runs in ``<root>/metadata.db``, a SQLite file.

    Any number of processes and threads of one machine may use it at once; a writer waits up to 30
    seconds for the others. After a fork the child opens a connection of its own. The write-ahead
    log of SQLite needs memory that all users share, so the file must not lie on a network file
    system (NFS, SMB) that several machines write to.

    Args:
        root: the folder, made on the first write; None = ``.flow`` in the nearest parent of the
            current folder that has one, else in the current folder.

    Attributes:
        root: absolute path of the folder.
        problems: what the last `rebuild` could not read, one sentence each.

    Since 0.1.
    """

    def __init__(self, root: str | None = None) -> None:
        self.root = state_folder(root)
        self.problems: list[str] = []
        self._database = Database(os.path.join(self.root, "metadata.db"))

    def __repr__(self) -> str:
        return f"<LocalMetadata {self.url}>"

    @property
    def url(self) -> str:
        """``local://`` and the absolute path of the folder."""
        return f"local://{self.root}"

    def close(self) -> None:
        """Release the connection. The next use opens it again."""
        self._database.close()

    # --- writing ----------------------------------------------------------------------------

    def register_run(self, run: RunRecord) -> None:
        """Add a run; `FlowError` when it exists already."""
        check_tags(run.tags)
        with self._database.writing() as connection:
            if rows.insert_run(connection, run) is None:
                raise FlowError(
                    f"Run '{run.pathspec}' exists already",
                    where=self._database.path,
                    why="another process registered a run with this id",
                    hint="start the run again: it gets an id of its own",
                )

    def update_run(
        self,
        flow: str,
        run: str,
        *,
        state: RunState | None = None,
        finished_at: float | None = None,
        heartbeat_at: float | None = None,
        message: str | None = None,
    ) -> None:
        """Change what is given.

        Raises:
            StateError: a run cannot go from its state to ``state``.
            NotFound: there is no such run.
        """
        with self._changing(flow, run) as (connection, key):
            if state is not None:
                (old,) = connection.execute(
                    "SELECT state FROM runs WHERE id = ?", (key,)
                ).fetchone()
                advance_run(RunState(old), state)
            connection.execute(
                "UPDATE runs SET state = coalesce(?, state), finished_at = coalesce(?, finished_at),"
                " heartbeat_at = coalesce(?, heartbeat_at), message = coalesce(?, message)"
                " WHERE id = ?",
                (state.value if state else None, finished_at, heartbeat_at, message, key),
            )

    def write_attempts(self, records: Sequence[AttemptRecord]) -> None:
        """Insert or replace records by (flow, run, step, task, attempt), all or none.

        Raises:
            NotFound: the run of a record is not registered.
        """
        if not records:
            return
        self._check_exists(records[0].flow, records[0].run)
        with self._database.writing() as connection:
            keys = {pair: self._key(connection, *pair) for pair in {r[:2] for r in records}}
            pairs = [(keys[r[:2]], rows.attempt_row(r)) for r in records]
            rows.upsert_attempts(connection, pairs)
            later = (p for p, r in zip(pairs, records, strict=True) if r.attempt)
            rows.mark_superseded(connection, later)

    def change_tags(
        self, flow: str, run: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> tuple[str, ...]:
        """Change the user's tags of a run in one transaction; return them, sorted.

        A tag that stands in both ``add`` and ``remove`` is there afterwards.

        Raises:
            UsageError: a tag is empty or longer than 500 characters, or there would be more than 50.
            NotFound: there is no such run.
        """
        with self._changing(flow, run) as (connection, key):
            old = rows.tags_of(connection, [key]).get(key, ((), ()))[0]
            new = (set(old) - set(remove)) | set(add)
            check_tags(add, new)
            connection.execute("DELETE FROM tags WHERE run_id = ? AND system = 0", (key,))
            rows.insert_tags(connection, key, new, system=False)
            return tuple(sorted(new))

    def remove_run(self, flow: str, run: str) -> bool:
        """Forget a run with its attempts and tags, in one transaction; say whether it was known."""
        if not self._database.exists():
            return False
        with self._database.writing() as connection:
            key = rows.run_id(connection, flow, run)
            if key is not None:
                rows.delete_run(connection, key)
            return key is not None

    def rebuild(self, store: Store) -> int:
        """Make the index anew from what lies in ``store``; return the number of runs.

        Everything is read first, then the index is replaced in one transaction. Records that are
        damaged are left out and described in `problems`. Kept from the old index is what the store
        does not know: the heartbeats of runs that still run, and tags that were changed in the
        index alone.
        """
        from flow_metadata_local.rebuild import rebuild

        self.problems = []
        return rebuild(self._database, store, self.problems)

    # --- reading ----------------------------------------------------------------------------

    def flows(self) -> list[str]:
        """Return the names of all flows, sorted."""
        with self._database.reading() as connection:
            return rows.flows(connection) if connection else []

    def run(self, flow: str, run: str) -> RunRecord | None:
        """Return one run, or None."""
        with self._database.reading() as connection:
            if connection is None:
                return None
            found = rows.select_runs(connection, "flow = ? AND run = ?", (flow, run))
            return found[0] if found else None

    def runs(
        self,
        flow: str,
        *,
        states: Sequence[RunState] = (),
        tags: Sequence[str] = (),
        before: RunRecord | None = None,
        limit: int = 100,
        since: float | None = None,
        until: float | None = None,
        user: str | None = None,
        parameters: Mapping[str, Sequence[str]] | None = None,
    ) -> list[RunRecord]:
        """Return runs, newest first by (created_at, run). Page with ``before=page[-1]``."""
        where = "flow = ?"
        values: list[Any] = [flow]
        if before is not None:
            where += " AND (created_at, run) < (?, ?)"
            values += [before.created_at, before.run]
        if states:
            where += f" AND state IN ({_marks(states)})"
            values += [state.value for state in states]
        for clause, value in (("created_at >=", since), ("created_at <", until), ("user =", user)):
            if value is not None:
                where += f" AND {clause} ?"
                values.append(value)
        for tag in tags:
            where += " AND EXISTS (SELECT 1 FROM tags WHERE run_id = runs.id AND tag = ?)"
            values.append(tag)
        for name, texts in (parameters or {}).items():
            where += (
                " AND EXISTS (SELECT 1 FROM parameters WHERE run_id = runs.id AND name = ?"
                f" AND value IN ({_marks(texts)}))"
            )
            values += [name, *texts]
        where += " ORDER BY created_at DESC, run DESC LIMIT ?"
        with self._database.reading() as connection:
            return rows.select_runs(connection, where, [*values, limit]) if connection else []

    def steps(self, flow: str, run: str) -> list[StepSummary]:
        """Return the steps of a run in the order in which they first started."""
        with self._database.reading() as connection:
            key = rows.run_id(connection, flow, run) if connection else None
            return rows.summarize(connection, key) if connection and key is not None else []

    def attempts(
        self,
        flow: str,
        run: str,
        *,
        step: str | None = None,
        task: int | None = None,
        states: Sequence[AttemptState] = (),
        all_attempts: bool = False,
        after: int = -1,
        before: int | None = None,
        newest_first: bool = False,
        brief: bool = False,
        limit: int = 1000,
    ) -> list[AttemptRecord]:
        """Return attempts ordered by (task, attempt), or downwards."""
        with self._database.reading() as connection:
            key = rows.run_id(connection, flow, run) if connection else None
            if connection is None or key is None:
                return []
            steps = [step] if step is not None else rows.step_names(connection, key)
            values = tuple(s.value for s in states)
            wanted = rows.Wanted(
                key, after, before, task, values, all_attempts, newest_first, brief, limit
            )
            # Each step's rows come in order, one at a time, so a page reads hardly more than itself.
            streams = [s for name in steps for s in rows.attempt_streams(connection, name, wanted)]
            if len(streams) == 1 and not all_attempts:
                page: Iterable[rows.Row] = streams[0]  # the usual list of a step: it is the page
            else:
                import heapq

                merged = heapq.merge(*streams, key=_order, reverse=newest_first)
                page = _first_tasks(merged, limit)
            make = rows.brief_records if brief else rows.attempt_records
            return make(flow, run, page)

    # --- parts ------------------------------------------------------------------------------

    @contextmanager
    def _changing(self, flow: str, run: str) -> Iterator[tuple[Connection, int]]:
        self._check_exists(flow, run)
        with self._database.writing() as connection:
            yield connection, self._key(connection, flow, run)

    def _key(self, connection: Connection, flow: str, run: str) -> int:
        key = rows.run_id(connection, flow, run)
        if key is None:
            raise self._not_found(flow, run)
        return key

    def _check_exists(self, flow: str, run: str) -> None:
        if not self._database.exists():  # which a change of a run must not create
            raise self._not_found(flow, run)

    def _not_found(self, flow: str, run: str) -> NotFound:
        return NotFound(
            f"There is no run '{flow}/{run}'",
            where=self._database.path,
            why="the index of runs does not know it",
            hint="check the id and the folder; an index that lacks runs is made anew by: flow reindex",
        )


def _order(row: tuple[Any, ...]) -> tuple[int, int]:
    return row[1], row[2]


def _first_tasks(found: Iterable[tuple[Any, ...]], limit: int) -> Iterator[tuple[Any, ...]]:
    by_task = itertools.groupby(found, key=lambda row: row[1])
    for _, group in itertools.islice(by_task, limit):
        yield from group


def _marks(values: Sequence[Any]) -> str:
    return ",".join("?" * len(values))
