"""Session: one use of flow-core in one process: settings, plugins, a flow, a store, an index.

A command makes one; a task process makes, or inherits, its own. A session of a flow goes through
definition → graph → plans, and can then execute a run or one attempt.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
import types
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_core import __version__
from flow_core.errors import (
    ArtifactError,
    DefinitionError,
    FlowError,
    LintError,
    NotFound,
    PluginError,
    RunFailed,
    UsageError,
)
from flow_core.flowspec import FlowLoaded, FlowSpec, constants, flows_in, loading, step_functions
from flow_core.graph import Graph, Problem, read_graph
from flow_core.index import PluginIndex, hook_modules, installed
from flow_core.interfaces import Compute, ComputeCapabilities, Metadata, Store
from flow_core.lint import lint
from flow_core.options import DECORATORS_ATTRIBUTE, Attached, Options, StepDecorator
from flow_core.parameters import Parameter, collect_parameters, resolve_parameters
from flow_core.plan import PlanDraft, TaskPlan
from flow_core.plugins import KernelHooks, Plugins
from flow_core.records import (
    FORMAT,
    ArtifactRef,
    RunDocument,
    RunRecord,
    RunResult,
    RunState,
    TaskSpec,
    check_format,
    run_key,
)
from flow_core.settings import Settings

if TYPE_CHECKING:
    from flow_core.artifacts import ArtifactStore


class StepDefinition:
    """One step while the definition may still change: its function and its decorators."""

    def __init__(self, name: str, function: types.FunctionType, index: PluginIndex) -> None:
        self.name = name
        self.function = function
        self.attached: list[Attached] = list(getattr(function, DECORATORS_ATTRIBUTE, ()))
        self._index = index

    def options(self, decorator: str) -> Options | None:
        """Return the options of a decorator, or None when the step does not carry it."""
        return next((a.options for a in self.attached if a.name == decorator), None)

    def attach(self, decorator: StepDecorator[Any], options: Options, source: str) -> bool:
        """Add a decorator; False when the step carries it already, which then counts."""
        if not decorator.allow_multiple and self.options(decorator.name) is not None:
            return False
        self.attached.append(Attached(decorator.name, options, source))
        return True

    def remove(self, decorator: str) -> None:
        """Take a decorator away, if it is there."""
        self.attached = [a for a in self.attached if a.name != decorator]


class FlowDefinition:
    """A flow while plugins may still change it (hook ``flow_definition``).

    Attributes:
        name: the flow's name.
        cls: the flow class.
        steps: step name → `StepDefinition`.
        parameters: the parameters, in order.
    """

    def __init__(self, cls: type[FlowSpec], index: PluginIndex) -> None:
        self.name = cls.__name__
        self.cls = cls
        self._index = index
        self.steps = {n: StepDefinition(n, f, index) for n, f in step_functions(cls).items()}
        self.parameters: tuple[Parameter, ...] = collect_parameters(cls)

    def attach_everywhere(self, text: str, source: str) -> None:
        """Attach ``name`` or ``name:option=value,…`` to every step that has no such decorator.

        Raises:
            PluginError: no plugin provides the decorator.
            UsageError: its options are wrong.
        """
        name, _, options_text = text.partition(":")
        decorator = self._index.load("flow.decorators", name)
        options = decorator.parse(options_text)
        for step in self.steps.values():
            step.attach(decorator, options, source)


class RunRequest(NamedTuple):
    """What a run is asked to be.

    Attributes:
        parameters: parameter name → value from outside (text or Python value).
        tags: the user's tags.
        origin: pathspec of the run to resume, or None; its parameters are then used.
        max_workers: tasks at a time; None = the setting.
        run_id_file: file that gets the run id as soon as it is known, or None.
    """

    parameters: Mapping[str, Any] = {}
    tags: tuple[str, ...] = ()
    origin: str | None = None
    max_workers: int | None = None
    run_id_file: str | None = None


class Session:
    """See the module. Everything is made when it is first used, and closed by `close`.

    Args:
        flow: the flow class, for sessions of a flow.
        settings: None = those of the environment and the files.
        index: installed plugins; None = those on ``sys.path``.
        decorators: texts of ``--with``.
        plugins: texts of ``-p``: ``no:NAME``, ``only:NAME`` or a hook module.
        modules: further hook modules as objects, for tests and notebooks.
        providers: ready objects instead of looked-up providers, by (kind, name), for tests:
            ``{("store", "memory"): MemoryStore()}``.
        interactive: whether output of tasks is wanted while they run.
    """

    def __init__(
        self,
        flow: type[FlowSpec] | None = None,
        *,
        settings: Settings | None = None,
        index: PluginIndex | None = None,
        decorators: Sequence[str] = (),
        plugins: Sequence[str] = (),
        modules: Sequence[Any] = (),
        providers: Mapping[tuple[str, str], Any] | None = None,
        interactive: bool = True,
    ) -> None:
        self.flow = flow
        self.settings = settings or Settings()
        self.interactive = interactive
        from_settings = (c.strip() for c in self.settings["plugins"].split(","))
        self._choices = [*plugins, *filter(None, from_settings)]
        self._modules = list(modules)
        self._decorators = [*decorators, *self.settings["with"].split()]
        self._providers = dict(providers or {})
        self._computes: dict[str, Compute] = {}
        self._started = False
        self.outcome_told = False  # a plugin sets this when it shows how a run ended, and why
        self.index = (index if index is not None else installed()).choose(self._choices)

    # --- plugins --------------------------------------------------------------------------------

    @cached_property
    def plugins(self) -> Plugins:
        """The loaded hook modules."""
        modules = [KernelHooks(), *self._modules, *hook_modules(self._choices)]
        return Plugins(self.index, modules, self.settings)

    def start(self) -> None:
        """Tell plugins that the session begins (hook ``flow_session_started``), once."""
        if not self._started:
            self._started = True
            self.plugins.hook.flow_session_started(session=self)

    def emit(self, event: Any) -> None:
        """Pass an event to all listeners."""
        self.plugins.hook.flow_event(event=event)

    # --- the flow -------------------------------------------------------------------------------

    def add_decorators(self, texts: Sequence[str]) -> None:
        """Attach further decorators to every step, as ``--with`` does; before the graph is read."""
        self._decorators.extend(texts)
        for text in texts:
            self.definition.attach_everywhere(text, "--with")

    @cached_property
    def definition(self) -> FlowDefinition:
        """The flow's definition with ``--with`` and the plugins' changes."""
        if self.flow is None:
            raise UsageError("This needs a flow", hint="flow COMMAND my_flow.py")
        definition = FlowDefinition(self.flow, self.index)
        for text in self._decorators:
            definition.attach_everywhere(text, "--with")
        self.plugins.hook.flow_definition(definition=definition)
        return definition

    @cached_property
    def graph(self) -> Graph:
        """The frozen graph."""
        steps = self.definition.steps
        return read_graph(
            self.definition.name,
            self.definition.cls,
            {name: s.function for name, s in steps.items()},
            {name: tuple(a.name for a in s.attached) for name, s in steps.items()},
        )

    def problems(self) -> list[Problem]:
        """Return what lint and the plugins find wrong with the graph."""
        found = lint(self.graph)
        for more in self.plugins.hook.flow_check(graph=self.graph):
            found.extend(more or ())
        return found

    @cached_property
    def plans(self) -> dict[str, TaskPlan]:
        """The plan of each step."""
        plans = {}
        for name, step in self.definition.steps.items():
            draft = PlanDraft(name, self.settings["compute"])
            self.plugins.hook.flow_plan_step(step=step, draft=draft)
            plans[name] = draft.freeze()
        return plans

    # --- providers ------------------------------------------------------------------------------

    @cached_property
    def store(self) -> Store:
        """The datastore that the settings choose."""
        store: Store = self.open_provider("store", self.settings["datastore"])
        return store

    @cached_property
    def metadata(self) -> Metadata:
        """The metadata provider that the settings choose."""
        metadata: Metadata = self.open_provider("metadata", self.settings["metadata"])
        return metadata

    @cached_property
    def artifacts(self) -> ArtifactStore:
        """Artifacts in the store."""
        from flow_core.artifacts import ArtifactStore  # commands that only look do without

        return ArtifactStore(self.store, self.index, self.settings["inline_limit"])

    def open_provider(self, kind: str, text: str) -> Any:
        """Open the store or metadata provider of ``name`` or ``name://place``."""
        name, _, place = text.partition("://")
        if (kind, name) in self._providers:
            return self._providers[kind, name]
        group = {"store": "flow.stores", "metadata": "flow.metadata"}[kind]
        return self.index.load(group, name)(place or None)

    def compute(self, name: str) -> Compute:
        """Return the compute provider of this name, made once."""
        if name not in self._computes:
            made = self._providers.get(("compute", name))
            self._computes[name] = made or self.index.load("flow.computes", name)()
        return self._computes[name]

    # --- Runtime (for compute providers) --------------------------------------------------------

    @property
    def flow_name(self) -> str:
        """Name of the flow."""
        return self.definition.name

    @property
    def document(self) -> dict[str, Any]:
        """JSON data from which `from_document` rebuilds this session in another process."""
        assert self.flow is not None
        return {
            "format": FORMAT,
            "file": self.graph.file,
            "flow": self.flow.__name__,
            "module": self.flow.__module__,
            "arguments": sys.argv,
            "settings": {**self.settings.overrides(), "datastore": self.store_text()},
            "decorators": self._decorators,
            "plugins": self._choices,
        }

    def store_text(self) -> str:
        """Return the text that names the store, with its place where that is already known."""
        text: str = self.store.url if "store" in self.__dict__ else self.settings["datastore"]
        return text

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Session:
        """Undo `document`: load the flow file and the plugins in this process."""
        check_format(document, "session document")
        sys.argv = list(document["arguments"])
        settings = Settings()
        for name, value in document["settings"].items():
            if any(s.name == name for s in settings.declared()):
                settings.override(name, value, "launcher")
        flow = load_flow(f"{document['file']}:{document['flow']}", document["module"])
        return cls(
            flow,
            settings=settings,
            decorators=document["decorators"],
            plugins=document["plugins"],
        )

    def setting(self, name: str) -> Any:
        """Return a setting's value."""
        return self.settings[name]

    def run_attempt(self, task: TaskSpec) -> int:
        """Run one attempt in this process; see `flow_core.task.run_attempt`."""
        from flow_core.task import run_attempt

        return run_attempt(self, task, self.run_document(task.flow, task.run))

    # --- runs -----------------------------------------------------------------------------------

    def run_document(self, flow: str, run: str) -> RunDocument:
        """Read the ``run.json`` of a run; `NotFound` when there is none."""
        key = run_key(flow, run)
        raw = next(iter(self.store.read([key])))
        if raw is None:
            raise NotFound(f"There is no run {flow}/{run}", where=self.store.url)
        return RunDocument.decode(raw, key)

    def check(self) -> None:
        """Raise what stands in the way of a run: broken plugins, lint, providers that do not fit."""
        self.plugins.require_sound()
        problems = self.problems()
        if problems:
            raise LintError(self.definition.name, problems)
        for plan in self.plans.values():
            self._check_plan(plan)

    def _check_plan(self, plan: TaskPlan) -> None:
        capabilities: ComputeCapabilities = self.compute(plan.compute).capabilities
        if capabilities.needs_shared_store and not self.store.capabilities.shared:
            raise PluginError(
                f"compute '{plan.compute}' needs a shared store; "
                f"'{self.settings['datastore']}' is not",
                where=f"step '{plan.step}'",
                hint="--datastore s3://bucket/prefix",
            )

    def execute(self, request: RunRequest) -> RunResult:
        """Run the flow to its end.

        Raises:
            FlowError: it could not be started.
            RunFailed: it ended without success; the run is recorded and can be resumed.
        """
        from flow_core.scheduler import Scheduler, interrupts_waiting

        self.start()
        self.check()
        self._prepare_to_fork()
        for name in sorted({p.compute for p in self.plans.values()}):
            self.compute(name).prepare(self)
        document = self._describe(request)
        with interrupts_waiting():
            document = self._register(document, request.run_id_file)
            workers = request.max_workers or self.settings["max_workers"]
            result = Scheduler(self, document, workers).execute()
        if result.state is not RunState.SUCCEEDED:
            raise _run_failed(document, result, self.graph.file)
        return result

    def _describe(self, request: RunRequest) -> RunDocument:
        """Return what is fixed when the run starts, all but its id."""
        if request.run_id_file:
            _check_run_id_file(request.run_id_file)
        flow = self.definition.name
        user = self.settings.user()
        return RunDocument(
            flow=flow,
            run="",
            created_at=time.time(),
            parameters=self._parameters(request, user),
            constants=self._constants(),
            code=self._snapshot(),
            graph=self.graph.to_json(),
            plans={name: plan.to_json() for name, plan in self.plans.items()},
            origin=request.origin,
            tags=tuple(sorted(set(request.tags))),
            system_tags=_system_tags(user),
            user=user,
            info=self._info(),
        )

    def _register(self, document: RunDocument, run_id_file: str | None) -> RunDocument:
        """Claim a run id by writing ``run.json``, and record the run."""
        document = self._claim(document)
        self.metadata.register_run(_run_record(document))
        if run_id_file:
            _write_run_id(run_id_file, document.run)
        return document

    def _claim(self, document: RunDocument) -> RunDocument:
        """Give the run the next free number. The create-only write makes it ours alone."""
        taken = [int(r) for r in self.store.folders(f"runs/{document.flow}/") if r.isdigit()]
        number = max(taken, default=0) + 1
        if not self.store.capabilities.create_only:
            number = time.time_ns() // 1000  # ordered by time, and unlikely to clash
        while True:
            claimed = document._replace(run=str(number))
            item = (run_key(claimed.flow, claimed.run), claimed.encode())
            if self.store.write([item], create_only=True)[0]:
                return claimed
            number += 1

    def _parameters(self, request: RunRequest, user: str) -> dict[str, ArtifactRef]:
        earlier: Mapping[str, ArtifactRef] = {}
        if request.origin:
            flow, _, run = request.origin.partition("/")
            earlier = self.run_document(flow, run).parameters
        declared = [p for p in self.definition.parameters if p.name not in earlier]
        values = resolve_parameters(declared, request.parameters, self.definition.name, user)
        new = {name: self.artifacts.save(name, value) for name, value in values.items()}
        return {**earlier, **new}

    def _constants(self) -> dict[str, ArtifactRef]:
        """Store the class constants for readers; steps read them from the class itself."""
        assert self.flow is not None
        stored = {}
        for name, value in constants(self.flow).items():
            try:
                stored[name] = self.artifacts.save(name, value)
            except ArtifactError:
                continue  # it works in the steps all the same; `info` says that it is not stored
        return stored

    def _snapshot(self) -> str | None:
        from flow_core import package

        if not os.path.isfile(self.graph.file):
            return None  # a notebook cell
        extra: list[tuple[str, str]] = []
        for files in self.plugins.hook.flow_package_files(graph=self.graph):
            extra.extend(files or ())
        suffixes = [s for s in self.settings["code_suffixes"].split(",") if s]
        files = package.collect(self.graph.file, suffixes, extra)
        return self.artifacts.put_bytes(package.build(files, self.settings["code_limit"]))

    def _info(self) -> dict[str, Any]:
        from flow_core import package

        assert self.flow is not None
        host = os.uname().nodename if hasattr(os, "uname") else ""
        return {
            "script": os.path.basename(self.graph.file),
            "command": sys.argv,
            "python": ".".join(map(str, sys.version_info[:3])),
            "flow_core": __version__,
            "plugins": sorted({f"{e.distribution} {e.version}" for e in self.index.entry_points}),
            "host": host,
            "git": package.git_state(os.path.dirname(os.path.abspath(self.graph.file))),
        }

    def close(self) -> None:
        """End the session: plugins are told, the index is closed. Safe to call twice."""
        if self._started:
            self._started = False
            self.plugins.hook.flow_session_finished(session=self)
        self._close_metadata()

    def _prepare_to_fork(self) -> None:
        """Compute providers may fork now: nothing may be open, and what each task would import for
        itself is better imported once, before."""
        self._close_metadata()
        name = self.settings["datastore"].partition("://")[0]
        importlib.import_module("flow_core.task")
        if ("store", name) not in self._providers:
            self.index.load("flow.stores", name)

    def _close_metadata(self) -> None:
        metadata = self.__dict__.pop("metadata", None)
        if metadata is not None:
            metadata.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _system_tags(user: str) -> tuple[str, ...]:
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return (f"flow_core_version:{__version__}", f"python_version:{python}", f"user:{user}")


