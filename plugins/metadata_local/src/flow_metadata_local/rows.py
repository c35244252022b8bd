"""The statements: records into rows, rows into records. Callers hold the connection."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from sqlite3 import Connection
from typing import Any, NamedTuple

from flow_core.api import AttemptRecord, AttemptState, RunRecord, RunState, StepSummary

Row = tuple[Any, ...]

_STATES = {state.value: state for state in AttemptState}

_INSERT_RUN = """
    INSERT INTO runs (flow, run, state, created_at, finished_at, user, host, pid, origin,
        heartbeat_at, message)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""
_SELECT_RUN = """
    SELECT id, flow, run, state, created_at, finished_at, user, host, pid, origin, heartbeat_at,
        message FROM runs WHERE """

_PARTS = ("tags", "parameters", "attempts")
"""The tables whose rows belong to a run."""

_BRIEF_COLUMNS = "step, task, attempt, state, indices"
ATTEMPT_COLUMNS = f"""{_BRIEF_COLUMNS}, started_at, finished_at, cpu_seconds,
    peak_memory, origin, cause, message"""
ATTEMPT_MARKS = "?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?"
# Insertion order is free: an attempt is the latest unless a later one is there already.
_UPSERT_ATTEMPT = f"""
    INSERT INTO attempts (run_id, latest, {ATTEMPT_COLUMNS})
    VALUES (?, NOT EXISTS (SELECT 1 FROM attempts
        WHERE run_id = ? AND step = ? AND task = ? AND attempt > ?),
        {ATTEMPT_MARKS})
    ON CONFLICT DO UPDATE SET state = excluded.state, indices = excluded.indices,
        started_at = excluded.started_at, finished_at = excluded.finished_at,
        cpu_seconds = excluded.cpu_seconds, peak_memory = excluded.peak_memory,
        origin = excluded.origin, cause = excluded.cause, message = excluded.message"""
_SUPERSEDE = """
    UPDATE attempts SET latest = 0
    WHERE run_id = ? AND step = ? AND task = ? AND attempt < ? AND latest = 1"""

# Jumps from name to name in the primary key, instead of reading every row of the run.
_STEP_NAMES = """
    WITH RECURSIVE names (step) AS (
        SELECT min(step) FROM attempts WHERE run_id = :run
        UNION ALL
        SELECT (SELECT min(step) FROM attempts WHERE run_id = :run AND step > names.step)
        FROM names WHERE names.step IS NOT NULL)
    SELECT step FROM names WHERE step IS NOT NULL"""
_COUNT_LATEST = """
    SELECT step, state, count(*), min(task), min(started_at), max(finished_at)
    FROM attempts INDEXED BY attempts_latest
    WHERE run_id = ? AND latest = 1 GROUP BY step, state ORDER BY step, state"""
_SPAN_SUPERSEDED = """
    SELECT step, min(started_at), max(finished_at) FROM attempts INDEXED BY attempts_superseded
    WHERE run_id = ? AND latest = 0 GROUP BY step"""


# --- runs ---------------------------------------------------------------------------------------


def insert_run(connection: Connection, run: RunRecord) -> int | None:
    """Add a run with its tags and return its key; None when it exists already."""
    values = (*run[:2], run.state.value, *run[3:9], run.heartbeat_at, run.message)
    cursor = connection.execute(_INSERT_RUN, values)
    if not cursor.rowcount or cursor.lastrowid is None:
        return None
    insert_tags(connection, cursor.lastrowid, run.tags, system=False)
    insert_tags(connection, cursor.lastrowid, run.system_tags, system=True)
    connection.executemany(
        "INSERT OR REPLACE INTO parameters (run_id, name, value) VALUES (?, ?, ?)",
        [(cursor.lastrowid, *pair) for pair in run.parameters],
    )
    return cursor.lastrowid


def insert_tags(connection: Connection, key: int, tags: Iterable[str], *, system: bool) -> None:
    """Add tags to a run; those that it has already are no error."""
    connection.executemany(
        "INSERT OR IGNORE INTO tags (run_id, tag, system) VALUES (?, ?, ?)",
        [(key, tag, int(system)) for tag in tags],
    )


