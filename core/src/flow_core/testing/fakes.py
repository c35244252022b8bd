"""Providers that keep everything in the memory of one process, for tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from flow_core.errors import FlowError, NotFound
from flow_core.interfaces import (
    REFRESH_AGE,
    Attributes,
    Buffer,
    ObjectInfo,
    Store,
    StoreCapabilities,
    StoredObject,
)
from flow_core.manifests import list_manifests
from flow_core.records import (
    AttemptRecord,
    Manifest,
    RunDocument,
    RunRecord,
    RunResult,
    RunState,
    StepSummary,
    advance_run,
    result_key,
    run_key,
)
from flow_core.store_rules import check_key, check_range
from flow_core.tags import check_tags, stored_tags


class _Object(NamedTuple):
    content: bytes
    modified: float
    attributes: Attributes


class MemoryStore:
    """A store in the memory of this process: threads share it, other processes get a copy at best.

    Args:
        root: a name for the URL; it says nothing about the content.

    Since 0.1.
    """

    capabilities = StoreCapabilities(shared=False, create_only=True, attributes=True)

    def __init__(self, root: str | None = None) -> None:
        self.root = root or f"{id(self):x}"
        self._objects: dict[str, _Object] = {}
        self._lock = threading.Lock()

    @property
    def url(self) -> str:
        """``memory://`` and the name."""
        return f"memory://{self.root}"

    def read(self, keys: Sequence[str]) -> Iterator[bytes | None]:
        """Yield the content of each key, in order; None where there is none."""
        for key in keys:
            yield self._read(key)

    def read_range(self, key: str, offset: int, length: int) -> bytes | None:
        """Return up to ``length`` bytes from ``offset``; None when the key is missing."""
        check_range(key, offset, length, self.url)
        content = self._read(key)
        return None if content is None else content[offset : offset + length]

    def write(
        self, items: Iterable[tuple[str, Buffer]], *, create_only: bool = False
    ) -> list[bool]:
        """Write each (key, content); say for each whether it was written."""
        return [self._write(key, bytes(content), create_only) for key, content in items]

    def write_content(self, chunks: Iterable[Buffer], key: Callable[[], str]) -> bool:
        """Write one object whose key is known only when ``chunks`` is used up."""
        content, name = b"".join([bytes(chunk) for chunk in chunks]), key()
        while not (written := self._write(name, content, create_only=True)):
            if self.refresh(name):
                break
        return written

    def stream(self, key: str) -> Iterator[Buffer] | None:
        """Return the content in one piece; None when the key is missing."""
        content = self._read(key)
        return None if content is None else iter([content])

    def write_stream(
        self,
        key: str,
        chunks: Iterable[Buffer],
        *,
        create_only: bool = False,
        attributes: Attributes | None = None,
    ) -> bool:
        """Write one object, with what is to be kept beside it."""
        content = b"".join([bytes(chunk) for chunk in chunks])
        return self._write(key, content, create_only, attributes)

    def describe(self, keys: Sequence[str]) -> Iterator[ObjectInfo | None]:
        """Yield what is known of each object, in order; None where there is none."""
        for key in keys:
            check_key(key)
            with self._lock:
                found = self._objects.get(key)
            yield found and ObjectInfo(key, len(found.content), found.modified, found.attributes)

    def exists(self, keys: Sequence[str]) -> list[bool]:
        """Say for each key whether it exists."""
        return [self._read(key) is not None for key in keys]

    def size(self, key: str) -> int | None:
        """Return the size of an object in bytes; None when it is missing."""
        content = self._read(key)
        return None if content is None else len(content)

    def folders(self, prefix: str = "") -> list[str]:
        """Return the distinct next parts of keys below ``prefix``, sorted."""
        with self._lock:
            below = [key[len(prefix) :] for key in self._objects if key.startswith(prefix)]
        return sorted({rest.partition("/")[0] for rest in below})

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Yield all objects whose key starts with ``prefix``, sorted by key."""
        with self._lock:
            found = sorted(item for item in self._objects.items() if item[0].startswith(prefix))
        for key, (content, modified, _) in found:
            yield StoredObject(key, len(content), modified)

    def delete(self, keys: Iterable[str], *, older_than: float | None = None) -> None:
        """Delete objects; missing ones are no error."""
        for key in keys:
            check_key(key)
            with self._lock:
                found = self._objects.get(key)
                if found and (older_than is None or found.modified < older_than):
                    del self._objects[key]

    def refresh(self, key: str, age: float = REFRESH_AGE) -> bool:
        """Say whether an object exists, and let it count as changed now if it is old."""
        check_key(key)
        with self._lock:
            if key not in self._objects:
                return False
            found = self._objects[key]
            if time.time() - found.modified >= age:
                self._objects[key] = found._replace(modified=time.time())
            return True

    def local_path(self, key: str) -> str | None:
        """Return None: there are no files."""
        check_key(key)
        return None

    def _read(self, key: str) -> bytes | None:
        check_key(key)
        with self._lock:
            found = self._objects.get(key)
        return found.content if found else None

    def _write(
        self,
        key: str,
        content: bytes,
        create_only: bool,
        attributes: Attributes | None = None,
    ) -> bool:
        check_key(key)
        with self._lock:
            if create_only and key in self._objects:
                return False
            self._objects[key] = _Object(content, time.time(), attributes or Attributes())
            return True


class MemoryMetadata:
    """A metadata provider in the memory of this process.

    Args:
        root: a name for the URL; it says nothing about the content.

    Attributes:
        problems: what the last `rebuild` could not read, one sentence each.

    Since 0.1.
    """

    def __init__(self, root: str | None = None) -> None:
        self.root = root or f"{id(self):x}"
        self.problems: list[str] = []
        self._runs: dict[tuple[str, str], RunRecord] = {}
        self._attempts: dict[tuple[str, str], dict[tuple[str, int, int], AttemptRecord]] = {}
        self._lock = threading.RLock()

    @property
    def url(self) -> str:
        """``memory://`` and the name."""
        return f"memory://{self.root}"

    def register_run(self, run: RunRecord) -> None:
        """Add a run; `FlowError` when it exists already."""
        check_tags(run.tags)
        tags, system = tuple(sorted(set(run.tags))), tuple(sorted(set(run.system_tags)))
        with self._lock:
            if run[:2] in self._runs:
                raise FlowError(
                    f"Run '{run.pathspec}' exists already",
                    where=self.url,
                    why="it was registered before",
                    hint="start the run again: it gets an id of its own",
                )
            parameters = tuple(sorted(dict(run.parameters).items()))
            self._runs[run[:2]] = run._replace(tags=tags, system_tags=system, parameters=parameters)
            self._attempts[run[:2]] = {}

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
        """Change what is given. Illegal state transitions raise `StateError`."""
        given = {"finished_at": finished_at, "heartbeat_at": heartbeat_at, "message": message}
        changes: dict[str, Any] = {name: v for name, v in given.items() if v is not None}
        with self._lock:
            old = self._existing(flow, run)
            if state is not None:
                changes["state"] = advance_run(old.state, state)
            self._runs[flow, run] = old._replace(**changes)

    def write_attempts(self, records: Sequence[AttemptRecord]) -> None:
        """Insert or replace records by (flow, run, step, task, attempt), all or none."""
        with self._lock:
            for record in records:
                self._existing(record.flow, record.run)
            for record in records:
                self._attempts[record[:2]][record[2:5]] = record

    def flows(self) -> list[str]:
        """Return the names of all flows, sorted."""
        with self._lock:
            return sorted({flow for flow, _ in self._runs})

    def run(self, flow: str, run: str) -> RunRecord | None:
        """Return one run, or None."""
        with self._lock:
            return self._runs.get((flow, run))

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
        """Return runs, newest first. Page with ``before=page[-1]``."""
        wanted = parameters or {}
        with self._lock:
            found = [r for r in self._runs.values() if r.flow == flow]
        chosen = [
            r
            for r in sorted(found, key=_age, reverse=True)
            if (not states or r.state in states)
            and {*tags} <= {*r.tags, *r.system_tags}
            and (before is None or _age(r) < _age(before))
            and (since is None or r.created_at >= since)
            and (until is None or r.created_at < until)
            and user in (None, r.user)
            and all(dict(r.parameters).get(n) in texts for n, texts in wanted.items())
        ]
        return chosen[:limit]

    def steps(self, flow: str, run: str) -> list[StepSummary]:
        """Return the steps of a run in the order in which they first started."""
        groups: dict[str, list[AttemptRecord]] = {}
        for record in self._ordered(flow, run):
            groups.setdefault(record.step, []).append(record)
        found = [_summary(step, group) for step, group in groups.items()]
        # The sort is stable: steps that did not start stay last, in the order of their tasks.
        return sorted(found, key=lambda s: (s.started_at is None, s.started_at or 0.0))

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
        """Return attempts ordered by (task, attempt), or downwards."""
        found = self._ordered(flow, run)
        chosen = [
            r
            for r in (found if all_attempts else _latest(found))
            if r.task > after
            and (before is None or r.task < before)
            and (step is None or r.step == step)
            and (task is None or r.task == task)
            and (not states or r.state in states)
        ]
        tasks = set(sorted({r.task for r in chosen}, reverse=newest_first)[:limit])
        page = [r for r in chosen if r.task in tasks]
        return page[::-1] if newest_first else page

    def change_tags(
        self, flow: str, run: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()
    ) -> tuple[str, ...]:
        """Change the user's tags of a run; return them, sorted."""
        with self._lock:
            old = self._existing(flow, run)
            new = tuple(sorted({*old.tags} - {*remove} | {*add}))
            check_tags(new)
            self._runs[flow, run] = old._replace(tags=new)
            return new

    def remove_run(self, flow: str, run: str) -> bool:
        """Forget a run with its attempts; say whether it was known."""
        with self._lock:
            self._attempts.pop((flow, run), None)
            return self._runs.pop((flow, run), None) is not None

    def rebuild(self, store: Store) -> int:
        """Make the index anew from what lies in ``store``; return the number of runs."""
        fresh = MemoryMetadata()
        for flow in store.folders("runs/"):
            for run in store.folders(f"runs/{flow}/"):
                try:
                    _load_run(fresh, store, flow, run)
                except FlowError as error:
                    fresh.problems.append(f"{run_key(flow, run)}: {error.what}")
        with self._lock:
            for key in fresh._runs.keys() & self._runs.keys():
                if (
                    stored_tags(store, *key) is None
                ):  # changed without the store's knowledge, if ever
                    fresh._runs[key] = fresh._runs[key]._replace(tags=self._runs[key].tags)
            self._runs, self._attempts = fresh._runs, fresh._attempts
            self.problems = fresh.problems
            return len(self._runs)

    def close(self) -> None:
        """Do nothing: the content stays until the object goes."""

    def _existing(self, flow: str, run: str) -> RunRecord:
        found = self._runs.get((flow, run))
        if found is None:
            raise NotFound(f"There is no run '{flow}/{run}'", where=self.url)
        return found

    def _ordered(self, flow: str, run: str) -> list[AttemptRecord]:
        with self._lock:
            found = list(self._attempts.get((flow, run), {}).values())
        return sorted(found, key=lambda r: (r.task, r.step, r.attempt))


