"""The index of a store that has no index beside it: kept on each machine, and following the store.

A bucket has no place for a database, and a team shares no other. So each machine keeps an index for
each store, which is brought up to date as it is asked: a run that is asked for and not known is
looked up in the store, a list of runs begins with the names of what is there. The launchers of this
machine write what they know into it at once, as into any other index.

What is kept so can be made again from the store: nothing is lost with it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_core.errors import FlowError, StateError
from flow_core.finding import seems_lost
from flow_core.manifests import list_manifests
from flow_core.records import (
    AttemptRecord,
    AttemptState,
    Manifest,
    RunDocument,
    RunRecord,
    RunResult,
    RunState,
    StepSummary,
    heartbeat_key,
    manifest_key,
    result_key,
    run_key,
    run_prefix,
    tag_marks_prefix,
    tags_hash,
)
from flow_core.settings import OWN_INDEX
from flow_core.tags import stored_tags
from flow_core.together import together

if TYPE_CHECKING:
    from flow_core.interfaces import Metadata, Store
    from flow_core.settings import Settings

FRESH = 2.0
"""Seconds for which what was looked up in the store counts as known."""
_OPEN = (RunState.CREATED, RunState.RUNNING)
_ALL = 1 << 30
_PAGE = 1000
_FIRST = 20
"""Runs that are read at first: most who list runs want the last ones."""
_BATCH = 200


class Followed(NamedTuple):
    """What `StoreIndex.follow` has done: how many runs there are, and how many were new or have
    changed."""

    runs: int
    changed: int


def open_store_index(
    settings: Settings,
    providers: Collection[str],
    store: Store,
    open_provider: Callable[[str], Metadata],
) -> StoreIndex:
    """Return the index of ``store`` on this machine; see `Settings.index_is_apart`.

    Args:
        settings: they say in which folder.
        providers: names of metadata providers.
        store: the store.
        open_provider: opens a metadata provider by its text.
    """
    # Services of one kind may have buckets of one name: such a store says more than its URL.
    identity = getattr(store, "identity", None) or store.url
    return StoreIndex(open_provider(settings.index_place(providers, identity)), store)


class StoreIndex:
    """A `Metadata` that follows a store.

    Args:
        behind: the index that is brought up to date, of this store alone.
        store: where the truth is.

    Attributes:
        problems: what could not be read, one sentence each.

    Since 0.1.
    """

    def __init__(self, behind: Metadata, store: Store) -> None:
        self.problems: list[str] = []
        self._behind = behind
        self._store = store
        self._lock = threading.RLock()
        self._looked: dict[tuple[str, ...], float] = {}
        self._waiting: dict[str, list[tuple[int, str]]] = {}
        self._marks: dict[str, list[str]] = {}  # of changed tags
        self._read: dict[tuple[str, str], set[str]] = {}
        self._whole: set[tuple[str, str]] = set()

    def __repr__(self) -> str:
        return f"<StoreIndex {self.url}>"

    @property
    def url(self) -> str:
        """``store://`` and the URL of the store: the index that this, or another machine, keeps of it."""
        return f"{OWN_INDEX}://{self._store.url}"

    # --- what launchers write -------------------------------------------------------------------

    def register_run(self, run: RunRecord) -> None:
        """Add a run that this machine has launched: its ``run.json`` in the store is its own."""
        with self._lock:
            # Known is a run of an emptied store, or this one, found by somebody a moment ago.
            self._behind.remove_run(run.flow, run.run)
            self._behind.register_run(run)

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
        """Change what is given; see `Metadata.update_run`."""
        self._behind.update_run(
            flow,
            run,
            state=state,
            finished_at=finished_at,
            heartbeat_at=heartbeat_at,
            message=message,
        )

    def write_attempts(self, records: Sequence[AttemptRecord]) -> None:
        """Insert or replace records; see `Metadata.write_attempts`."""
        self._behind.write_attempts(records)

    def change_tags(
        self, flow: str, run: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> tuple[str, ...]:
        """Change the user's tags of a run; see `Metadata.change_tags`."""
        return self._behind.change_tags(flow, run, add=add, remove=remove)

    def remove_run(self, flow: str, run: str) -> bool:
        """Forget a run until the store is looked at again; see `Metadata.remove_run`."""
        return self._behind.remove_run(flow, run)

    def rebuild(self, store: Store) -> int:
        """Make the index anew from what lies in ``store``; return the number of runs."""
        with self._lock:
            count = self._behind.rebuild(store)
            self.problems = list(self._behind.problems)
            for known in (self._looked, self._waiting, self._read, self._whole):
                known.clear()
            return count

    def close(self) -> None:
        """Release the connection."""
        self._behind.close()

    # --- reading --------------------------------------------------------------------------------

    def flows(self) -> list[str]:
        """Return the names of all flows that have something in the store, sorted."""
        return sorted(self._store.folders("runs/"))

    def run(self, flow: str, run: str) -> RunRecord | None:
        """Return one run, or None.

        Raises:
            IntegrityError: its record in the store is damaged.
        """
        with self._lock:
            found = self._behind.run(flow, run)
            if found is not None and (_is_launched_here(found) or self._is_fresh("runs", flow)):
                return found
            if self._is_stale("run", flow, run):
                with self._looking("run", flow, run):
                    self._look_up(flow, run, found)
                found = self._behind.run(flow, run)
            return found

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
        """Return runs, newest first; see `Metadata.runs`."""
        with self._lock:
            waiting, size = self._unknown(flow), _FIRST
            while True:
                page = self._behind.runs(
                    flow,
                    states=states,
                    tags=tags,
                    before=before,
                    limit=limit,
                    since=since,
                    until=until,
                    user=user,
                    parameters=parameters,
                )
                if not waiting or (len(page) == limit and _number(page[-1].run) > waiting[0][0]):
                    return page
                self._take_in(flow, waiting, size)
                size = _BATCH

    def steps(self, flow: str, run: str) -> list[StepSummary]:
        """Return the steps of a run of which a task has ended; of a run that was launched on this
        machine, those that have started."""
        with self._lock:
            self._bring_attempts(flow, run)
        return self._behind.steps(flow, run)

    def attempts(
        self,
        flow: str,
        run: str,
        *,
        step: str | None = None,
        task: int | None = None,
        states: Sequence[Any] = (),
        all_attempts: bool = False,
        after: int = -1,
        before: int | None = None,
        newest_first: bool = False,
        brief: bool = False,
        limit: int = 1000,
    ) -> list[AttemptRecord]:
        """Return attempts; see `Metadata.attempts`. Of a run that goes on elsewhere those that have
        ended."""
        with self._lock:
            self._bring_attempts(flow, run)
        return self._behind.attempts(
            flow,
            run,
            step=step,
            task=task,
            states=states,
            all_attempts=all_attempts,
            after=after,
            before=before,
            newest_first=newest_first,
            brief=brief,
            limit=limit,
        )

    def follow(self, tell: Callable[[int, int], object] | None = None) -> Followed:
        """Bring all of it up to date, so that nothing is left to be looked up.

        What cannot be read is left out and named in `problems`.

        Args:
            tell: called with how many runs are done, and how many there are.
        """
        self.problems = []
        with self._lock:
            self._looked.clear()
            before = {r[:2]: r for flow in self._behind.flows() for r in self._all(flow)}
            waiting = [(flow, run) for flow in self.flows() for run in self._follow_flow(flow)]
            changed = 0
            for done, place in enumerate(waiting):
                if tell is not None:
                    tell(done, len(waiting))
                try:
                    self.run(*place)
                    self._bring_attempts(*place)
                    changed += _changed(before.get(place), self._behind.run(*place))
                except FlowError as error:
                    self._note(error, run_key(*place))
            if tell is not None and waiting:
                tell(len(waiting), len(waiting))
            self._drop_flows()
            return Followed(len(waiting), changed)

    # --- runs -----------------------------------------------------------------------------------

    def _follow_flow(self, flow: str) -> list[str]:
        """Take in all runs of a flow; return their ids."""
        waiting = self._unknown(flow)
        while waiting:
            self._take_in(flow, waiting, _BATCH)
        return [run.run for run in self._all(flow)]

    def _all(self, flow: str) -> list[RunRecord]:
        return self._behind.runs(flow, limit=_ALL)

    def _drop_flows(self) -> None:
        there = set(self.flows())
        for flow in self._behind.flows():
            if flow not in there:
                for run in self._all(flow):
                    self._behind.remove_run(flow, run.run)

    def _is_stale(self, *what: str) -> bool:
        """Whether something was not looked up a moment ago; from now on it was."""
        if self._is_fresh(*what):
            return False
        self._looked[what] = time.monotonic()
        return True

    def _is_fresh(self, *what: str) -> bool:
        return time.monotonic() - self._looked.get(what, -FRESH) < FRESH

    @contextmanager
    def _looking(self, *what: str) -> Iterator[None]:
        """Let nothing count as looked up where the store did not answer."""
        try:
            yield
        except BaseException:
            self._looked.pop(what, None)
            raise

    def _unknown(self, flow: str) -> list[tuple[int, str]]:
        """Return numbers and ids of the runs that the index does not know yet, newest first."""
        if not self._is_stale("runs", flow):
            return self._waiting[flow]
        with self._looking("runs", flow):
            self._waiting[flow] = self._list_unknown(flow)
        return self._waiting[flow]

    def _list_unknown(self, flow: str) -> list[tuple[int, str]]:
        # First what is known, then what is there: who registers a run has written it to the store.
        known = {run.run for run in self._all(flow)}
        lists = (self._list_runs, self._list_marks)
        runs, self._marks[flow] = together(self._store, lambda ask: ask(flow), lists)
        there = set(runs)
        for run in known - there:
            self._behind.remove_run(flow, run)
        self._refresh_open(flow)
        self._refresh_tags(flow)
        return sorted(((_number(run), run) for run in there - known), reverse=True)

    def _take_in(self, flow: str, waiting: list[tuple[int, str]], size: int) -> None:
        """Read so many of the runs that wait, and take them off the list."""
        some = [run for _, run in waiting[:size]]
        del waiting[:size]
        pairs = self._read_pairs(flow, some)
        for run, (start, end), tags in zip(some, pairs, self._all_tags(flow, some), strict=True):
            try:
                if start is not None:
                    self._add(_record(flow, run, start, end), tags)
            except FlowError as error:
                self._note(error, run_key(flow, run))

    def _read_pairs(
        self, flow: str, runs: Sequence[str]
    ) -> Iterator[tuple[bytes | None, bytes | None]]:
        keys = [key for run in runs for key in (run_key(flow, run), result_key(flow, run))]
        contents = iter(self._store.read(keys))
        return zip(contents, contents, strict=True)

    def _all_tags(self, flow: str, runs: Sequence[str]) -> list[tuple[str, ...] | None]:
        """Return the changed tags of runs: a listing for each, at the same time."""
        marked = {mark.split("/")[2] for mark in self._marks[flow]}
        changed = [run for run in runs if run in marked]
        if not changed:
            return [None] * len(runs)
        tags = together(self._store, lambda run: self._tags(flow, run), changed)
        found = dict(zip(changed, tags, strict=True))
        return [found.get(run) for run in runs]

    def _tags(self, flow: str, run: str) -> tuple[str, ...] | None:
        try:
            return stored_tags(self._store, flow, run)
        except FlowError as error:
            self._note(error, f"tags of {flow}/{run}")
            return None

    def _list_marks(self, flow: str) -> list[str]:
        return [found.key for found in self._store.list(tag_marks_prefix(flow))]

    def _list_runs(self, flow: str) -> list[str]:
        return self._store.folders(f"runs/{flow}/")

    def _add(self, record: RunRecord, tags: tuple[str, ...] | None) -> None:
        if tags is not None:
            record = record._replace(tags=tags)
        try:
            self._behind.register_run(record)
        except FlowError:
            if self._behind.run(record.flow, record.run) is None:
                raise  # else another process was faster

    def _look_up(self, flow: str, run: str, found: RunRecord | None) -> None:
        """Bring one run up to date."""
        names = self._store.folders(run_prefix(flow, run))
        if "run.json" not in names:
            if found is not None:
                self._behind.remove_run(flow, run)
            return
        if found is None:
            ((start, end),) = self._read_pairs(flow, [run])
            if start is not None:
                self._add(_record(flow, run, start, end), None)
        elif found.state in _OPEN:
            self._refresh([found])
        if "tags.d" in names:
            self._bring_tags(flow, run)

    def _bring_tags(self, flow: str, run: str) -> None:
        known, tags = self._behind.run(flow, run), stored_tags(self._store, flow, run)
        if known is not None and tags is not None and set(tags) != set(known.tags):
            had, wanted = set(known.tags), set(tags)
            self._behind.change_tags(
                flow, run, add=sorted(wanted - had), remove=sorted(had - wanted)
            )

    def _refresh_open(self, flow: str) -> None:
        """Ask how runs go that have not ended as far as is known, but for those launched here."""
        waiting = self._behind.runs(flow, states=_OPEN, limit=_ALL)
        self._refresh([run for run in waiting if not _is_launched_here(run)])

    def _refresh(self, runs: Sequence[RunRecord]) -> None:
        results = self._store.read([result_key(*run[:2]) for run in runs])
        going: list[RunRecord] = []
        for run, content in zip(runs, results, strict=True):
            if content is None:
                going.append(run)
                continue
            try:
                self._end(run, RunResult.decode(content, result_key(*run[:2])))
            except FlowError as error:
                self._note(error, result_key(*run[:2]))
        signs = self._store.describe([heartbeat_key(*run[:2]) for run in going])
        for run, sign in zip(going, signs, strict=True):
            if sign is not None and sign.modified > (run.heartbeat_at or 0.0):
                self._behind.update_run(run.flow, run.run, heartbeat_at=sign.modified)

    def _end(self, run: RunRecord, result: RunResult) -> None:
        # A run that has ended is known with all of its attempts, or with none yet.
        if self._behind.attempts(run.flow, run.run, limit=1):
            self._read_attempts(run)
        with suppress(StateError):  # another process was faster
            self._behind.update_run(
                run.flow,
                run.run,
                state=result.state,
                finished_at=result.finished_at,
                message=result.message,
            )

    def _refresh_tags(self, flow: str) -> None:
        for mark in self._marks[flow]:
            _, _, run, name = mark.split("/", 3)
            known = self._behind.run(flow, run)
            if known is not None and name.partition("-")[2] != tags_hash(known.tags):
                self._bring_tags(flow, run)

    # --- attempts -------------------------------------------------------------------------------

    def _bring_attempts(self, flow: str, run: str) -> None:
        if (flow, run) in self._whole:
            return
        found = self.run(flow, run)
        if found is None or _is_launched_here(found):
            return
        if found.state in _OPEN:
            if self._is_stale("attempts", flow, run):
                with self._looking("attempts", flow, run):
                    self._read_attempts(found)
            return
        if not self._behind.attempts(flow, run, limit=1):
            self._read_attempts(found)
        self._whole.add((flow, run))

    def _read_attempts(self, run: RunRecord) -> None:
        """Take in the attempts that the index lacks, all of them together."""
        place = (run.flow, run.run)
        if place not in self._read:
            self._read[place] = {manifest_key(*r[:5]) for r in self._ended(*place)}
        records: list[AttemptRecord] = []
        known = self._read[place] if run.state in _OPEN else None
        for key, raw in list_manifests(self._store, *place, self.problems, known):
            try:
                records.append(AttemptRecord.from_manifest(Manifest.decode(raw, key)))
            except FlowError as error:
                self._note(error, key)
        self._behind.write_attempts(records)

    def _ended(self, flow: str, run: str) -> Iterator[AttemptRecord]:
        after = -1
        while True:
            page = self._behind.attempts(flow, run, all_attempts=True, after=after, limit=_PAGE)
            yield from (r for r in page if r.state not in _UNFINISHED)
            if not page:
                return
            after = page[-1].task

    def _note(self, error: FlowError, key: str) -> None:
        text = f"{key}: {error.what}" + (f": {error.why}" if error.why else "")
        if text not in self.problems:
            self.problems.append(text)


_UNFINISHED = (AttemptState.QUEUED, AttemptState.RUNNING)


def _is_launched_here(run: RunRecord) -> bool:
    """Whether a launcher of this machine, which lives, writes this run into the index."""
    return run.state in _OPEN and bool(run.pid) and not seems_lost(run)


def _record(flow: str, run: str, start: bytes, end: bytes | None) -> RunRecord:
    """Return what the index keeps of a run, from its two records in the store."""
    record = RunDocument.decode(start, run_key(flow, run)).record(RunState.RUNNING)
    if end is None:
        return record
    result = RunResult.decode(end, result_key(flow, run))
    return record._replace(
        state=result.state, finished_at=result.finished_at, message=result.message
    )


def _changed(old: RunRecord | None, new: RunRecord | None) -> bool:
    """Whether a run is new, or not as it was, but for signs of life."""
    if old is None or new is None:
        return old is not new
    return new._replace(heartbeat_at=None) != old._replace(heartbeat_at=None)


def _number(run: str) -> int:
    """Return the place of a run in the order of its flow; what is no number comes first."""
    return int(run) if run.isdigit() else _ALL
