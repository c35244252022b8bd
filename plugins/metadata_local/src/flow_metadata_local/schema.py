"""The tables of the index, and the steps from each version of them to the next."""

from __future__ import annotations

from collections.abc import Callable
from sqlite3 import Connection

_TABLES = (
    """CREATE TABLE runs (
        id INTEGER PRIMARY KEY,
        flow TEXT NOT NULL,
        run TEXT NOT NULL,
        state TEXT NOT NULL,
        created_at REAL NOT NULL,
        finished_at REAL,
        user TEXT NOT NULL,
        host TEXT NOT NULL,
        pid INTEGER NOT NULL,
        origin TEXT,
        heartbeat_at REAL,
        message TEXT NOT NULL,
        UNIQUE (flow, run)
    )""",
    "CREATE INDEX runs_by_time ON runs (flow, created_at, run)",
    """CREATE TABLE tags (
        run_id INTEGER NOT NULL,
        tag TEXT NOT NULL,
        system INTEGER NOT NULL,
        PRIMARY KEY (run_id, tag, system)
    ) WITHOUT ROWID""",
    # ``latest`` marks the last attempt of each task, which is what nearly every reader wants.
    # ``indices`` is one number inside one foreach, else a text: '3,7', '' outside of all foreaches.
    """CREATE TABLE attempts (
        run_id INTEGER NOT NULL,
        step TEXT NOT NULL,
        task INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        latest INTEGER NOT NULL,
        state TEXT NOT NULL,
        indices NOT NULL,
        started_at REAL,
        finished_at REAL,
        cpu_seconds REAL NOT NULL,
        peak_memory INTEGER NOT NULL,
        origin TEXT,
        cause TEXT NOT NULL,
        message TEXT NOT NULL,
        PRIMARY KEY (run_id, step, task, attempt)
    ) WITHOUT ROWID""",
    # These two answer the summary of a run's steps without touching the table; for that even the
    # column of their condition must be in them.
    """CREATE INDEX attempts_latest
        ON attempts (run_id, step, state, task, started_at, finished_at, latest)
        WHERE latest = 1""",
    """CREATE INDEX attempts_superseded
        ON attempts (run_id, step, started_at, finished_at, latest) WHERE latest = 0""",
)


def _create(connection: Connection) -> None:
    for statement in _TABLES:
        connection.execute(statement)


def _add_parameters(connection: Connection) -> None:
    # The runs that are there already have none: 'flow reindex' finds them in the store.
    connection.execute(
        """CREATE TABLE parameters (
        run_id INTEGER NOT NULL,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (run_id, name)
    ) WITHOUT ROWID"""
    )


MIGRATIONS: tuple[Callable[[Connection], None], ...] = (_create, _add_parameters)
"""Number n brings an index of version n to version n + 1; each runs inside one transaction."""

VERSION = len(MIGRATIONS)
"""Version of the tables that this code reads and writes; stored as ``PRAGMA user_version``."""
