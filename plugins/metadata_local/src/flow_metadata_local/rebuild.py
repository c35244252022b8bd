"""Making the index anew from the store, which holds the truth."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing

from flow_core.api import (
    AttemptRecord,
    FlowError,
    Manifest,
    RunDocument,
    RunRecord,
    RunResult,
    RunState,
    Store,
    list_manifests,
    result_key,
    run_key,
    stored_tags,
)
from flow_metadata_local import rows
from flow_metadata_local.database import Database


def rebuild(database: Database, store: Store, problems: list[str]) -> int:
    """Replace the content of the index by that of ``store``; return the number of runs.

    Args:
        database: the index.
        store: where the truth is.
        problems: one sentence is added for each record that cannot be read.
    """
    began = time.time()
    # Rows wait in a file of their own, so that reading a big store neither fills the memory nor
    # keeps the index locked.
    with closing(sqlite3.connect("", isolation_level=None)) as spool:
        spool.execute(f"CREATE TABLE spool (place, {rows.ATTEMPT_COLUMNS})")
        spool.execute("BEGIN")
        found: list[RunRecord] = []
        tags: dict[int, tuple[str, ...]] = {}
        for run in _read_runs(store, problems):
            changed = _read_tags(store, run, problems)
            if changed is not None:
                tags[len(found)] = changed
            _spool_attempts(spool, len(found), _read_attempts(store, run, problems))
            found.append(run)
        spool.execute("CREATE INDEX spool_by_place ON spool (place, attempt)")
        _replace(database, spool, found, tags, began)
    return len(found)


def _read_runs(store: Store, problems: list[str]) -> Iterator[RunRecord]:
    for flow in store.folders("runs/"):
        for run in store.folders(f"runs/{flow}/"):
            try:
                record = _read_run(store, flow, run)
            except FlowError as error:
                problems.append(_problem(error, run_key(flow, run)))
                continue
            if record is None:
                problems.append(f"{run_key(flow, run)}: there is no such record")
            else:
                yield record


def _read_run(store: Store, flow: str, run: str) -> RunRecord | None:
    keys = (run_key(flow, run), result_key(flow, run))
    start, end = store.read(keys)
    if start is None:
        return None
    record = RunDocument.decode(start, keys[0]).record(RunState.RUNNING)
    if end is None:
        return record
    result = RunResult.decode(end, keys[1])
    return record._replace(
        state=result.state, finished_at=result.finished_at, message=result.message
    )


def _read_tags(store: Store, run: RunRecord, problems: list[str]) -> tuple[str, ...] | None:
    """Return the tags after the last change; None when there was none that can be read."""
    try:
        return stored_tags(store, run.flow, run.run)
    except FlowError as error:
        problems.append(_problem(error, f"tags of {run.pathspec}"))
        return None


def _read_attempts(store: Store, run: RunRecord, problems: list[str]) -> Iterator[AttemptRecord]:
    for key, raw in list_manifests(store, run.flow, run.run, problems):
        try:
            yield AttemptRecord.from_manifest(Manifest.decode(raw, key))
        except FlowError as error:
            problems.append(_problem(error, key))


def _problem(error: FlowError, key: str) -> str:
    return f"{key}: {error.what}" + (f": {error.why}" if error.why else "")


def _spool_attempts(
    spool: sqlite3.Connection, place: int, attempts: Iterator[AttemptRecord]
) -> None:
    spool.executemany(
        f"INSERT INTO spool VALUES (?, {rows.ATTEMPT_MARKS})",
        ((place, *rows.attempt_row(attempt)) for attempt in attempts),
    )


def _replace(
    database: Database,
    spool: sqlite3.Connection,
    found: list[RunRecord],
    tags: dict[int, tuple[str, ...]],
    began: float,
) -> None:
    with database.writing() as connection:
        old = {r[:2]: r for r in rows.select_runs(connection, "created_at < ?", (began,))}
        rows.delete_runs(connection, began)
        for place, run in enumerate(found):
            record = _merged(run, old.get(run[:2]))
            if place in tags:
                record = record._replace(tags=tags[place])
            key = rows.insert_run(connection, record)
            if key is None:
                continue  # it started while the store was read: the index knows more
            attempts = spool.execute("SELECT * FROM spool WHERE place = ?", (place,))
            rows.upsert_attempts(connection, ((key, row[1:]) for row in attempts))
            later = spool.execute("SELECT * FROM spool WHERE place = ? AND attempt > 0", (place,))
            rows.mark_superseded(connection, ((key, row[1:]) for row in later))


def _merged(run: RunRecord, old: RunRecord | None) -> RunRecord:
    """Add to what the store knows of a run what only the index knows."""
    if old is None:
        return run
    if run.finished_at is None:
        return old
    return run._replace(tags=old.tags, host=old.host, pid=old.pid, heartbeat_at=old.heartbeat_at)
