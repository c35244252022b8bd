"""The environments of a flow's steps: what each asks for, its lock, and the interpreter built from it.

All this is done in the launcher, before the first task: locks are resolved before there is a run, so
that one which cannot be is no failed run, and environments are built at the same time. Some compute
providers build them where their tasks run: of those only the locks are made here.
"""

from __future__ import annotations

import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from flow_core.environments import (
    EnvironmentBuilder,
    EnvironmentLock,
    ReadyEnvironment,
    canonical,
    hold_environment,
    needing_room,
    request_digest,
    this_platform,
)
from flow_core.errors import (
    FlowError,
    NoEnvironment,
    PluginError,
    UnknownName,
    did_you_mean,
    near_misses,
)
from flow_core.interfaces import Environment, EnvironmentRequest, TaskCommand
from flow_core.mirror import StoreMirror
from flow_core.plan import LOCAL, TaskPlan
from flow_core.plugins import DECORATOR_GROUP
from flow_core.plugins import GROUP as PLUGIN_GROUP
from flow_core.records import EnvironmentProgress, RunDocument
from flow_core.scheduler import INTERRUPTS
from flow_core.travel import CORE, Luggage, check_lock, pack, unpack

_COMPUTES = "flow.computes"

if TYPE_CHECKING:
    from flow_core.index import EntryPoint, PluginIndex
    from flow_core.session import Session

GROUP = "flow.environments"
_AT_ONCE = 4  # environments that are built at the same time: they share a disk and a network
_NAMED = 3  # steps that an error names of those which want the same environment

_ENDS = {"resolving": "resolved", "building": "ready"}

T = TypeVar("T")
_Job = Callable[[Callable[[str, "float | None"], None], threading.Event], T]


class _Resolved(NamedTuple):
    """The lock of a step, and the hash of what the step asked for."""

    lock: EnvironmentLock
    request: str


