"""A laboratory for flows and plugins: write a flow, run it, look at what it left behind."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flow_core.artifacts import ArtifactStore
from flow_core.errors import FlowError, UnknownName, did_you_mean
from flow_core.flowfile import load_flow
from flow_core.flowspec import FlowSpec
from flow_core.hookspecs import hookimpl
from flow_core.index import PluginIndex, installed
from flow_core.interfaces import Metadata, Store
from flow_core.logs import AttemptLogs
from flow_core.manifests import list_manifests
from flow_core.records import Event, Manifest, RunState
from flow_core.run import RunRequest
from flow_core.session import Session
from flow_core.settings import Settings


def default_plugins() -> list[str]:
    """Return the short names of the plugins that ``pip install flow-core`` brings."""
    import importlib_metadata

    required = importlib_metadata.requires("flow-core") or ()
    matches = (re.match(r"flow-([\w-]+)", requirement) for requirement in required)
    return [match[1] for match in matches if match]


@dataclass
class ProcessResult:
    """What a command left behind: exit status and output, as text."""

    returncode: int
    stdout: str
    stderr: str

    def check(self) -> ProcessResult:
        """Return self; fail the test with the output when the exit status is not 0."""
        assert self.returncode == 0, f"exit status {self.returncode}\n{self.stdout}\n{self.stderr}"
        return self

    @property
    def error(self) -> dict[str, str]:
        """The parts of the last error that was shown, by label: ``error where why try``."""
        assert "Traceback" not in self.stderr, self.stderr
        shown = self.stderr[self.stderr.rindex("error: ") :]
        return dict(re.findall(r"^ *(error|where|why|try): +(.*)$", shown, re.MULTILINE))


@dataclass
class RunOutcome:
    """What a run left behind: `FlowTester.run`, and `FlowTester.left` for one in a process.

    Attributes:
        state: how it ended; None when it could not start.
        error: the error that ended it, or None. Not known of a process.
        run: its id.
        flow: name of the flow.
        events: all events, in order. Not known of a process.
        store, metadata: where everything lies.
    """

    flow: str
    store: Store
    metadata: Metadata
    error: FlowError | None = None
    state: RunState | None = None
    run: str = ""
    events: list[Event] = field(default_factory=list)

    def check(self) -> RunOutcome:
        """Return self; fail the test with the whole error when the run did not succeed."""
        assert self.error is None, str(self.error)
        return self

    @property
    def pathspec(self) -> str:
        """``Flow/run``."""
        return f"{self.flow}/{self.run}"

    def manifests(self, step: str) -> list[Manifest]:
        """Return the manifests of all attempts of a step, by (task, attempt)."""
        stored = list_manifests(self.store, self.flow, self.run)
        of_step = f"runs/{self.flow}/{self.run}/{step}/"
        found = [Manifest.decode(raw, key) for key, raw in stored if key.startswith(of_step)]
        return sorted(found, key=lambda m: (m.task, m.attempt))

    def artifacts(self, step: str) -> list[dict[str, Any]]:
        """Return, for each task of a step, its artifacts by name (of the last attempt)."""
        last = {m.task: m for m in self.manifests(step)}
        artifacts = ArtifactStore(self.store, installed())
        return [
            {name: artifacts.load(ref, f"artifact '{name}'") for name, ref in m.artifacts.items()}
            for m in last.values()
        ]

    def artifact(self, step: str, name: str) -> Any:
        """Return an artifact of a step that has exactly one task."""
        (only,) = self.artifacts(step)
        return only[name]

    def output(self, step: str, stream: str = "stdout") -> str:
        """Return what all attempts of a step wrote, one after the other."""
        prefixes = [manifest.key.removesuffix("manifest") for manifest in self.manifests(step)]
        parts = [AttemptLogs(self.store, prefix).read(stream) for prefix in prefixes]
        return b"".join(parts).decode(errors="replace")


class FlowTester:
    """Fixture ``flowtester``: a temporary folder in which flows are written and run.

    A stray ``.flow`` above the folder is not used: what runs in it stays in it.

    A run sees only the plugins it is given; one in a process of its own the default plugins, unless
    it is given others.

    Attributes:
        path: the folder.
        more_plugins: what processes see beside the default plugins: the plugin under test, if it
            is no default one.

    Since 0.1.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.more_plugins: list[str] = []
        if any((parent / ".flow").is_dir() for parent in path.resolve().parents):
            (path / ".flow").mkdir(exist_ok=True)  # the nearest one counts

    def write(self, source: str, name: str = "flow.py") -> Path:
        """Write ``source``, unindented, to a file of the folder and return its path."""
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(source).lstrip("\n"), encoding="utf-8")
        return file

    # --- as a process ---------------------------------------------------------------------------

    def python(self, file: Path, *arguments: str, **options: Any) -> ProcessResult:
        """Run ``python FILE ARGUMENTS`` in the folder; options as for `command`."""
        return self.command([sys.executable, str(file), *arguments], **options)

    def flow(self, *arguments: str, **options: Any) -> ProcessResult:
        """Run ``flow ARGUMENTS`` in the folder; options as for `command`."""
        code = "import sys; from flow_core.cli import main; main()"
        return self.command([sys.executable, "-c", code, *arguments], **options)

    def command(
        self,
        command: Sequence[str],
        *,
        plugins: Sequence[str] | None = None,
        variables: Mapping[str, str] | None = None,
        timeout: float = 60,
    ) -> ProcessResult:
        """Run a command in the folder.

        Args:
            command: the words of the command.
            plugins: short names of the plugins to see; None = those that flow-core brings.
            variables: further environment variables; None as a value is not allowed.
            timeout: seconds.
        """
        done = subprocess.run(
            command,
            cwd=self.path,
            env=self.environment(plugins, variables),
            capture_output=True,
            text=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            check=False,
        )
        return ProcessResult(done.returncode, done.stdout, done.stderr)

    def environment(
        self, plugins: Sequence[str] | None = None, variables: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """Return the environment of a process: no settings of the person's own are seen."""
        chosen = [*default_plugins(), *self.more_plugins] if plugins is None else plugins
        kept = {k: v for k, v in os.environ.items() if not k.startswith("FLOW_")}
        return {
            **kept,
            "HOME": str(self.path),
            "FLOW_USER": "tester",
            "FLOW_PLUGINS": ",".join(f"only:{name}" for name in chosen or ["none"]),
            **(variables or {}),
        }

    def left(self, run: int | str = 1, flow: str = "F") -> RunOutcome:
        """Return what run ``run`` of ``flow``, which was a process, left in the folder."""
        with _folder(self.path), Session(settings=Settings(self.environment())) as session:
            record = session.metadata.run(flow, str(run))
            state = record.state if record else None
            return RunOutcome(flow, session.store, session.metadata, state=state, run=str(run))

    # --- in this process ------------------------------------------------------------------------

    def run(
        self,
        flow: str | Path | type[FlowSpec],
        *,
        plugins: Sequence[str] = (),
        modules: Sequence[Any] = (),
        decorators: Sequence[str] = (),
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
        providers: Mapping[tuple[str, str], Any] | None = None,
        request: RunRequest | None = None,
        configs: Mapping[str, Any] | None = None,
    ) -> RunOutcome:
        """Run a flow inside the test's process, on fakes in memory: fast, and under coverage.

        Args:
            flow: source, a file, or a flow class.
            plugins: short names of the installed plugins to see.
            modules: hook modules, or objects with hooks, to add.
            decorators: texts of ``--with``.
            parameters: values by name.
            settings: settings by name.
            providers: what to use instead of the fakes, by (kind, name); the names of the fakes
                are ``local``.
            request: a whole `RunRequest` instead of ``parameters``.
            configs: values of the flow's configurations by name.
        """
        with main_kept(), _folder(self.path):
            cls = flow if isinstance(flow, type) else self.load(flow)
            session = self.session(
                cls, plugins, [*modules], decorators, settings or {}, providers or {}, configs
            )
            with session:
                return _execute(session, request or RunRequest(parameters=parameters or {}))

    def load(self, flow: str | Path) -> type[FlowSpec]:
        """Load the flow class of a file, or of source (text with a line break)."""
        if isinstance(flow, str) and "\n" in flow:
            flow = self.write(flow)
        return load_flow(str(flow))

    def session(
        self,
        flow: type[FlowSpec] | None,
        plugins: Sequence[str] = (),
        modules: Sequence[Any] = (),
        decorators: Sequence[str] = (),
        settings: Mapping[str, Any] | None = None,
        providers: Mapping[tuple[str, str], Any] | None = None,
        configs: Mapping[str, Any] | None = None,
    ) -> Session:
        """Return a session on fakes in memory."""
        from flow_core.testing.fakes import MemoryMetadata, MemoryStore
        from flow_core.testing.in_process import InProcessCompute

        chosen = Settings({"HOME": str(self.path), "FLOW_USER": "tester"}, str(self.path))
        wanted = dict(settings or {})
        for name in [s.name for s in chosen.declared() if s.name in wanted]:
            chosen.override(name, wanted.pop(name), "test")
        index = _only(plugins) if plugins else PluginIndex([])
        fakes = {
            ("store", "local"): MemoryStore(),
            ("metadata", "local"): MemoryMetadata(),
            ("compute", "local"): InProcessCompute(),
        }
        session = Session(
            flow,
            settings=chosen,
            index=index,
            decorators=decorators,
            modules=modules,
            providers={**fakes, **(providers or {})},
            config_values=list((configs or {}).items()),
        )
        if wanted and session.plugins:  # those of plugins are declared when these are loaded
            for name, value in wanted.items():
                chosen.override(name, value, "test")
        return session


def _only(plugins: Sequence[str]) -> PluginIndex:
    """Return the index of these plugins; a test without the one that it is about proves nothing."""
    index = installed().choose([f"only:{name}" for name in plugins])
    known = {name for e in index.entry_points for name in (e.plugin, e.distribution)}
    for name in plugins:
        if name not in known:
            raise UnknownName(
                f"There is no plugin '{name}'",
                hint=did_you_mean(name, installed().plugins()) or f"pip install flow-{name}",
            )
    return index


class _Recorder:
    """Keeps all events of a run."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    @hookimpl
    def flow_event(self, event: Event) -> None:
        self.events.append(event)


def _execute(session: Session, request: RunRequest) -> RunOutcome:
    recorder = _Recorder()
    session.plugins.manager.register(recorder, "flowtester")
    assert session.flow is not None
    outcome = RunOutcome(session.flow.__name__, session.store, session.metadata)
    outcome.events = recorder.events
    try:
        session.execute(request)
    except FlowError as error:
        outcome.error = error
    newest = session.metadata.runs(outcome.flow, limit=1)
    if newest:
        outcome.run, outcome.state = newest[0].run, newest[0].state
    return outcome


@contextmanager
def main_kept() -> Iterator[None]:
    """Put back what loading a flow file changes: ``__main__``, the path, the arguments."""
    main, path, arguments = sys.modules["__main__"], list(sys.path), list(sys.argv)
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        sys.path[:] = path
        sys.argv[:] = arguments


@contextmanager
def _folder(path: Path) -> Iterator[None]:
    earlier = os.getcwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(earlier)
