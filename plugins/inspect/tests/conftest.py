"""Commands are called as the command line calls them, on flows and pasts that a test writes."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import pytest

from flow_core.api import (
    AttemptRecord,
    AttemptState,
    Command,
    Failure,
    Manifest,
    RunDocument,
    RunRecord,
    RunState,
    Session,
    Settings,
    attempt_prefix,
    load_flow,
    run_key,
)
from flow_core.testing import MemoryMetadata, MemoryStore

HEAD = "from flow_core import FlowSpec, IncludeFile, Parameter, retry, step\n\n\n"


class Context:
    """What the command line gives to a command; keeps what it prints."""

    def __init__(self, session: Session, flow: Any = None, name: str = "command") -> None:
        self.flow = flow
        self.name = name
        self.out: list[str] = []
        self.err: list[str] = []
        self.status: Any = None
        self._session = session

    def session(self) -> Session:
        return self._session

    def echo(self, text: str = "", *, error: bool = False) -> None:
        (self.err if error else self.out).append(click.unstyle(text))


class Here:
    """A folder with a store and an index in memory, where flows can be written and called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        variables = {"FLOW_DATASTORE": "memory", "FLOW_METADATA": "memory", "FLOW_USER": "ada"}
        self._settings = Settings({**variables, "HOME": str(folder)}, str(folder))
        self._providers: dict[tuple[str, str], Any] = {
            ("store", "memory"): MemoryStore("here"),
            ("metadata", "memory"): MemoryMetadata("here"),
        }
        self.session = self._session(None)

    def _session(self, flow: Any, decorators: Sequence[str] = ()) -> Session:
        return Session(
            flow, settings=self._settings, providers=self._providers, decorators=decorators
        )

    def flow(self, source: str, name: str = "my_flow.py") -> Any:
        """Write a flow file and load its flow."""
        path = self.folder / name
        path.write_text(HEAD + textwrap.dedent(source))
        return load_flow(str(path))

    def call(
        self, command: Command, *arguments: str, flow: Any = None, decorators: Sequence[str] = ()
    ) -> Context:
        """Call a command; ``decorators`` as with ``--with``. Errors come as they are."""
        context = Context(self._session(flow, decorators), flow)
        built = command.build(context)
        context.status = built.main(list(arguments), standalone_mode=False)
        return context

    # --- the past -------------------------------------------------------------------------------

    def run(
        self,
        run: str = "1",
        state: str = "succeeded",
        parameters: Mapping[str, Any] | None = None,
        **record: Any,
    ) -> None:
        """Write a run of the flow F."""
        save = self.session.artifacts.save
        refs = {name: save(name, value) for name, value in (parameters or {}).items()}
        document = RunDocument("F", run, 1000.0, refs, {}, None, {}, {})
        self.session.store.write([(run_key("F", run), document.encode())])
        found = RunRecord("F", run, RunState(state), 1000.0 + int(run))
        self.session.metadata.register_run(found._replace(**record))

    def attempt(
        self,
        step: str = "start",
        task: int = 1,
        state: str = "succeeded",
        artifacts: Mapping[str, Any] | None = None,
        *,
        run: str = "1",
        attempt: int = 0,
        origin: str | None = None,
        failure: Failure | None = None,
        **logs: str,
    ) -> Manifest:
        """Write an attempt with its logs (``stdout="…"``)."""
        save = self.session.artifacts.save
        manifest = Manifest(
            "F",
            run,
            step,
            task,
            attempt,
            AttemptState(state),
            artifacts={name: save(name, value) for name, value in (artifacts or {}).items()},
            origin=origin,
            failure=failure,
        )
        if state != "running":
            self.session.store.write([(manifest.key, manifest.encode())])
        prefix = attempt_prefix("F", run, step, task, attempt)
        self.session.store.write([(prefix + name, text.encode()) for name, text in logs.items()])
        cause = failure.cause if failure is not None else ""
        record = AttemptRecord(*manifest[:5], manifest.state, origin=origin, cause=cause)
        self.session.metadata.write_attempts([record])
        return manifest


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Here:
    """An empty folder. Loading a flow replaces ``__main__`` and extends the path: both come back."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["flow"])
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])
    monkeypatch.setattr(sys, "path", list(sys.path))
    return Here(tmp_path)


@pytest.fixture
def good(here: Here) -> Any:
    """A flow with a bit of everything."""
    return here.flow(
        '''
        class GoodFlow(FlowSpec):
            """Trains models.

            In two ways.
            """

            rate = Parameter("rate", default=0.5, help="How fast to learn.\\nBetween 0 and 1.")
            folder = Parameter("folder", required=True)
            day = Parameter("day", default=lambda context: "monday", help="Which day.")

            @step
            def start(self):
                """Load the data."""
                self.next(self.fast, self.slow)

            @step
            def fast(self):
                self.items = [1, 2]
                self.next(self.item, foreach="items")

            @retry(times=5)
            @step
            def item(self):
                self.next(self.gather)

            @step
            def gather(self, inputs):
                self.next(self.join)

            @step
            def slow(self):
                self.next(self.join)

            @step
            def join(self, inputs):
                """Choose the better one."""
                self.next(self.end)

            @step
            def end(self):
                """Report."""
        '''
    )


@pytest.fixture
def bad(here: Here) -> Any:
    """A flow with two problems."""
    return here.flow(
        """
        class BadFlow(FlowSpec):
            @step
            def start(self):
                self.next(self.nowhere)

            @step
            def middle(self):
                pass

            @step
            def end(self):
                pass
        """
    )


@pytest.fixture
def switch(here: Here) -> Any:
    """A flow with a switch, a step that repeats, and named ends."""
    return here.flow(
        """
        class SwitchFlow(FlowSpec):
            @step(start=True, node_info={"team": "search"})
            def begin(self):
                self.next({"big": self.train, "none": self.finish, 0: self.finish}, condition="kind")

            @step
            def train(self):
                self.next({True: self.train, False: self.pick}, condition="more")

            @step
            def pick(self):
                self.next(self.work, foreach="items", allow_empty=True)

            @step
            def work(self):
                self.next(self.join)

            @step
            def join(self, inputs):
                self.next(self.finish)

            @step(end=True)
            def finish(self):
                pass
        """
    )
