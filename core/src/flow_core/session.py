"""Session: one use of flow-core in one process: settings, plugins, a flow, a store, an index.

A command makes one; a task process makes, or inherits, its own. A session of a flow goes through
definition → graph → plans, and can then execute a run or one attempt.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from types import ModuleType
from typing import TYPE_CHECKING, Any

from flow_core.definition import FlowDefinition, all_decorators
from flow_core.errors import (
    DefinitionError,
    FlowError,
    LintError,
    NotFound,
    PluginError,
    UsageError,
    did_you_mean,
)
from flow_core.flowfile import load_flow
from flow_core.flowspec import FlowSpec
from flow_core.gang import check_gangs, check_sizes, missing_gangs
from flow_core.graph import Graph, Problem, read_graph
from flow_core.index import PluginIndex, hook_modules, installed
from flow_core.interfaces import (
    Compute,
    ComputeCapabilities,
    Environment,
    Metadata,
    Store,
    StoreCapabilities,
)
from flow_core.lint import lint
from flow_core.parameters import has_configs
from flow_core.plan import LOCAL, PlanDraft, TaskPlan
from flow_core.plugins import KernelHooks, Plugins
from flow_core.records import (
    FORMAT,
    RunDocument,
    RunResult,
    RunState,
    TaskSpec,
    check_format,
    run_key,
)
from flow_core.settings import Settings

if TYPE_CHECKING:
    from flow_core.artifacts import ArtifactStore
    from flow_core.run import RunOption, RunRequest
    from flow_core.step_environments import StepEnvironments
    from flow_core.task import TaskRunner
    from flow_core.travel import Luggage


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
        interactive: whether output of tasks is wanted while they run, and somebody is told how
            the run goes.
        by_value: whether other processes get the flow class as it stands, instead of loading its
            file: see `flow_core.byvalue`.
        configs: for the flow's configurations, (name, path of a file).
        config_values: for the flow's configurations, (name, value: a text to parse, or an object).
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
        by_value: bool = False,
        configs: Sequence[tuple[str, str]] = (),
        config_values: Sequence[tuple[str, Any]] = (),
    ) -> None:
        self.flow = flow
        self._by_value = by_value
        self.configs_given = (tuple(configs), tuple(config_values))
        self.settings = settings or Settings()
        self.interactive = interactive
        from_settings = (c.strip() for c in self.settings["plugins"].split(","))
        self._given = (tuple(decorators), tuple(plugins))
        self._choices = [*plugins, *filter(None, from_settings)]
        self._modules = list(modules)
        self._decorators = [*decorators, *self.settings["with"].split()]
        self._providers = dict(providers or {})
        self._computes: dict[str, Compute] = {}
        self._runner: TaskRunner | None = None
        self._adopted: RunDocument | None = None
        self._documents: dict[tuple[str, str], RunDocument] = {}
        self._started = False
        self._prepared = False
        self.program: str | None = None  # how people call what made this session; None = `flow`
        self._launcher = 0
        self.unpacked_at = ""  # folder of the code of a task elsewhere, which is gone with it
        self.has_only_code = False  # no other file is in the folder in which attempts work
        self.outcome_told = False  # a plugin sets this when it shows how a run ended, and why
        found = (index if index is not None else installed()).choose(self._choices)
        self.index = found.with_modules(_offering(modules))

    def with_flow(self, flow: type[FlowSpec]) -> Session:
        """Return a new session of a flow, with the settings, plugins and decorators of this one.

        Since 0.1.
        """
        decorators, plugins = self._given
        return Session(
            flow,
            settings=self.settings,
            index=self.index,
            decorators=decorators,
            plugins=plugins,
            modules=self._modules,
            providers=self._providers,
            interactive=self.interactive,
        )

    # --- plugins --------------------------------------------------------------------------------

    @cached_property
    def plugins(self) -> Plugins:
        """The loaded hook modules."""
        modules = [KernelHooks(), *self._modules, *self.named_modules]
        return Plugins(self.index, modules, self.settings, self._decorator_names())

    @property
    def given(self) -> tuple[list[str], list[str]]:
        """The texts of ``--with`` and ``-p``, and of the settings for both. Since 0.1."""
        return self._decorators, self._choices

    @property
    def named_modules(self) -> list[str]:
        """The hook modules that ``-p`` or the setting ``plugins`` names, loaded or not. Since 0.1."""
        return hook_modules(self._choices)

    def _decorator_names(self) -> set[str]:
        """Return the decorators that are known without plugins: those of the code and ``--with``."""
        names = {text.partition(":")[0] for text in self._decorators}
        if self.flow is not None:
            names.update(attached.name for attached in all_decorators(self.flow))
        return names

    def load_hooks(self, decorators: Iterable[str]) -> bool:
        """Load the hook modules of further decorators (group ``flow.decorator_hooks``).

        Those of the flow and of ``--with`` are loaded anyway.

        Returns:
            whether any was not loaded yet.
        """
        earlier = self.plugins
        self.plugins = earlier.with_decorators(decorators)
        if self.plugins is earlier:
            return False
        if self._started:
            known = [plugin for _, plugin in earlier.manager.list_name_plugin()]
            late = self.plugins.manager.subset_hook_caller("flow_session_started", known)
            late(session=self)
        return True

    @property
    def put_aside(self) -> Sequence[PluginError]:
        """What happened to plugins' observers that failed and are not called again, oldest first.

        Since 0.1.
        """
        return self.plugins.manager.aside if "plugins" in self.__dict__ else ()

    def start(self) -> None:
        """Tell plugins that the session begins (hook ``flow_session_started``), once."""
        if not self._started:
            self._started = True
            self.plugins.hook.flow_session_started(session=self)

    def emit(self, event: Any) -> None:
        """Pass an event to all listeners."""
        self.plugins.hook.flow_event(event=event)

    # --- the flow -------------------------------------------------------------------------------

    @property
    def is_launcher(self) -> bool:
        """Whether this process has launched a run of this session, and is no fork of that one."""
        return self._launcher == os.getpid()

    def share_process(self) -> None:
        """Run attempts in this process, which goes on after them: see `TaskContext.shares_process`."""
        self._launcher = os.getpid()

    def add_decorators(self, texts: Sequence[str]) -> None:
        """Attach further decorators to every step, as ``--with`` does; before a run starts.

        Plugins then see a new definition, as those in other processes do, with all decorators.
        """
        self._decorators.extend(texts)
        self.load_hooks(self._decorator_names())
        if texts:
            self._forget_definition()

    def add_plugins(self, modules: Sequence[str]) -> None:
        """Load further hook modules by their import names, as ``-p MODULE`` does; before a run
        starts. Tasks load them too.

        Since 0.1.
        """
        self._choices.extend(modules)
        self.index = self.index.with_modules(modules)
        if "plugins" in self.__dict__:
            for name in modules:
                self.plugins.manager.register(importlib.import_module(name), name)
        self._forget_definition()

    def _forget_definition(self) -> None:
        for made in ("definition", "graph", "plans", "run_options"):
            self.__dict__.pop(made, None)  # made again when it is next used
        self._close_environments()

    @property
    def has_configs(self) -> bool:
        """Whether the flow has configurations."""
        return self.flow is not None and has_configs(self.flow)

    @cached_property
    def configs(self) -> Mapping[str, Any]:
        """The value of each of the flow's configurations, by name.

        Raises:
            UsageError: what is wrong with what was given for them, all at once.
        """
        if self.has_configs and self.flow is not None:
            from flow_core.config import ConfigSources, resolve_configs, sources_of_environment

            files, values = self.configs_given
            given = [
                ConfigSources(files, values, "--config"),
                sources_of_environment(self.settings.script_environment()),
            ]
            return resolve_configs(self.flow, given, self.settings.user(), index=self.index)
        if any(self.configs_given):
            raise UsageError(
                f"Flow '{self.flow.__name__ if self.flow else '?'}' has no configurations",
                where="--config",
                hint="leave --config and --config-value out, or write: settings = Config('settings')",
            )
        return {}

    def use_configs(self, values: Mapping[str, Any]) -> None:
        """Let the flow's configurations have these values; those not named keep theirs.

        Args:
            values: configuration name → value.
        """
        self._forget_definition()
        if self.flow is None or not has_configs(self.flow):
            return
        from flow_core.config import declarations

        known = [d.name for d in declarations(self.flow)]
        kept = {name: value for name, value in values.items() if name in known}
        if set(kept) != set(known):
            kept = {**self.configs, **kept}  # some are newer than the values
        self.__dict__["configs"] = kept

    def use_configs_of(self, flow: str, run: str) -> None:
        """Let the flow's configurations have the values that they had in a run: to resume it.

        Raises:
            NotFound: there is no such run.
            UsageError: other values were given for this session.
        """
        if self.flow is None or not has_configs(self.flow):
            return
        if any(self.configs_given):
            raise UsageError(
                "Configurations cannot be given to a run that goes on after another",
                where="--config",
                why=f"it uses those of {flow}/{run}, so that finished tasks stay true",
                hint="leave --config and --config-value out, or start anew: run",
            )
        document = self.run_document(flow, run)
        self.use_configs(
            {
                name: self.artifacts.load(document.parameters[name], f"configuration '{name}'")
                for name in document.configs
            }
        )

    @cached_property
    def definition(self) -> FlowDefinition:
        """The flow's definition with ``--with`` and the plugins' changes."""
        if self.flow is None:
            raise UsageError("This needs a flow", hint="flow COMMAND my_flow.py")
        definition = self._define(self.flow)
        # A decorator that a plugin attached may have hooks of its own, which change more.
        while self.load_hooks(definition.decorator_names()):
            definition = self._define(self.flow)
        if definition.errors:  # nothing can be done with it; but all that is wrong is shown at once
            raise LintError(definition.name, self._problems(definition, _read_graph(definition)))
        return definition

    def _define(self, flow: type[FlowSpec]) -> FlowDefinition:
        definition = FlowDefinition(flow, self.index, self.configs)
        definition.pre_mutate()
        for text in self._decorators:
            definition.attach_everywhere(text, "--with")
        definition.mutate()
        definition.settle_class()
        self.plugins.hook.flow_definition(definition=definition)
        return definition

    @cached_property
    def graph(self) -> Graph:
        """The frozen graph."""
        return _read_graph(self.definition)

    def problems(self) -> list[Problem]:
        """Return what lint and the plugins find wrong with the graph."""
        found = self._problems(self.definition, self.graph)
        return found or missing_gangs(self)  # plans are made of sound graphs only

    def _problems(self, definition: FlowDefinition, graph: Graph) -> list[Problem]:
        found = [*map(Problem.from_error, definition.errors), *lint(graph)]
        for more in self.plugins.hook.flow_check(graph=graph):
            found.extend(more or ())
        return found

    @cached_property
    def plans(self) -> dict[str, TaskPlan]:
        """The plan of each step."""
        plans = {}
        for name, step in self.definition.steps.items():
            draft = PlanDraft(name, self.settings["compute"], self.settings["environment"])
            self.plugins.hook.flow_plan_step(step=step, draft=draft)
            plans[name] = draft.freeze()
        return plans

    @cached_property
    def run_options(self) -> list[RunOption]:
        """The options that plugins add to the commands that run this flow.

        Raises:
            DefinitionError: one has the name of a parameter, or of another plugin's option.
        """
        found = self.plugins.hook.flow_run_options(definition=self.definition)
        options = [option for more in found for option in more or ()]
        taken = {
            p.name.replace("-", "_"): f"Parameter '{p.name}'" for p in self.definition.parameters
        }
        for option in options:
            if option.name in taken:
                flag = "--" + option.name.replace("_", "-")
                raise DefinitionError(
                    f"{taken[option.name]} clashes with the option {flag}",
                    where=f"flow {self.definition.name}",
                    why=f"a decorator or plugin of this flow offers {flag} to its runs",
                    hint=f"choose another name, for example '{option.name}_value'",
                )
            taken[option.name] = f"The option --{option.name.replace('_', '-')} of another plugin"
        return options

    # --- providers ------------------------------------------------------------------------------

    @cached_property
    def store(self) -> Store:
        """The datastore that the settings choose."""
        store: Store = self.open_provider("store", self.settings["datastore"])
        return store

    @cached_property
    def metadata(self) -> Metadata:
        """The metadata provider that the settings choose, see `Settings.index_place`."""
        return self.open_metadata(lambda: self.store)

    def open_metadata(self, store: Callable[[], Store]) -> Metadata:
        """Open the index that the settings choose, as an object of its own.

        Args:
            store: returns the store of the settings; called where the index belongs to it alone.

        Since 0.1.
        """
        names = self.metadata_names
        if self.settings.index_is_apart(names):
            from flow_core.store_index import open_store_index  # most stores have one beside them

            return open_store_index(
                self.settings, names, store(), lambda text: self.open_provider("metadata", text)
            )
        metadata: Metadata = self.open_provider("metadata", self.settings.index_place(names))
        return metadata

    @property
    def metadata_names(self) -> list[str]:
        """The names of all metadata providers that there are. Since 0.1."""
        ready = (name for kind, name in self._providers if kind == "metadata")
        return sorted({*self.index.names("flow.metadata"), *ready})

    @cached_property
    def artifacts(self) -> ArtifactStore:
        """Artifacts in the store."""
        from flow_core.artifacts import ArtifactStore  # commands that only look do without
        from flow_core.blob_cache import open_cache

        limit, prefer = self.settings["inline_limit"], self._preferred_serializers()
        cache = open_cache(self.store, self.settings)
        return ArtifactStore(self.store, self.index, limit, prefer, cache)

    def _preferred_serializers(self) -> list[str]:
        """Return the tags of the setting, all of which are installed."""
        text: str = self.settings["serializers"]
        tags = [*filter(None, map(str.strip, text.split(",")))]
        for tag in tags:
            if tag != "pickle":
                self.index.find("flow.serializers", tag)
        return tags

    def open_provider(self, kind: str, text: str) -> Any:
        """Open a provider of ``kind`` ``"store"`` or ``"metadata"``, another than the session's own.

        Args:
            kind: see above.
            text: ``name``, or ``name://place``. What tests passed as ``providers`` comes first.

        Raises:
            PluginError: no plugin provides it, or it cannot be loaded.
        """
        ready = self._providers.get((kind, text.partition("://")[0]))
        if ready is not None:
            return ready
        group = {"store": "flow.stores", "metadata": "flow.metadata"}[kind]
        return self.index.open(group, text)

    def compute(self, name: str) -> Compute:
        """Return the compute provider of this name, made once."""
        if name not in self._computes:
            made = self._providers.get(("compute", name))
            self._computes[name] = made or self.index.load("flow.computes", name)()
        return self._computes[name]

    def environment(self, name: str) -> tuple[Environment, str]:
        """Return an environment provider, and the version of its distribution; made each time.

        Since 0.1.
        """
        ready = self._providers.get(("environment", name))
        if ready is not None:
            return ready, ""
        from flow_core.step_environments import make_provider

        return make_provider(self, name)

    @cached_property
    def environments(self) -> StepEnvironments:
        """The environments of the flow's steps. Since 0.1."""
        from flow_core.step_environments import StepEnvironments  # most flows have none

        return StepEnvironments(self)

    @property
    def has_environments(self) -> bool:
        """Whether any step runs in another Python than the launcher. Since 0.1."""
        return any(plan.environment is not None for plan in self.plans.values())

    @property
    def is_sent(self) -> bool:
        """Whether other processes get the flow class by value. Since 0.1."""
        return self._sent is not None

    # --- Runtime (for compute providers) --------------------------------------------------------

    @property
    def flow_name(self) -> str:
        """Name of the flow."""
        return self.definition.name

    @property
    def document(self) -> dict[str, Any]:
        """JSON data from which `from_document` rebuilds this session in another process."""
        assert self.flow is not None
        own = self.document_of(self.graph.file, self.flow.__name__, self.flow.__module__)
        return {**own, "configs": self._encoded_configs()}

    @property
    def elsewhere(self) -> dict[str, Any]:
        """JSON data from which `flow_core.remote_task` rebuilds this session on another machine,
        where the flow's code comes from the run's snapshot."""
        document = {**self.document, "file": "", "path": []}
        if document["sent"] is not None and self.flow is not None:
            from flow_core.byvalue import sources

            document["sent"] = {**document["sent"], "sources": sources(self.flow)}
        return {**document, "settings": {"datastore": self.store_text()}}

    def elsewhere_settings(self) -> dict[str, str]:
        """See `flow_core.interfaces.Runtime`."""
        return self.settings.elsewhere()

    def luggage(self, store_url: str) -> Luggage:
        """See `flow_core.interfaces.Runtime`; the session's own store counts."""
        return self.environments.luggage_elsewhere

    def document_of(self, file: str, flow: str, module: str = "__main__") -> dict[str, Any]:
        """Return what `document` is, but for the flow of another file, such as an older copy; its
        configurations are not in it.

        Args:
            file: path of the file.
            flow: name of the flow class.
            module: the module to import; ``__main__`` = the file is run.

        Since 0.1.
        """
        return {
            "format": FORMAT,
            "file": file,
            "flow": flow,
            "module": module,
            "arguments": sys.argv,
            "settings": {**self.settings.overrides(), "datastore": self.store_text()},
            "decorators": self._decorators,
            "plugins": self._choices,
            "path": _own_path(),
            "python": _python(),
            "sent": self._sent,
        }

    @cached_property
    def _sent(self) -> dict[str, Any] | None:
        """The flow class as JSON data, where others cannot, or should not, load it."""
        if not self._by_value:
            return None
        from flow_core.byvalue import pack_flow

        assert self.flow is not None
        try:
            return pack_flow(self.flow)
        except DefinitionError:
            if "<locals>" in self.flow.__qualname__ or not os.path.isfile(self.graph.file):
                raise
            return None  # then its file is loaded once more, where it makes what cannot be sent

    def _encoded_configs(self) -> dict[str, Any]:
        if not self.configs:
            return {}
        from flow_core.config import encode_values

        return encode_values(self.configs)

    def store_text(self) -> str:
        """Return the text that names the store, with its place where that is already known."""
        text: str = self.store.url if "store" in self.__dict__ else self.settings["datastore"]
        return text

    @classmethod
    def from_document(
        cls,
        document: Mapping[str, Any],
        *,
        modules: Sequence[Any] = (),
        providers: Mapping[tuple[str, str], Any] | None = None,
    ) -> Session:
        """Undo `document`: load the flow file and the plugins in this process.

        Args:
            document: see there.
            modules, providers: as for a `Session`.
        """
        check_format(document, "session document")
        sys.argv = list(document["arguments"])
        settings = Settings(warn=lambda *_: None)  # the launcher has told
        chosen = dict(document["settings"])
        _take_over(settings, chosen)
        sys.path[:] = dict.fromkeys([*document["path"], *sys.path])
        _import_offering(document["plugins"])
        session = cls(
            _load(document),
            settings=settings,
            decorators=document["decorators"],
            plugins=document["plugins"],
            modules=modules,
            providers=providers,
        )
        session.__dict__["_sent"] = document["sent"]  # it is passed on as it came
        if document.get("configs"):
            from flow_core.config import decode_values

            session.use_configs(decode_values(document["configs"]))
        if chosen and session.plugins:  # those of plugins are declared when these are loaded
            _take_over(settings, chosen)
        if document["python"] != _python():  # what the launcher has found sound may not be so here
            session.plugins.require_sound()
        return session

    def plan(self, step: str) -> TaskPlan:
        """Return the plan of a step.

        Raises:
            NotFound: the flow has no such step.
        """
        if step not in self.plans:
            raise NotFound(
                f"Flow '{self.flow_name}' has no step '{step}'",
                where=self.graph.file,
                hint=did_you_mean(step, self.plans),
            )
        return self.plans[step]

    def setting(self, name: str) -> Any:
        """Return a setting's value."""
        return self.settings[name]

    def run_attempt(
        self,
        task: TaskSpec,
        begin: Callable[[], object] | None = None,
        committed: Callable[[bytes], object] | None = None,
    ) -> int:
        """Run one attempt in this process; see `flow_core.task.TaskRunner`."""
        try:
            runner = self._runner_of(task)
        except FlowError as error:
            from flow_core.task import cannot_begin

            return cannot_begin(task, error)
        return runner.run_attempt(task, begin, committed)

    def _runner_of(self, task: TaskSpec) -> TaskRunner:
        if hasattr(self.store, "expect_answers"):
            self.store.expect_answers()
        runner = self._runner
        if runner is not None and runner.run == (task.flow, task.run):
            return runner
        from flow_core.task import TaskRunner

        adopted = self._adopted
        if adopted is None or (adopted.flow, adopted.run) != (task.flow, task.run):
            adopted = self.run_document(task.flow, task.run)
        return TaskRunner(self, adopted)

    def get_ready(self) -> None:
        """Import what each attempt would import for itself, and make what each would make."""
        importlib.import_module("flow_core.task")
        importlib.import_module("flow_core.pickling")
        _ = self.plans
        if self._store_is_forkable():
            _ = self.artifacts

    def adopt_run(self, document: bytes) -> None:
        """Keep the content of a ``run.json`` for attempts of that run, and open what they need."""
        self._adopted = RunDocument.decode(document, "run.json, from the launcher")
        if self._store_is_forkable():
            from flow_core.task import TaskRunner

            self._runner = TaskRunner(self, self._adopted)

    # --- runs -----------------------------------------------------------------------------------

    def run_document(self, flow: str, run: str) -> RunDocument:
        """Return the ``run.json`` of a run; `NotFound` when there is none.

        It never changes, so that those asked for last are kept.
        """
        found = self._documents.get((flow, run))
        if found is None:
            key = run_key(flow, run)
            raw = next(iter(self.store.read([key])))
            if raw is None:
                raise NotFound(f"There is no run {flow}/{run}", where=self.store.url)
            found = RunDocument.decode(raw, key)
            self.keep_document(found)
        return found

    def keep_document(self, document: RunDocument) -> None:
        """Keep the ``run.json`` of a run, which `run_document` then need not read."""
        while len(self._documents) >= _DOCUMENTS:
            del self._documents[next(iter(self._documents))]
        self._documents[document.flow, document.run] = document

    def check(self) -> None:
        """Raise what stands in the way of a run: broken plugins, lint, providers that do not fit."""
        self.index.require(*self.settings.lookup("required_plugins"))
        self.plugins.require_sound()
        self.settings.check_names()
        problems = self.problems()
        if problems:
            raise LintError(self.definition.name, problems)
        self._check_default_environment()
        for plan in self.plans.values():
            self._check_plan(plan)
        check_gangs(self)

    def _check_store(self) -> None:
        """Raise what is wrong with the choice of the store here, and not in every task."""
        name = self.settings["datastore"].partition("://")[0]
        if ("store", name) not in self._providers:
            self.index.find_opener("flow.stores", self.settings["datastore"])
        _ = self.settings["inline_limit"], self.settings["blob_cache_size"]
        _ = self._preferred_serializers()

    def _check_reach(self) -> None:
        """Raise where tasks run in other processes, and only this one sees the store."""
        if not self.store.capabilities.in_process:
            return
        for plan in self.plans.values():
            if not self.compute(plan.compute).capabilities.foreground:
                raise PluginError(
                    f"Tasks would not see the store {self.store.url}",
                    where=f"step '{plan.step}', compute '{plan.compute}'",
                    why="it lies in the memory of this process, and they run in others",
                    hint="--compute in-process, or a store of which all know: --datastore local",
                )

    def _check_plan(self, plan: TaskPlan) -> None:
        capabilities: ComputeCapabilities = self.compute(plan.compute).capabilities
        if plan.environment is not None:
            self._check_environment(plan, plan.environment, capabilities)
        if capabilities.needs_shared_store and not self.store.capabilities.shared:
            raise PluginError(
                f"compute '{plan.compute}' needs a shared store; "
                f"'{self.settings['datastore']}' is not",
                where=f"step '{plan.step}'",
                hint="--datastore s3://bucket/prefix",
            )

    def _check_default_environment(self) -> None:
        """Raise where the setting names no provider, though each step may ask for one itself."""
        chosen = self.settings["environment"]
        if chosen not in ("", LOCAL):
            from flow_core.step_environments import find_provider

            find_provider(self.index, chosen)

    def _check_environment(self, plan: TaskPlan, name: str, compute: ComputeCapabilities) -> None:
        able = self.environment(name)[0].capabilities
        if not (compute.interpreters or compute.environments):
            raise PluginError(
                f"Step '{plan.step}' asks for an environment of '{name}'; compute '{plan.compute}' "
                "runs its tasks in no other Python than the launcher's",
                where=f"step '{plan.step}'",
                hint="--environment local, to run it without; or another --compute",
            )
        if compute.platform is not None and not able.other_platforms:
            from flow_core.environments import this_platform

            if compute.platform != this_platform():
                raise PluginError(
                    f"Step '{plan.step}' runs on {compute.platform}; the environment provider "
                    f"'{name}' makes environments for {this_platform()} only",
                    where=f"step '{plan.step}'",
                    hint=f"start the run on {compute.platform}, or choose another environment",
                )

    def prepare_run(self) -> None:
        """Check the flow, and let compute providers fork while this process is fit for it.

        `execute` does so. Who reads the store before, does it first: at its first request a store
        may start threads, with which nothing can be forked any more. Since 0.1.

        Raises:
            FlowError: what stands in the way of a run; see `check`.
        """
        if self._prepared:
            return
        self.share_process()
        self.start()
        self.check()
        self._check_store()
        self.close_index()  # compute providers may fork now: nothing may be open
        for name in sorted({p.compute for p in self.plans.values()}):
            self.compute(name).prepare(self)
        self._prepared = True

    def execute(self, request: RunRequest) -> RunResult:
        """Run the flow to its end.

        Raises:
            FlowError: it could not be started.
            RunFailed: it ended without success; the run is recorded and can be resumed.
        """
        from flow_core.run import (
            describe_run,
            end_is_told,
            register_run,
            run_failed,
            store_is_told,
        )
        from flow_core.scheduler import Scheduler, interrupts_waiting

        self.prepare_run()
        workers, source = self.settings.lookup("max_workers")
        workers = request.max_workers or workers
        chosen = request.max_workers is not None or source != "default"
        try:
            if chosen:
                check_sizes(self.graph, workers)
            with store_is_told(self):
                self._check_reach()
                document = describe_run(self, request)
            if self.has_environments:
                self.environments.prepare()
            with interrupts_waiting():
                with store_is_told(self):
                    document = register_run(self, document, request.run_id_file)
                with end_is_told(self, document):
                    result = Scheduler(self, document, workers, chosen).execute()
        finally:
            self._close_computes()  # where the run did not come to its end, or even to its start
        if result.state is not RunState.SUCCEEDED:
            raise run_failed(document, result, self.graph.file, self)
        return result

    def close(self) -> None:
        """End the session: plugins are told, the index and compute providers are closed.

        Safe to call twice.
        """
        try:
            if self._started:
                self._started = False
                self.plugins.hook.flow_session_finished(session=self)
        finally:
            self.close_index()
            self._close_environments()
            self._close_computes()  # that were made to be asked for what they can do

    def _close_environments(self) -> None:
        environments = self.__dict__.pop("environments", None)
        if environments is not None:
            environments.close()

    def _close_computes(self) -> None:
        self._prepared = False
        while self._computes:
            _, compute = self._computes.popitem()
            compute.close()

    def _store_is_forkable(self) -> bool:
        name = self.settings["datastore"].partition("://")[0]
        provider = self._providers.get(("store", name))
        if provider is None:
            provider = self.index.find_opener("flow.stores", self.settings["datastore"]).load()
        # A class that knows its capabilities only when it is made does not say so: then it is not.
        capabilities = getattr(provider, "capabilities", None)
        return isinstance(capabilities, StoreCapabilities) and capabilities.forkable

    def close_index(self) -> None:
        """Close the index, which is opened anew when it is used: before compute providers fork."""
        metadata = self.__dict__.pop("metadata", None)
        if metadata is not None:
            metadata.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_DOCUMENTS = 16