class StepEnvironments:
    """See the module.

    Args:
        session: a session of the flow.

    Since 0.1.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._resolved: dict[str, _Resolved] = {}
        self._ready: dict[str, ReadyEnvironment] = {}  # by the hash of the lock
        self._runtimes: dict[str, str] = {}
        self._held: list[int] = []  # descriptors: nobody removes what is used
        self._mirror = StoreMirror(lambda: session.store)

    # --- locks ----------------------------------------------------------------------------------

    def lock(self, step: str) -> EnvironmentLock | None:
        """Return the lock of a step; None when it has no environment. Resolved, if it is not yet."""
        if self._session.plans[step].environment is None:
            return None
        self.resolve([step])
        return self._resolved[step].lock

    def known(self, step: str) -> EnvironmentLock | None:
        """Return the lock of a step as far as it is known here: nothing is resolved."""
        provider = self._session.plans[step].environment
        if provider is None or step in self._resolved:
            return self._resolved[step].lock if provider is not None else None
        return self.builder(provider).known(self._request(self._session.plans[step]))

    def use(self, step: str, lock: EnvironmentLock) -> None:
        """Let a step have this lock, whatever it asks for; `prepare` builds it.

        Args:
            step: any name will do, also of what is no step of today's flow.
            lock: of a run, or of a file.
        """
        self._resolved[step] = _Resolved(lock, "")

    def resolve(
        self,
        steps: Iterable[str] | None = None,
        earlier: RunDocument | None = None,
        *,
        as_there: bool = False,
    ) -> None:
        """Find the locks of steps, as far as they are not known.

        Args:
            steps: names of steps; None = all.
            earlier: the run that goes on: a step which asks for the same has the lock that it had
                there, unless the setting ``relock`` is on.
            as_there: a step has the lock that it had there whatever it, or this flow-core, asks for.

        Raises:
            FlowError: nothing fits what a step asks for.
        """
        plans = self._session.plans
        wanted = [name for name in (plans if steps is None else steps) if plans[name].environment]
        requests = {n: self._request(plans[n]) for n in wanted if n not in self._resolved}
        anew = bool(self._session.settings["relock"])
        groups: dict[tuple[str, str], list[str]] = {}
        for step, request in requests.items():
            key = (str(plans[step].environment), request_digest(request))
            kept = None
            if earlier is not None and (as_there or not anew):
                kept = self._kept(earlier, step, key[0], None if as_there else key[1])
            if kept is not None:
                self._resolved[step] = _Resolved(kept, key[1])
            else:
                groups.setdefault(key, []).append(step)

        def job(key: tuple[str, str], tell: Any, cancelled: threading.Event) -> EnvironmentLock:
            builder = self.builder(key[0], tell, cancelled)
            return builder.resolve(requests[groups[key][0]], anew=anew)

        for key, steps_of in groups.items():
            known = None if anew else self.builder(key[0]).known(requests[steps_of[0]])
            if known is not None:
                self._resolved.update({s: _Resolved(known, key[1]) for s in steps_of})
        waiting = {
            key: steps_of for key, steps_of in groups.items() if steps_of[0] not in self._resolved
        }
        jobs = {key: partial(job, key) for key in waiting}
        for key, lock in self._all(jobs, "resolving", waiting).items():
            self._resolved.update({step: _Resolved(lock, key[1]) for step in waiting[key]})

    def _kept(
        self, earlier: RunDocument, step: str, provider: str, digest: str | None
    ) -> EnvironmentLock | None:
        found = earlier.environments.get(step)
        if found is None or found["provider"] != provider:
            return None
        if digest is not None and found["request"] != digest:
            return None
        return read_lock(self._session, earlier, step)

    def record(self) -> dict[str, dict[str, str]]:
        """Store the locks; return what `RunDocument.environments` is."""
        return {
            step: {
                "provider": found.lock.provider,
                "lock": self._session.artifacts.put_bytes(found.lock.text.encode()),
                "request": found.request,
            }
            for step, found in sorted(self._resolved.items())
        }

    def of_run(self, document: RunDocument, step: str) -> TaskCommand:
        """Return how a process is started in the environment that a step had in a run, whatever it
        asks for today. It is built, if it is not on this machine.

        Works also in a session without a flow. Without an environment, or where the setting
        ``environment`` is ``local``, the command asks for nothing.

        Raises:
            FlowError: it cannot be built.
        """
        command = TaskCommand()
        if step in document.environments and self._session.settings["environment"] != LOCAL:
            lock = read_lock(self._session, document, step)
            self._resolved[step] = _Resolved(lock, document.environments[step]["request"])
            self.prepare([step])
            self.apply(step, command)
        return command

    def _request(self, plan: TaskPlan) -> EnvironmentRequest:
        session = self._session
        compute = session.compute(plan.compute)
        step = session.definition.steps[plan.step]
        further = session.plugins.hook.flow_environment_requirements(step=step, plan=plan)
        required = {*self.luggage.compiled, *(text for more in further for text in more or ())}
        try:
            canonical(dict(plan.environment_options))
        except (TypeError, ValueError) as error:
            raise PluginError(
                f"What step '{plan.step}' asks of '{plan.environment}' is no JSON data",
                where=f"step '{plan.step}'",
                why=str(error),
                hint="a plugin passed it to use_environment: dicts with text keys, lists, texts, "
                "numbers, True, False and None are allowed",
            ) from None
        return EnvironmentRequest(
            options=plan.environment_options,
            requirements=tuple(sorted(required)),
            files={name: self._read(plan, name) for name in plan.environment_files},
            platform=compute.capabilities.platform or this_platform(),
            python=f"{sys.version_info[0]}.{sys.version_info[1]}",
        )

    def _read(self, plan: TaskPlan, name: str) -> str:
        folder = os.path.dirname(os.path.abspath(self._session.graph.file))
        path = os.path.join(folder, os.path.expanduser(name))
        try:
            with open(path, encoding="utf-8") as file:
                return file.read()
        except (OSError, UnicodeDecodeError) as error:
            place = os.path.dirname(path)
            others = os.listdir(place) if os.path.isdir(place) else []
            near = near_misses(os.path.basename(path), others)
            raise NoEnvironment(
                f"The file '{name}' cannot be read, which says what step '{plan.step}' needs",
                where=path,
                why=getattr(error, "strerror", None) or str(error),
                hint="did you mean " + " or ".join(f"'{n}'" for n in near) + "?"
                if near
                else "paths are relative to the folder of the flow's file",
            ) from None

    # --- interpreters ---------------------------------------------------------------------------

    def prepare(self, steps: Iterable[str] | None = None) -> None:
        """Build the environments of resolved steps, as far as they are not on this machine.

        Args:
            steps: names of steps; None = all but those whose compute provider builds them itself.

        Raises:
            FlowError: one cannot be built.
        """
        groups: dict[str, list[str]] = {}
        for step, found in self._resolved.items():
            if step in steps if steps is not None else not self.is_built_there(step):
                groups.setdefault(found.lock.hash, []).append(step)
        locks = {h: self._resolved[of[0]].lock for h, of in groups.items() if h not in self._ready}
        for digest, lock in locks.items():
            here = self.builder(lock.provider).find(lock)
            if here is not None and self._hold(here):
                self._ready[digest] = here
        missing = {
            (lock.provider, digest): groups[digest]
            for digest, lock in locks.items()
            if digest not in self._ready
        }
        for provider, digest in missing:
            check_lock(self.luggage, EnvironmentLock(provider, digest, locks[digest].text))

        def job(digest: str, tell: Any, cancelled: threading.Event) -> ReadyEnvironment:
            return self.builder(locks[digest].provider, tell, cancelled).prepare(locks[digest])

        jobs = {key: partial(job, key[1]) for key in missing}
        built = self._all(jobs, "building", missing)
        for (_, digest), ready in built.items():
            if not self._hold(ready):
                raise _removed(ready)
            self._ready[digest] = ready
        for digest in groups:
            self._equip(digest, groups[digest])

    def mirror(self, steps: Iterable[str]) -> None:
        """Have the packages of resolved steps kept in the datastore, though they are built already:
        each is built once more, aside. The setting ``mirror_packages`` must be on.

        Raises:
            FlowError: one cannot be built, or the datastore cannot be reached.
        """
        groups: dict[tuple[str, str], list[str]] = {}
        locks = {}
        for step in steps:
            lock = self._resolved[step].lock
            groups.setdefault((lock.provider, lock.hash), []).append(step)
            locks[lock.hash] = lock

        def job(digest: str, tell: Any, cancelled: threading.Event) -> None:
            self.builder(locks[digest].provider, tell, cancelled).try_out(locks[digest])

        jobs = {key: partial(job, key[1]) for key in groups}
        self._all(jobs, "building", groups)

    def _hold(self, ready: ReadyEnvironment) -> bool:
        """Let nobody remove an environment until `close`; say whether it is still there."""
        descriptor = hold_environment(ready)
        if descriptor is not None:
            self._held.append(descriptor)
        return descriptor is not None

    def close(self) -> None:
        """Let go of the environments, which then can be removed. Safe to call twice."""
        self._ready.clear()
        while self._held:
            os.close(self._held.pop())

    def _equip(self, digest: str, steps: list[str]) -> None:
        """Put together what the interpreter lacks of flow-core."""
        ready = self._ready[digest]
        if digest not in self._runtimes:
            with needing_room(self.root):
                self._runtimes[digest] = unpack(
                    self.luggage, ready, os.path.join(self.root, ".runtime")
                )
        own = f"{sys.version_info[0]}.{sys.version_info[1]}"
        if self._session.is_sent and ready.python_minor != own:
            raise NoEnvironment(
                f"Step '{steps[0]}' cannot run in Python {ready.python_minor}: this flow is sent to "
                f"its tasks by Python {own}",
                where=f"environment {ready.name}",
                why="a flow of a notebook, or of functions, is sent by value, and Python can read "
                "such code only in the version that wrote it",
                hint=f"put the flow into a file of its own, or ask for python='{own}'",
            )

    def ready(self, step: str) -> ReadyEnvironment:
        """Return the environment of a step that was prepared."""
        return self._ready[self._resolved[step].lock.hash]

    def is_built_there(self, step: str) -> bool:
        """Whether the compute provider of a step builds its environment, where the tasks run."""
        plan = self._session.plans.get(step)
        if plan is None:
            return False
        return self._session.compute(plan.compute).capabilities.environments

    def choose(self, step: str, command: TaskCommand) -> None:
        """Let an attempt of a step run in its environment, wherever that is built."""
        if self.is_built_there(step):
            command.lock = self._resolved[step].lock
        else:
            self.apply(step, command)

    def apply(self, step: str, command: TaskCommand) -> None:
        """Let a process of this machine run in the environment of a step that was prepared."""
        ready = self.ready(step)
        command.interpreter = ready.interpreter
        command.runtime = self._runtimes[ready.lock]
        command.variables = {**self._variables(ready), **command.variables}

    def build(
        self, lock: EnvironmentLock, tell: Callable[[str, float | None], None] | None = None
    ) -> TaskCommand:
        """Return how a process is started in the environment of a lock. It is built, if it is not on
        this machine, and nobody removes it until `close`.

        Args:
            lock: of a run, or of a file.
            tell: called with what the provider tells: a line, and how much is done, 0 to 1, or None.

        Raises:
            FlowError: it cannot be built.
        """
        builder = self.builder(lock.provider, tell)
        if builder.find(lock) is None:
            check_lock(self.luggage, lock)
        ready = builder.prepare(lock)
        if not self._hold(ready):
            raise _removed(ready)
        self.use(lock.name, lock)
        self._ready[lock.hash] = ready
        self._equip(lock.hash, [lock.name])
        command = TaskCommand()
        self.apply(lock.name, command)
        return command

    def _variables(self, ready: ReadyEnvironment) -> dict[str, str]:
        given = self._session.settings.script_environment()
        programs = os.path.dirname(ready.interpreter)
        found = {
            "PATH": os.pathsep.join(filter(None, (programs, given.get("PATH")))),
            "PYTHONNOUSERSITE": "1",  # packages of the person's own are in no lock
        }
        # Those of the launcher's environment would lead programs astray; empty is as good as unset.
        found.update({name: "" for name in ("PYTHONHOME", "VIRTUAL_ENV") if name in given})
        return {**found, **ready.variables}

    # --- around -----------------------------------------------------------------------------------

    @property
    def root(self) -> str:
        """The folder of this machine below which environments of all providers lie."""
        settings = self._session.settings
        chosen: str = settings["environments"]
        if chosen:
            return os.path.abspath(os.path.expanduser(chosen))
        return os.path.join(settings.cache_folder(), "environments")

    def builder(
        self,
        name: str,
        tell: Callable[[str, float | None], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> EnvironmentBuilder:
        """Return what resolves, builds and exports the environments of one provider, with the
        settings of the session.

        Args:
            name: name of the provider.
            tell: called with what it tells: a line, and how much is done, 0 to 1, or None.
            cancelled: set when nobody wants the work any more.

        Raises:
            PluginError: no plugin provides it.
        """
        provider, version = self._session.environment(name)
        return EnvironmentBuilder(
            name,
            provider,
            self.root,
            setting=self._session.setting,
            offline=self._session.settings["offline"],
            tell=tell,
            cancelled=cancelled,
            version=version,
            mirror=self._mirror,
        )

    @cached_property
    def luggage(self) -> Luggage:
        """What goes along to an interpreter without flow-core. Since 0.1."""
        return self._pack(())

    @cached_property
    def luggage_elsewhere(self) -> Luggage:
        """What goes along to another machine: what builds environments there, too. Since 0.1."""
        built = {
            plan.environment
            for step, plan in self._session.plans.items()
            if plan.environment is not None and self.is_built_there(step)
        }
        entries = self._session.index.entry_points
        return self._pack({e.distribution for e in entries if e.group == GROUP and e.name in built})

    def _pack(self, makers: Collection[str]) -> Luggage:
        index = self._session.index
        if self._session.flow is None:  # which decorators the flow has is not known
            return pack(index, (), {e.distribution for e in index.entry_points})
        acting = self._acting()
        groups = {PLUGIN_GROUP}
        if any(plan.secrets for plan in self._session.plans.values()):
            groups.add("flow.secrets")  # whichever of them the settings choose
        loaded = {
            e.distribution
            for e in index.entry_points
            if e.group in groups and (e.group != PLUGIN_GROUP or e.name in acting)
        }
        # What a plugin talks to a cluster with, a task has no use for.
        loaded -= {e.distribution for e in index.entry_points if e.group == _COMPUTES}
        return pack(index, {*self._used(), *makers}, loaded)

    def _acting(self) -> set[str]:
        """Return the names of the hook modules that do more than to declare settings. What only those
        require that do not would be seen by the step, which nobody has promised it."""
        manager = self._session.plugins.manager
        return {
            name
            for name, plugin in manager.list_name_plugin()
            if any(hook.name != "flow_settings" for hook in manager.get_hookcallers(plugin) or ())
        }

    def _used(self) -> set[str]:
        """Return the distributions that tasks cannot do without.

        One that makes environments does that here, before there are tasks: for its decorators alone
        nobody needs what it solves and installs with. So it is with one that starts tasks elsewhere,
        and what it talks to a cluster with.
        """
        session = self._session
        index, names = session.index, session.definition.decorator_names()
        store = index.find_opener("flow.stores", session.settings["datastore"])
        metadata = session.settings.index_place(index.names("flow.metadata")).partition("://")[0]
        wanted = {
            "flow.decorators": {*names},
            "flow.decorator_hooks": {*names},
            store.group: {store.name},
            "flow.metadata": {metadata},
        }
        makers = {e.distribution for e in index.entry_points if e.group in (GROUP, _COMPUTES)}
        found = {CORE}
        for entry in index.entry_points:
            of_decorators = entry.group.startswith("flow.decorator")
            if entry.name in wanted.get(entry.group, ()) and not (
                of_decorators and entry.distribution in makers
            ):
                found.add(entry.distribution)
        return found

    def _progress(
        self, state: str, steps: Mapping[tuple[str, str], list[str]]
    ) -> Callable[[tuple[str, str], str, str, float | None], None]:
        def emit(key: tuple[str, str], kind: str, text: str, part: float | None) -> None:
            lock = key[1] if state == "building" else ""
            of = tuple(sorted(steps[key]))
            told = {"end": _ENDS[state], "failed": "failed"}.get(kind, state)
            self._session.emit(EnvironmentProgress(key[0], of, told, text, part, lock, time.time()))

        return emit

    def _all(
        self,
        jobs: Mapping[tuple[str, str], _Job[T]],
        state: str,
        steps: Mapping[tuple[str, str], list[str]],
    ) -> dict[tuple[str, str], T]:
        """Do all jobs at the same time; the first error, or Ctrl-C, ends all.

        Only this thread tells of the progress: listeners need not know of threads.
        """
        progress = self._progress(state, steps)
        news: queue.SimpleQueue[tuple[tuple[str, str], str, Any, Any]] = queue.SimpleQueue()
        cancelled = threading.Event()
        slots = threading.Semaphore(_AT_ONCE)

        def work(key: tuple[str, str]) -> None:
            with slots:
                try:
                    news.put((key, "begin", "", None))
                    tell = partial(_put, news, key)
                    if cancelled.is_set():
                        raise KeyboardInterrupt
                    news.put((key, "done", jobs[key](tell, cancelled), None))
                except BaseException as error:  # it belongs to who waits for the result
                    news.put((key, "failed", error, None))

        threads = [
            threading.Thread(target=work, args=(key,), name=f"environment {key[0]}") for key in jobs
        ]
        found: dict[tuple[str, str], T] = {}
        begun: set[tuple[str, str]] = set()
        with _interrupts() if jobs else nullcontext():
            try:
                for thread in threads:
                    thread.start()
                while len(found) < len(jobs):
                    key, kind, text, part = news.get()
                    if kind == "failed":
                        raise text
                    if kind == "done":
                        found[key] = text
                        begun.discard(key)
                        progress(key, "end", "", None)
                    else:
                        begun.add(key)
                        progress(key, kind, text, part)
            except FlowError as error:
                begun.discard(key)
                progress(key, "failed", "", None)
                error.where = ", ".join(filter(None, (self._told(steps[key]), error.where)))
                raise
            finally:
                cancelled.set()
                for thread in threads:
                    if thread.ident is not None:
                        thread.join()
                for key in sorted(begun):
                    progress(key, "failed", "given up", None)
        return found

    def _told(self, steps: Sequence[str]) -> str:
        """Return who wants an environment, for errors: steps of today's flow, or what `use` was told."""
        own = self._session.plans if self._session.flow is not None else {}
        shown = [f"step '{n}'" if n in own else n for n in steps[:_NAMED]]
        more = len(steps) - len(shown)
        return ", ".join(shown) + (f" and {more} more" if more else "")