def _run_record(document: RunDocument) -> RunRecord:
    return RunRecord(
        flow=document.flow,
        run=document.run,
        state=RunState.CREATED,
        created_at=document.created_at,
        user=document.user,
        host=document.info["host"],
        pid=os.getpid(),
        origin=document.origin,
        tags=document.tags,
        system_tags=document.system_tags,
        heartbeat_at=document.created_at,
    )


def _write_run_id(path: str, run: str) -> None:
    try:
        with open(path, "w", encoding="utf-8") as file:
            file.write(run)
    except OSError as error:
        raise _no_run_id_file(path, error.strerror) from None


def _check_run_id_file(path: str) -> None:
    """Raise what `_write_run_id` would raise, while there is no run yet."""
    folder = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(folder):
        raise _no_run_id_file(path, f"there is no folder '{folder}'")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise _no_run_id_file(path, "permission denied")


def _no_run_id_file(path: str, why: str | None) -> UsageError:
    return UsageError(
        f"The run id cannot be written to '{path}'",
        where="--run-id-file",
        why=why,
        hint="name a file in a folder that exists and is yours",
    )


def _run_failed(document: RunDocument, result: RunResult, graph_file: str) -> RunFailed:
    pathspec = f"{document.flow}/{document.run}"
    word = "was interrupted" if result.state is RunState.INTERRUPTED else "failed"
    return RunFailed(
        f"Run {pathspec} {word}",
        pathspec=pathspec,
        state=result.state.value,
        where=", ".join(result.failed[:3]) or None,
        why=result.message or None,
        hint=f"{_resume_command(graph_file)} --origin-run-id {document.run}",
    )