def _age(run: RunRecord) -> tuple[float, str]:
    return run.created_at, run.run


def _latest(ordered: Iterable[AttemptRecord]) -> list[AttemptRecord]:
    return list({(r.step, r.task): r for r in ordered}.values())


def _summary(step: str, group: Sequence[AttemptRecord]) -> StepSummary:
    last = _latest(group)
    states: dict[str, int] = {}
    for record in last:
        states[record.state.value] = states.get(record.state.value, 0) + 1
    starts = [r.started_at for r in group if r.started_at is not None]
    ends = [r.finished_at for r in group if r.finished_at is not None]
    start, end = min(starts, default=None), max(ends, default=None)
    return StepSummary(step, len(last), states, start, end)


def _load_run(index: MemoryMetadata, store: Store, flow: str, run: str) -> None:
    start, end = store.read([run_key(flow, run), result_key(flow, run)])
    if start is None:
        raise NotFound("there is no such record")
    document = RunDocument.decode(start, run_key(flow, run))
    result = RunResult.decode(end, result_key(flow, run)) if end else None
    changed = stored_tags(store, flow, run)
    index.register_run(
        RunRecord(
            flow,
            run,
            result.state if result else RunState.RUNNING,
            document.created_at,
            finished_at=result.finished_at if result else None,
            user=document.user,
            origin=document.origin,
            tags=document.tags if changed is None else changed,
            system_tags=document.system_tags,
            message=result.message if result else "",
            parameters=tuple(document.parameter_texts.items()),
        )
    )
    for key, raw in list_manifests(store, flow, run, index.problems):
        try:
            manifest = Manifest.decode(raw, key)
        except FlowError as error:
            index.problems.append(f"{key}: {error.what}")
            continue
        index.write_attempts([AttemptRecord.from_manifest(manifest)])