def _removed(ready: ReadyEnvironment) -> NoEnvironment:
    return NoEnvironment(
        f"The environment {ready.name} was removed while it was built",
        where=ready.folder,
        hint="try again",
    )


def build_environment(
    session: Session,
    provider: str,
    digest: str,
    tell: Callable[[str, float | None], None] | None = None,
) -> TaskCommand:
    """Return how a process of this machine is started in an environment whose lock is in the store.

    For where tasks run, with `TaskCommand.lock`: what starts a task there needs flow-core, the
    environment's provider and the store. What is built lies below the setting ``environments``, and
    is found by all tasks of this machine; who comes second waits. Packages come from where the
    provider's settings say, or from the store's mirror.

    Args:
        session: one of the store; of no flow. Nobody removes the environment until it is closed.
        provider: name of the environment provider.
        digest: hash of the lock.
        tell: called with what the provider tells: a line, and how much is done, 0 to 1, or None.

    Returns:
        a command with ``interpreter``, ``runtime`` and ``variables``.

    Raises:
        PluginError: there is no such provider here.
        IntegrityError: the lock is missing, or damaged.
        FlowError: the environment cannot be built.

    Since 0.1.
    """
    what = f"the lock of the environment {provider} {digest[:8]}"
    text = session.artifacts.get_bytes(digest, what).decode()
    return session.environments.build(EnvironmentLock.read(provider, text), tell)


