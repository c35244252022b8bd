"""A past that is written down by hand, in memory: what a test reads, it has written itself."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

import flow_client
from flow_core.api import (
    AttemptRecord,
    AttemptState,
    Failure,
    ForeachFrame,
    InputRange,
    Manifest,
    RunDocument,
    RunRecord,
    RunState,
    Session,
    Settings,
    Transition,
    attempt_prefix,
    run_key,
    value_texts,
)
from flow_core.testing import MemoryMetadata, MemoryStore

GRAPH = {
    "start": "start",
    "end": "end",
    "steps": {
        "start": {"kind": "foreach", "targets": ["work"], "parents": []},
        "work": {"kind": "linear", "targets": ["join"], "parents": ["start"]},
        "join": {"kind": "linear", "targets": ["end"], "parents": ["work"]},
        "end": {"kind": "end", "targets": [], "parents": ["join"]},
    },
}


def make_session(folder: Path, user: str = "ada") -> Session:
    variables = {"FLOW_DATASTORE": "memory", "FLOW_METADATA": "memory", "FLOW_USER": user}
    return Session(
        settings=Settings({**variables, "HOME": str(folder)}, str(folder)),
        providers={
            ("store", "memory"): MemoryStore("here"),
            ("metadata", "memory"): MemoryMetadata("here"),
        },
    )


class Past:
    """Writes runs and attempts as the kernel does."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def run(
        self,
        run: str = "1",
        state: str = "succeeded",
        *,
        flow: str = "F",
        user: str = "ada",
        tags: Sequence[str] = (),
        parameters: Mapping[str, Any] | None = None,
        constants: Mapping[str, Any] | None = None,
        code: Mapping[str, str] | None = None,
        plans: Mapping[str, Any] | None = None,
        **record: Any,
    ) -> RunRecord:
        save = self.session.artifacts.save
        system_tags = (f"user:{user}",)
        created = record.pop("created_at", 1000.0 + int(run))
        document = RunDocument(
            flow,
            run,
            created,
            {name: save(name, value) for name, value in (parameters or {}).items()},
            {name: save(name, value) for name, value in (constants or {}).items()},
            self._snapshot(code) if code else None,
            GRAPH,
            plans or {},
            tags=tuple(tags),
            system_tags=system_tags,
            user=user,
            info={"script": next(iter(code or {"": ""})), "python": "3.11"},
            values={n: value_texts(v)[0] for n, v in (parameters or {}).items()},
        )
        self.session.store.write([(run_key(flow, run), document.encode())])
        stored = RunRecord(
            flow,
            run,
            RunState(state),
            created,
            user=user,
            tags=tuple(tags),
            system_tags=system_tags,
            parameters=tuple(document.parameter_texts.items()),
        )._replace(**record)
        self.session.metadata.register_run(stored)
        return stored

    def _snapshot(self, files: Mapping[str, str]) -> str:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for name, text in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(text.encode())
                archive.addfile(entry, io.BytesIO(text.encode()))
        return self.session.artifacts.put_bytes(buffer.getvalue())

    def attempt(
        self,
        step: str = "start",
        task: int = 1,
        state: str = "succeeded",
        artifacts: Mapping[str, Any] | None = None,
        *,
        run: str = "1",
        attempt: int = 0,
        indices: tuple[int, ...] = (),
        inputs: tuple[InputRange, ...] = (),
        failure: Failure | None = None,
        origin: str | None = None,
        logs: Mapping[str, str] | None = None,
        indexed: str | None = None,
        notes: Mapping[str, Any] | None = None,
        transition: Transition | None = None,
        iteration: int = 0,
    ) -> Manifest:
        """Write one attempt. ``indexed``: the state for the index, where it lags behind; ``"no"`` =
        it does not know the attempt."""
        save = self.session.artifacts.save
        manifest = Manifest(
            "F",
            run,
            step,
            task,
            attempt,
            AttemptState(state),
            artifacts={name: save(name, value) for name, value in (artifacts or {}).items()},
            inputs=inputs,
            transition=transition,
            iteration=iteration,
            foreach=tuple(ForeachFrame("start", 1, 0, "items", i, 3) for i in indices),
            origin=origin,
            started=2000.0 + task,
            finished=2002.5 + task,
            cpu_seconds=1.5,
            peak_memory=4096,
            failure=failure,
            notes=notes or {},
            host="box",
            pid=77,
        )
        if state not in ("queued", "running"):
            self.session.store.write([(manifest.key, manifest.encode())])
        prefix = attempt_prefix("F", run, step, task, attempt)
        for stream, text in (logs or {}).items():
            self.session.store.write([(prefix + stream, text.encode())])
        if indexed != "no":
            self._index(manifest, AttemptState(indexed or state))
        return manifest

    def _index(self, manifest: Manifest, state: AttemptState) -> None:
        ended = state not in (AttemptState.QUEUED, AttemptState.RUNNING)
        failure = manifest.failure if ended else None
        record = AttemptRecord(
            *manifest[:5],
            state,
            tuple(frame.index for frame in manifest.foreach),
            manifest.started,
            manifest.finished if ended else None,
            manifest.cpu_seconds if ended else 0.0,
            manifest.peak_memory if ended else 0,
            manifest.origin,
            failure.cause if failure else "",
            failure.message if failure else "",
        )
        self.session.metadata.write_attempts([record])

    def foreach(self, run: str = "1") -> None:
        """Write a run that splits into three and joins."""
        self.run(run)
        self.attempt("start", 1, artifacts={"items": [1, 2, 3]}, run=run)
        split, branches = InputRange("start", 1, 1, 0), InputRange("work", 2, 4, 0)
        for index in range(3):
            self.attempt("work", 2 + index, indices=(index,), inputs=(split,), run=run)
        self.attempt("join", 5, inputs=(branches,), run=run)
        end = (InputRange("join", 5, 5, 0),)
        self.attempt("end", 6, artifacts={"total": 14}, inputs=end, run=run)


@pytest.fixture
def past(tmp_path: Path) -> Iterator[Past]:
    """An empty past, which the client reads for the time of the test."""
    session = make_session(tmp_path)
    with flow_client.using(session):
        flow_client.default_namespace()
        yield Past(session)
        flow_client.default_namespace()
    session.close()
