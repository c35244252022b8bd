"""Runs that are written by hand, as the kernel writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

from flow_core.api import (
    AttemptRecord,
    AttemptState,
    Manifest,
    RunDocument,
    RunRecord,
    RunResult,
    RunState,
    Session,
    Settings,
    attempt_prefix,
    result_key,
    run_key,
)
from flow_core.testing import MemoryMetadata, MemoryStore
from flow_gc.command import command


class Context:
    """What the command line gives to a command; keeps what it prints."""

    flow: Any = None
    name = "gc"

    def __init__(self, session: Session) -> None:
        self._session = session
        self.out: list[str] = []

    def session(self) -> Session:
        return self._session

    def echo(self, text: str = "", *, error: bool = False) -> None:
        self.out.append(click.unstyle(text))


class Past:
    """A store and an index in memory, and runs that are written by hand."""

    def __init__(self, folder: Path, store: Any = None, metadata: Any = None) -> None:
        self.store = store or MemoryStore("here")
        self.metadata = metadata or MemoryMetadata("here")
        variables = {"FLOW_DATASTORE": "memory", "FLOW_METADATA": "memory", "FLOW_USER": "ada"}
        self.session = Session(
            settings=Settings({**variables, "HOME": str(folder)}, str(folder)),
            providers={("store", "memory"): self.store, ("metadata", "memory"): self.metadata},
        )

    def run(
        self, run: str, *texts: str, flow: str = "F", state: str = "succeeded", **record: Any
    ) -> None:
        """Write a run with a task for each text, whose artifact ``x`` it is."""
        created = record.pop("created_at", 1000.0 + int(run))
        document = RunDocument(flow, run, created, {}, {}, None, {}, {}, record.get("origin"))
        self.store.write([(run_key(flow, run), document.encode())])
        found = RunRecord(flow, run, RunState(state), created, user="ada")._replace(**record)
        self.metadata.register_run(found)
        for number, text in enumerate(texts, 1):
            self.attempt(run, number, text, flow=flow)
        if state not in ("created", "running"):
            result = RunResult(flow, run, RunState(state), created + 1)
            self.store.write([(result_key(flow, run), result.encode())])

    def attempt(
        self, run: str, task: int, text: str, flow: str = "F", origin: str | None = None
    ) -> None:
        """Write a task; ``origin`` is where its result was taken over."""
        state = AttemptState.REUSED if origin else AttemptState.SUCCEEDED
        artifacts = {"x": self.session.artifacts.save("x", text)}
        manifest = Manifest(flow, run, "work", task, 0, state, artifacts=artifacts, origin=origin)
        self.store.write([(manifest.key, manifest.encode())])
        if not origin:
            prefix = attempt_prefix(flow, run, "work", task, 0)
            self.store.write([(prefix + "stdout", f"{run}/{task}".encode())])
        self.metadata.write_attempts([AttemptRecord.from_manifest(manifest)])

    def gc(self, *arguments: str) -> list[str]:
        """Call the command; return what it prints."""
        context = Context(self.session)
        command.build(context).main(list(arguments), standalone_mode=False)
        return context.out

    def runs(self, flow: str = "F") -> str:
        """Return the numbers of the runs of the index, newest first."""
        return "".join(run.run for run in self.metadata.runs(flow))

    def blobs(self) -> int:
        """Return how many blobs there are."""
        return len(list(self.store.list("blobs/")))


@pytest.fixture
def past(tmp_path: Path) -> Past:
    return Past(tmp_path)


@pytest.fixture(scope="session")
def new_past() -> type[Past]:
    """What makes a past in a folder, with a store and an index that may be given."""
    return Past