@contextmanager
def _interrupts() -> Iterator[None]:
    """Let what would kill this process interrupt it, so that it takes its programs with it."""
    changed: dict[int, Any] = {}

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is threading.main_thread():
        for number in INTERRUPTS:
            if signal.getsignal(number) is signal.SIG_DFL:
                changed[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, earlier in changed.items():
            signal.signal(number, earlier)


def _put(news: Any, key: tuple[str, str], text: str, part: float | None) -> None:
    news.put((key, "news", text, part))


def read_lock(session: Session, document: RunDocument, step: str) -> EnvironmentLock:
    """Return the lock of a step of a run.

    Args:
        session: reads the store of the run.
        document: the run.
        step: a step that has an environment there.

    Raises:
        IntegrityError: it is damaged or missing.

    Since 0.1.
    """
    found = document.environments[step]
    what = f"the lock of step '{step}' of run {document.flow}/{document.run}"
    text = session.artifacts.get_bytes(found["lock"], what).decode()
    return EnvironmentLock.read(found["provider"], text)


def find_provider(index: PluginIndex, name: str) -> EntryPoint:
    """Return where the environment provider of this name is.

    Raises:
        PluginError: no plugin provides it.
    """
    names = index.names(GROUP)
    if name not in names and near_misses(name, [LOCAL]):
        raise UnknownName(
            f"There is no environment provider '{name}'", hint=did_you_mean(name, [LOCAL, *names])
        )
    return index.find(GROUP, name)


def make_provider(session: Session, name: str) -> tuple[Environment, str]:
    """Return a new environment provider, and the version of its distribution.

    Its settings can be read then, also in a flow that has none of its decorators.

    Raises:
        PluginError: no plugin provides it, or it cannot be made.
    """
    index = session.index
    entry = find_provider(index, name)
    beside = index.group(DECORATOR_GROUP).items()
    session.load_hooks(
        {n for n, entries in beside if any(e.distribution == entry.distribution for e in entries)}
    )
    kind = entry.load()
    try:
        return kind(), entry.version
    except Exception as error:
        raise PluginError(
            f"The environment provider '{name}' cannot be made",
            where=f"plugin '{entry.plugin}' ({entry.distribution} {entry.version})",
            why=f"{type(error).__name__}: {error}",
            hint=f"it is made without arguments; the plugin '{entry.plugin}' is at fault",
        ) from error