def _resume_command(graph_file: str) -> str:
    """Return what a person types to resume, in the form in which they started the run."""
    program = sys.argv[0]
    if program.endswith(".py") and os.path.basename(program) == os.path.basename(graph_file):
        return f"python {program} resume"
    return f"flow resume {os.path.relpath(graph_file)}"


# --- loading a flow file ------------------------------------------------------------------------


def load_flow(text: str, module: str = "__main__") -> type[FlowSpec]:
    """Load a flow class from ``file.py`` or ``file.py:Class``.

    The file runs as the module ``__main__``, as if it had been started as a script, up to the
    place where it starts the command line. (With another ``module``, that module is imported.)

    Raises:
        UsageError: there is no such file, or no, or more than one, flow in it.
        DefinitionError: the file cannot be imported.
    """
    path, _, name = text.rpartition(":") if ".py:" in text else (text, "", "")
    if module != "__main__":
        return _pick(vars(importlib.import_module(module)), module, path, name)
    if not os.path.isfile(path):
        raise UsageError(
            f"There is no flow file '{path}'",
            where=os.getcwd(),
            hint=_similar_files(path),
        )
    namespace = _as_main(os.path.abspath(path))
    return _pick(namespace, "__main__", path, name)


def _as_main(path: str) -> dict[str, Any]:
    main = types.ModuleType("__main__")
    main.__file__ = path
    main.__builtins__ = __builtins__  # type: ignore[attr-defined]
    sys.modules["__main__"] = main
    folder = os.path.dirname(path)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    with open(path, "rb") as file:
        source = file.read()
    token = loading.set(True)
    try:
        exec(compile(source, path, "exec", dont_inherit=True), main.__dict__)
    except FlowLoaded as loaded:
        main.__dict__.setdefault("__flow_started__", loaded.flow)
    except FlowError as error:
        error.where = error.where or _line_of(path, error)
        raise
    except Exception as error:
        raise _import_failed(path, error) from error
    finally:
        loading.reset(token)
    return main.__dict__