def delete_runs(connection: Connection, before: float) -> None:
    """Delete the runs created before a time (seconds since the epoch), with all that is theirs."""
    for table in _PARTS:
        connection.execute(
            f"DELETE FROM {table} WHERE run_id IN (SELECT id FROM runs WHERE created_at < ?)",
            (before,),
        )
    connection.execute("DELETE FROM runs WHERE created_at < ?", (before,))


def delete_run(connection: Connection, key: int) -> None:
    """Delete one run, with all that is its."""
    for table in _PARTS:
        connection.execute(f"DELETE FROM {table} WHERE run_id = ?", (key,))
    connection.execute("DELETE FROM runs WHERE id = ?", (key,))


def run_id(connection: Connection, flow: str, run: str) -> int | None:
    """Return the key of a run, or None."""
    found = connection.execute("SELECT id FROM runs WHERE flow = ? AND run = ?", (flow, run))
    row = found.fetchone()
    return row[0] if row else None


def flows(connection: Connection) -> list[str]:
    """Return the names of all flows, sorted."""
    return [row[0] for row in connection.execute("SELECT DISTINCT flow FROM runs ORDER BY flow")]


def select_runs(connection: Connection, where: str, values: Sequence[Any]) -> list[RunRecord]:
    """Return the runs for the text of a WHERE clause."""
    found = connection.execute(_SELECT_RUN + where, values).fetchall()
    keys = [row[0] for row in found]
    tags, given = tags_of(connection, keys), _parameters_of(connection, keys)
    return [
        _run_record(row, *tags.get(row[0], ((), ())), tuple(given.get(row[0], ()))) for row in found
    ]


def _parameters_of(connection: Connection, keys: Sequence[int]) -> dict[int, list[tuple[str, str]]]:
    """Return the parameters of runs by key, each as pairs that are sorted."""
    given: dict[int, list[tuple[str, str]]] = {}
    for key, name, value in connection.execute(
        "SELECT run_id, name, value FROM parameters"
        " WHERE run_id IN (SELECT value FROM json_each(?)) ORDER BY run_id, name",
        (f"[{','.join(map(str, keys))}]",),
    ):
        given.setdefault(key, []).append((name, value))
    return given


def tags_of(
    connection: Connection, keys: Sequence[int]
) -> dict[int, tuple[tuple[str, ...], tuple[str, ...]]]:
    """Return the tags of runs, (the user's, the system's) by key, each sorted."""
    # The number of variables in a statement is limited, the length of a JSON text is not.
    found = connection.execute(
        "SELECT run_id, tag, system FROM tags WHERE run_id IN (SELECT value FROM json_each(?))"
        " ORDER BY run_id, tag",
        (f"[{','.join(map(str, keys))}]",),
    )
    tags: dict[int, tuple[tuple[str, ...], tuple[str, ...]]] = {}
    for key, tag, system in found:
        user, own = tags.get(key, ((), ()))
        tags[key] = (user, (*own, tag)) if system else ((*user, tag), own)
    return tags


def _run_record(
    row: Row,
    user: tuple[str, ...],
    system: tuple[str, ...],
    given: tuple[tuple[str, str], ...],
) -> RunRecord:
    fields = (*row[1:3], RunState(row[3]), *row[4:10], user, system, *row[10:], given)
    return RunRecord._make(fields)


# --- attempts -----------------------------------------------------------------------------------


def attempt_row(record: AttemptRecord) -> Row:
    """Return the columns from ``step`` on."""
    _, _, step, task, attempt, state, indices, *rest = record
    # One foreach is by far the most common, and a number is read faster than a text.
    place = indices[0] if len(indices) == 1 else ",".join(map(str, indices))
    return (step, task, attempt, state.value, place, *rest)


def attempt_records(flow: str, run: str, found: Iterable[Row]) -> list[AttemptRecord]:
    """Undo `attempt_row` for many rows: a list of ten thousand tasks is made here."""
    # Written out, since the loop is most of what such a list costs.
    new, states = tuple.__new__, _STATES
    return [
        new(
            AttemptRecord,
            (
                flow,
                run,
                step,
                task,
                attempt,
                states[state],
                (place,) if type(place) is int else _indices(place),
                started_at,
                finished_at,
                cpu_seconds,
                peak_memory,
                origin,
                cause,
                message,
            ),
        )
        for (
            step,
            task,
            attempt,
            state,
            place,
            started_at,
            finished_at,
            cpu_seconds,
            peak_memory,
            origin,
            cause,
            message,
        ) in found
    ]


