"""One SQLite file: opened when first needed, shared by threads, opened anew after a fork."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flow_core.api import FlowError, FormatError, IntegrityError, StoreError
from flow_metadata_local.schema import MIGRATIONS, VERSION

PATIENCE = 30.0
"""Seconds to wait for other writers before an error."""


class Database:
    """A connection to one file, made when first needed.

    Args:
        path: the file, made with its folder on the first write.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = None
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._inherited: list[sqlite3.Connection] = []

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """Give the connection to one thread for reading; None when there is no file."""
        self._notice_fork()
        with self._lock, self._explained():
            yield self._connect() if self._connection or os.path.exists(self.path) else None

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Give the connection to one thread inside a transaction: all or nothing is written."""
        self._notice_fork()
        with self._lock, self._explained():
            if self._connection is None:
                self._make_folder()
            with transaction(self._connect()) as connection:
                yield connection

    def exists(self) -> bool:
        """Whether there is a file to read."""
        return self._connection is not None or os.path.exists(self.path)

    def close(self) -> None:
        """Close the connection; the next use opens it again."""
        self._notice_fork()
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def __del__(self, _getpid: Callable[[], int] = os.getpid) -> None:
        # A script that reads a few runs closes nothing; from Python 3.13 on that would warn.
        # When the interpreter ends, the names of this module may be gone before: hence `_getpid`.
        if self._connection is not None and self._pid == _getpid():
            self._connection.close()

    def _notice_fork(self) -> None:
        if self._pid == os.getpid():
            return
        # SQLite forbids even closing a connection that came through a fork, so it is kept, unused.
        # The lock may be held by a thread that exists only in the parent.
        if self._connection is not None:
            self._inherited.append(self._connection)
        self._connection = None
        self._lock = threading.RLock()
        self._pid = os.getpid()

    def _make_folder(self) -> None:
        folder = os.path.dirname(self.path)
        try:
            os.makedirs(folder, exist_ok=True)
        except OSError as error:
            raise StoreError(
                "The index of runs cannot be made",
                where=folder,
                why=os.strerror(error.errno or 0),
                hint="choose another place: a file stands where a folder is needed"
                if isinstance(error, (FileExistsError, NotADirectoryError))
                else f"check owner and mode with: ls -ld '{os.path.dirname(folder)}'",
            ) from error

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            connection = self._open()
            try:
                self._upgrade(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def _open(self) -> sqlite3.Connection:
        connection = _open_file(self.path)
        try:
            _patiently(lambda: _prepare(connection))
        except sqlite3.OperationalError as error:
            connection.close()
            if "unable to open" not in str(error) or os.access(self.path, os.W_OK):
                raise
            # The write-ahead log needs a file beside the database even for reading. Where nothing
            # can be written, nothing changes either, and the file can be read as it is.
            from urllib.parse import quote  # some milliseconds, for a rare case

            return _open_file(f"file:{quote(self.path)}?immutable=1", uri=True)
        except BaseException:
            connection.close()
            raise
        return connection

    def _upgrade(self, connection: sqlite3.Connection) -> None:
        if self._version(connection) == VERSION:
            return
        with transaction(connection):
            for migrate in MIGRATIONS[self._version(connection) :]:
                migrate(connection)
            connection.execute(f"PRAGMA user_version = {VERSION}")

    def _version(self, connection: sqlite3.Connection) -> int:
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if found > VERSION:
            raise FormatError(
                f"The index of runs has format {found}; this flow-metadata-local reads formats"
                f" up to {VERSION}",
                where=self.path,
                why="it was written by a newer version of flow-metadata-local",
                hint="pip install --upgrade flow-metadata-local",
            )
        return found

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            # The other subclasses of DatabaseError are mistakes of this package.
            if type(error) not in (sqlite3.DatabaseError, sqlite3.OperationalError):
                raise
            raise _explain(error, self.path) from error


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Run a block in one transaction that is alone in writing from its beginning on."""
    _patiently(lambda: connection.execute("BEGIN IMMEDIATE"))
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _open_file(path: str, *, uri: bool = False) -> sqlite3.Connection:
    # Our own lock lets one thread at a time use the connection.
    return sqlite3.connect(
        path, timeout=PATIENCE, isolation_level=None, check_same_thread=False, uri=uri
    )


def _prepare(connection: sqlite3.Connection) -> None:
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        connection.execute("PRAGMA journal_mode = WAL")
    # With a write-ahead log, a power failure may lose the last rows but damages nothing.
    connection.execute("PRAGMA synchronous = NORMAL")


def _patiently(action: Callable[[], object]) -> None:
    """Run ``action`` until no other process is in the way.

    SQLite waits by itself, except where it fears a deadlock, as in the change to a write-ahead log.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            action()
            return
        except sqlite3.OperationalError as error:
            if not _is_locked(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.005)


def _is_locked(error: sqlite3.Error) -> bool:
    return "locked" in str(error) or "locking protocol" in str(error)


def _explain(error: sqlite3.DatabaseError, path: str) -> FlowError:
    text = str(error)
    again = f"delete {path} (with its -wal and -shm files), then: flow reindex"
    if _is_locked(error):
        return StoreError(
            "The index of runs is locked",
            where=path,
            why=f"another process kept it locked for {PATIENCE:g} seconds",
            hint=f"find that process with: fuser -v '{path}'; or, when no flow runs, {again}",
        )
    if "full" in text:
        return StoreError(
            "The index of runs cannot be written",
            where=path,
            why="the disk is full",
            hint=f"free space on the disk that holds {path}",
        )
    if "readonly" in text or "unable to open" in text:
        return StoreError(
            "The index of runs cannot be opened or written",
            where=path,
            why=text,
            hint=f"check owner and mode with: ls -ld '{path}' '{os.path.dirname(path)}'",
        )
    return IntegrityError("The index of runs is damaged", where=path, why=text, hint=again)