"""How many documents of runs a session keeps."""


def _take_over(settings: Settings, chosen: dict[str, Any]) -> None:
    """Move the values that the launcher chose to ``settings``, where they are declared."""
    for name in [s.name for s in settings.declared() if s.name in chosen]:
        settings.override(name, chosen.pop(name), "launcher")


def _offering(modules: Sequence[Any]) -> list[str]:
    """Return the names of the modules among hook modules that offer providers, too."""
    return [m.__name__ for m in modules if isinstance(m, ModuleType) and hasattr(m, "__flow__")]


def _import_offering(choices: Sequence[str]) -> None:
    """Import the modules that offer providers, so that the file of a flow can import these from
    `flow_core` whatever the settings of this process say."""
    for entry in PluginIndex([]).with_modules(hook_modules(choices)).entry_points:
        with suppress(Exception):  # the session tells it
            importlib.import_module(entry.distribution)


def _python() -> list[str]:
    """Return where this Python has its packages, and its version."""
    return [sys.prefix, f"{sys.version_info[0]}.{sys.version_info[1]}"]


def _load(document: Mapping[str, Any]) -> type[FlowSpec]:
    if document["sent"] is None:
        try:
            return load_flow(f"{document['file']}:{document['flow']}", document["module"])
        except DefinitionError as error:
            missing = getattr(error.__cause__, "name", None)
            if isinstance(error.__cause__, ModuleNotFoundError) and document["python"] != _python():
                raise DefinitionError(
                    f"The flow's file imports '{missing}', which the environment of the step lacks",
                    where=error.where,
                    why=f"there is no module '{missing}' in {sys.prefix}",
                    hint="import it inside of the steps that use it, or ask for it in this "
                    "environment, too",
                ) from error
            raise
    (_, theirs), (_, ours) = document["python"], _python()
    if theirs != ours:
        raise DefinitionError(
            f"Flow '{document['flow']}' cannot run in Python {ours}: it is sent to its tasks by Python "
            f"{theirs}",
            where=sys.executable,
            why="a flow of a notebook, or of functions, is sent by value, and Python can read such "
            "code only in the version that wrote it",
            hint=f"put the flow into a file of its own, or let its tasks have Python {theirs}: an image "
            "or an environment with it",
        )
    from flow_core.byvalue import unpack_flow

    return unpack_flow(document["sent"])


def _own_path() -> list[str]:
    """Return the folders that this program added to where modules are found; those of its Python
    are another Python's own matter."""
    import sysconfig  # only where tasks are not forked

    pythons = [sysconfig.get_path(n) for n in ("stdlib", "platstdlib", "purelib", "platlib")]
    found = [os.path.abspath(place) for place in sys.path]
    return [p for p in found if not _is_of_python(p, pythons)]


def _is_of_python(path: str, folders: Sequence[str]) -> bool:
    name = os.path.basename(path)
    below = any(path == f or path.startswith(f + os.sep) for f in folders)
    return below or name in ("site-packages", "dist-packages") or name.startswith("python3")


def _read_graph(definition: FlowDefinition) -> Graph:
    steps = definition.steps
    return read_graph(
        definition.name,
        definition.cls,
        {name: s.function for name, s in steps.items()},
        {
            name: (*(u.name for u in s.uses), *(a.name for a in s.attached))
            for name, s in steps.items()
        },
    )
