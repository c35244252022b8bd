"""Reads runs, attempts, manifests and logs of one session, a page at a time."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from flow_core.api import (
    AttemptLogs,
    AttemptRecord,
    AttemptState,
    Manifest,
    ManifestReader,
    RunDocument,
    RunRecord,
    UsageError,
    home_of_logs,
    manifest_key,
    run_prefix,
)

if TYPE_CHECKING:
    from flow_client.source import Source
    from flow_core.api import InputRange, StepSummary

PAGE = 1000
STREAMS = ("stdout", "stderr")
_FIRST_PAGE = 16
_DOCUMENTS = 32
_LOG_CHUNK = 1 << 20


def moment(seconds: float | None) -> datetime | None:
    """Return seconds since the epoch as an aware datetime in the local time zone."""
    if not seconds:
        return None
    return datetime.fromtimestamp(seconds, timezone.utc).astimezone()


def count_of(limit: int | None) -> int | None:
    """Return ``limit`` itself; `UsageError` when it is no number of things."""
    if limit is not None and limit < 0:
        raise UsageError(f"limit is how many there may be at most, not {limit}", hint="limit=10")
    return limit


class Page:
    """Attempts of one step that were listed together, newest first.

    Most who list tasks want their numbers or their artifacts. So the records are brief, and what
    they lack is read for all of them at once when it is first asked for.

    Args:
        reader: the reader.
        records: brief ones.
        complete: they lack nothing.
    """

    def __init__(
        self, reader: Reader, records: Sequence[AttemptRecord], *, complete: bool = False
    ) -> None:
        self.records = records
        self._reader = reader
        self._complete: dict[tuple[int, int], AttemptRecord] | None = None
        if complete:
            self._complete = {(r.task, r.attempt): r for r in records}

    def complete(self, record: AttemptRecord) -> AttemptRecord:
        """Return a record of this page with all its fields."""
        flow, run, step, task, attempt = record[:5]
        if self._complete is None:
            newest, oldest = self.records[0].task, self.records[-1].task
            found = self._reader.session.metadata.attempts(
                flow, run, step=step, after=oldest - 1, before=newest + 1, limit=len(self.records)
            )
            self._complete = {(r.task, r.attempt): r for r in found}
        known = self._complete.get((task, attempt))
        if known is None:  # there has been another attempt since
            every = self._reader.attempts_of(flow, run, step, task)
            known = next((r for r in every if r.attempt == attempt), record)
        return known


class Reader:
    """Reads through one session, or what stands in for one.

    Args:
        session: its index finds, its store holds the content.
    """

    def __init__(self, session: Source) -> None:
        self.session = session
        self._manifests = ManifestReader(session.store)
        self._document = functools.lru_cache(_DOCUMENTS)(session.run_document)

    @property
    def place(self) -> tuple[str, str]:
        """The URLs of the store and the index, by which another process reads the same."""
        return self.session.store.url, self.session.metadata.url

    # --- runs -----------------------------------------------------------------------------------

    def run(self, flow: str, run: str) -> RunRecord | None:
        """Return one run, or None."""
        return self.session.metadata.run(flow, run)

    def document(self, flow: str, run: str) -> RunDocument:
        """Return the ``run.json`` of a run, which never changes; the last few are kept."""
        return self._document(flow, run)

    # --- attempts -------------------------------------------------------------------------------

    def attempts_of(self, flow: str, run: str, step: str, task: int) -> list[AttemptRecord]:
        """Return all attempts of one task, in order.

        The index is written in batches: what has just ended is in the store before.
        """
        found = self.session.metadata.attempts(flow, run, step=step, task=task, all_attempts=True)
        return found or self._stored_attempts(flow, run, step, task)

    def _stored_attempts(self, flow: str, run: str, step: str, task: int) -> list[AttemptRecord]:
        folders = self.session.store.folders(f"{run_prefix(flow, run)}{step}/{task}/")
        # A reused task has its first attempt only, and may have no folder.
        numbers = sorted(int(name) for name in folders if name.isdigit()) or [0]
        found = [self._manifest(manifest_key(flow, run, step, task, n)) for n in numbers]
        return [AttemptRecord.from_manifest(m) for m in found if m is not None]

    def upwards(self, flow: str, run: str, step: str, after: int = -1) -> Iterator[AttemptRecord]:
        """Yield the last attempt of each task of a step with an id above ``after``, in order."""
        page = _FIRST_PAGE  # who looks for one neighbour does not read a thousand
        while True:
            found = self.session.metadata.attempts(flow, run, step=step, after=after, limit=page)
            yield from found
            if len(found) < page:
                return
            after, page = found[-1].task, min(4 * page, PAGE)

    def downwards(
        self,
        flow: str,
        run: str,
        step: str,
        states: Sequence[AttemptState] = (),
        page: int | None = None,
        before: int | None = None,
    ) -> Iterator[AttemptRecord]:
        """Yield the last attempt of each task of a step with an id below ``before``, newest first."""
        page = page or PAGE
        while True:
            found = self.session.metadata.attempts(
                flow, run, step=step, states=states, newest_first=True, before=before, limit=page
            )
            yield from found
            if len(found) < page:
                return
            before = found[-1].task

    def pages(self, flow: str, run: str, step: str, before: int | None = None) -> Iterator[Page]:
        """Yield the last attempt of each task of a step with an id below ``before``, newest first,
        in brief."""
        while True:
            found = self.session.metadata.attempts(
                flow, run, step=step, newest_first=True, brief=True, before=before, limit=PAGE
            )
            yield Page(self, found)
            if len(found) < PAGE:
                return
            before = found[-1].task

    def steps(self, flow: str, run: str) -> list[StepSummary]:
        """Return the steps of a run that have started, in that order."""
        return self.session.metadata.steps(flow, run)

    def inputs_of(self, record: AttemptRecord) -> Sequence[InputRange]:
        """Return what an attempt without a manifest reads from, as far as that is known here."""
        return ()

    def newest(self, flow: str, run: str, step: str) -> AttemptRecord | None:
        """Return the last attempt of the task with the highest id of a step, or None."""
        return next(self.downwards(flow, run, step, page=1), None)

    def first(self, flow: str, run: str, step: str, after: int = -1) -> AttemptRecord | None:
        """Return the last attempt of the first task of a step with an id above ``after``."""
        found = self.session.metadata.attempts(flow, run, step=step, after=after, limit=1)
        return found[0] if found else None

    def manifest(self, record: AttemptRecord) -> Manifest | None:
        """Return what an attempt committed, or None while it has not.

        Raises:
            IntegrityError: it is damaged.
        """
        return self._manifest(manifest_key(*record[:5]))

    def _manifest(self, key: str) -> Manifest | None:
        return next(self._manifests.read([key]))

    # --- logs -----------------------------------------------------------------------------------

    def log_size(self, record: AttemptRecord, stream: str) -> int:
        """Return the length in bytes of what an attempt wrote to a stream."""
        return self._logs(record).size(stream)

    def log(self, record: AttemptRecord, stream: str) -> Iterator[bytes]:
        """Yield what an attempt wrote to a stream, a megabyte at a time."""
        logs, offset, length = self._logs(record), 0, _LOG_CHUNK
        while length == _LOG_CHUNK:  # what is shorter is the last part
            chunk = logs.read(stream, offset, _LOG_CHUNK)
            length = len(chunk)
            offset += length
            yield chunk

    def _logs(self, record: AttemptRecord) -> AttemptLogs:
        store = self.session.store
        return AttemptLogs(store, home_of_logs(store, self._manifests, record)[0])