def brief_records(flow: str, run: str, found: Iterable[Row]) -> list[AttemptRecord]:
    """As `attempt_records`, of rows that end with the indices."""
    new, states = tuple.__new__, _STATES
    return [
        new(
            AttemptRecord,
            (
                flow,
                run,
                step,
                task,
                attempt,
                states[state],
                (place,) if type(place) is int else _indices(place),
                None,
                None,
                0.0,
                0,
                None,
                "",
                "",
            ),
        )
        for step, task, attempt, state, place in found
    ]


def _indices(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(","))) if text else ()


def upsert_attempts(connection: Connection, pairs: Iterable[tuple[int, Row]]) -> None:
    """Insert or replace pairs of a run's key and an `attempt_row`."""
    connection.executemany(_UPSERT_ATTEMPT, ((key, key, *row[:3], *row) for key, row in pairs))


def mark_superseded(connection: Connection, pairs: Iterable[tuple[int, Row]]) -> None:
    """Take the mark of the latest from the attempts before those given as for `upsert_attempts`."""
    connection.executemany(_SUPERSEDE, ((key, *row[:3]) for key, row in pairs))


def step_names(connection: Connection, key: int) -> list[str]:
    """Return the names of a run's steps."""
    return [row[0] for row in connection.execute(_STEP_NAMES, {"run": key})]


class Wanted(NamedTuple):
    """Which attempts of a run are wanted; see `flow_core.api.Metadata.attempts`."""

    run_id: int
    after: int
    before: int | None
    task: int | None
    states: tuple[str, ...]
    all_attempts: bool
    newest_first: bool
    brief: bool
    limit: int


def attempt_streams(connection: Connection, step: str, wanted: Wanted) -> Iterator[Iterator[Row]]:
    """Yield streams of one step's rows, each ordered by (task, attempt).

    Rare states are found by the index, which has one ordered stretch for each state.
    """
    clauses, values = "run_id = ? AND step = ? AND task > ?", [wanted.run_id, step, wanted.after]
    if wanted.before is not None:
        clauses, values = clauses + " AND task < ?", [*values, wanted.before]
    if wanted.task is not None:
        clauses, values = clauses + " AND task = ?", [*values, wanted.task]
    columns = _BRIEF_COLUMNS if wanted.brief else ATTEMPT_COLUMNS
    way = " DESC" if wanted.newest_first else ""
    tail = f" ORDER BY task{way}, attempt{way}"
    if not wanted.all_attempts:
        # One attempt of a task is the latest; to sort by attempt, too, would cost a sort.
        clauses, tail = f"{clauses} AND latest = 1", f" ORDER BY task{way} LIMIT {wanted.limit:d}"
    if not wanted.states:
        yield connection.execute(f"SELECT {columns} FROM attempts WHERE {clauses}{tail}", values)
        return
    index = "" if wanted.all_attempts else "INDEXED BY attempts_latest"
    for state in dict.fromkeys(wanted.states):
        yield connection.execute(
            f"SELECT {columns} FROM attempts {index} WHERE {clauses} AND state = ?{tail}",
            [*values, state],
        )


def summarize(connection: Connection, key: int) -> list[StepSummary]:
    """Return the steps of a run in the order in which they first started."""
    spans = {row[0]: row[1:] for row in connection.execute(_SPAN_SUPERSEDED, (key,))}
    found: dict[str, list[Row]] = {}
    for row in connection.execute(_COUNT_LATEST, (key,)):
        found.setdefault(row[0], []).append(row)
    steps = [_summary(name, group, spans.get(name, (None, None))) for name, group in found.items()]
    return [summary for _, summary in sorted(steps, key=lambda pair: pair[0])]


def _summary(
    name: str, group: Sequence[Row], span: Row
) -> tuple[tuple[bool, float, int], StepSummary]:
    states = {row[1]: row[2] for row in group}
    starts = [row[4] for row in (*group, (0, 0, 0, 0, *span)) if row[4] is not None]
    ends = [row[5] for row in (*group, (0, 0, 0, 0, *span)) if row[5] is not None]
    start, end = min(starts, default=None), max(ends, default=None)
    # Steps that did not start yet come last, in the order of their tasks.
    order = (start is None, start or 0.0, min(row[3] for row in group))
    return order, StepSummary(name, sum(states.values()), states, start, end)