def _line_of(path: str, error: Exception) -> str:
    import traceback

    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
    return f"{path}:{lines[-1]}" if lines else path


def _import_failed(path: str, error: Exception) -> DefinitionError:
    return DefinitionError(
        "The flow file cannot be loaded",
        where=_line_of(path, error),
        why=f"{type(error).__name__}: {error}",
    )


def _pick(namespace: Mapping[str, Any], module: str, path: str, name: str) -> type[FlowSpec]:
    flows = {cls.__name__: cls for cls in flows_in(namespace, module)}
    if name:
        if name not in flows:
            raise UsageError(
                f"There is no flow '{name}' in {path}",
                hint="it has: " + ", ".join(flows) if flows else "it defines no flow",
            )
        return flows[name]
    started = namespace.get("__flow_started__")
    if isinstance(started, type):
        return started
    if len(flows) == 1:
        return next(iter(flows.values()))
    if not flows:
        raise UsageError(
            f"There is no flow in {path}",
            why="it defines no class that derives from FlowSpec",
            hint="class MyFlow(FlowSpec): …",
        )
    raise UsageError(
        f"There is more than one flow in {path}: {', '.join(flows)}",
        hint=f"choose one: {path}:{next(iter(flows))}",
    )


def _similar_files(path: str) -> str:
    from flow_core.errors import did_you_mean

    folder = os.path.dirname(path) or "."
    names = [n for n in os.listdir(folder) if n.endswith(".py")] if os.path.isdir(folder) else []
    return did_you_mean(os.path.basename(path), names) or "flow COMMAND my_flow.py"
