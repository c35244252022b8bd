"""The containers of a run: started, watched, ended."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import json
import math
import os
import platform
import random
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from flow_container.commands import Member, Wanted, run_words, settle
from flow_container.ends import (
    STATE_FORMAT,
    End,
    cannot_start,
    describe_end,
    read_log,
    read_states,
)
from flow_container.engine import DOCKER, PODMAN, Answer, Engine, find_engine
from flow_container.events import EventStream
from flow_container.images import Image, Images
from flow_core.api import FlowError, RunRecord, Runtime, TaskSpec
from flow_remote.backend import Ended, Job, News, Refused, Running, Waiting

_STARTERS = 4  # containers that are started at the same time
_LOOK = 5.0  # seconds between looks at all containers while the runtime tells of events
_LOOK_OFTEN = 1.0  # …while it does not
_GATHER = 0.05  # seconds in which further ends are awaited, for one look at all of them
_PATIENCE = 120.0  # seconds in which a runtime that does not answer may come back
_PORTS = range(20000, 32768)  # below those that systems give to outgoing connections
_LAUNCHER = f"{platform.node()}:{os.getpid()}"
_OVER = ("exited", "stopped", "dead")


class _Tracked:
    """A container of a job, from when it is asked for to when its end is told.

    Attributes:
        started: whether the runtime has it, so that its absence means that somebody removed it.
        cancelled: whether it shall end.
        scratch: the folder in which it was started; ``''`` = not known.
    """

    def __init__(self, name: str, job: str, member: int, engine: Engine) -> None:
        self.name = name
        self.job = job
        self.member = member
        self.engine = engine
        self.image = Image("")
        self.memory = 0.0
        self.started = False
        self.cancelled = False
        self.scratch = ""


class _Found(NamedTuple):
    """A container that the runtime has."""

    name: str
    state: Mapping[str, Any]
    labels: Mapping[str, str]

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.state.get("Status") in ("running", "paused", "stopping")

    @property
    def job(self) -> str:
        """The id of its job."""
        return self.labels.get("flow.job", "")

    @property
    def member(self) -> int:
        """Which of the job's tasks it runs."""
        return int(self.labels.get("flow.member", 0))

    @property
    def is_left(self) -> bool:
        """Whether it has ended, and the launcher that it belonged to is gone."""
        node, _, pid = self.labels.get("flow.launcher", "").partition(":")
        here = node == platform.node() and pid.isdigit()
        return here and not self.runs and not _lives(int(pid))

    @property
    def memory(self) -> float:
        """Megabytes that it may use; 0 = no limit."""
        return float(self.labels.get("flow.memory") or 0)

    @property
    def scratch(self) -> str:
        """The folder in which it was started."""
        return self.labels.get("flow.scratch", "")


class _Launch(NamedTuple):
    """A job whose containers are to be started; ``members`` and ``tracked`` are in one order."""

    job: Job
    wanted: Wanted
    engine: Engine
    members: list[Member]
    tracked: list[_Tracked]


class ContainerBackend:
    """A `flow_remote.backend.Backend` on podman or Docker.

    Args:
        store_url: URL of the run's store: containers are found again by it, by another launcher too.
        mounts: folders of this machine that tasks have at the same paths: that of a local store.
        cache: folder of this machine that keeps runtimes for tasks; ``""`` = each unpacks its own.

    Attributes:
        place: what containers of this store have as their label ``flow.place``.
    """

    def __init__(self, store_url: str = "", mounts: Sequence[str] = (), cache: str = "") -> None:
        self.use_store(store_url, mounts)
        self._cache = cache
        self._news: collections.deque[News] = collections.deque()
        self._lock = threading.Lock()
        self._tracked: dict[str, _Tracked] = {}
        self._engines: dict[str, Engine] = {}
        self._streams: dict[str, EventStream] = {}
        self._silent: dict[str, float] = {}
        self._ports: set[int] = set()
        self._closed = threading.Event()
        self._look_now = threading.Event()
        self._without_init: set[str] = set()
        self._images = Images()
        self._pool = ThreadPoolExecutor(_STARTERS, "containers")
        self._watcher: threading.Thread | None = None

    def use_store(self, store_url: str, mounts: Sequence[str]) -> None:
        """Say which store it is, before `open`; the arguments are those of the class."""
        self.place = hashlib.sha256(store_url.encode()).hexdigest()[:12]
        self._mounts = tuple(mounts)

    # --- Backend ----------------------------------------------------------------------------------

    def open(self, run: RunRecord, runtime: Runtime, wake: Any) -> None:
        """Begin to serve a run; see `flow_remote.backend.Backend.open`."""
        self._run = run
        self._setting = runtime.setting
        self._wake = wake

    def submit(self, jobs: Sequence[Job]) -> Sequence[str | Refused]:
        """Have the containers of jobs started, by threads of this object; return their ids."""
        return [self._submit(job) for job in jobs]

    def news(self) -> Sequence[News]:
        """Return what has happened since the last call."""
        told: list[News] = []
        with contextlib.suppress(IndexError):
            while True:
                told.append(self._news.popleft())
        return told

    def find(self, names: Sequence[str]) -> Mapping[str, str]:
        """Adopt the containers of earlier launchers that still run; remove those that have ended."""
        found: dict[str, str] = {}
        for engine in self._engines_here():
            there = [each for each in self._listed(engine) if each.job in names]
            over = [each.name for each in there if not each.runs]
            if over:
                engine.call("rm", "--force", "--volumes", *over)
            running = [each for each in there if each.runs]
            for each in running:
                self._adopt(engine, each)
            if running:
                self._watch(engine)
            found.update({each.job: each.job for each in running})
        return found

    def _adopt(self, engine: Engine, each: _Found) -> None:
        tracked = _Tracked(each.name, each.job, each.member, engine)
        tracked.started, tracked.scratch, tracked.memory = True, each.scratch, each.memory
        with self._lock:
            self._tracked[each.name] = tracked
        self._tell(Running(each.job, member=each.member))

    def cancel(self, ids: Sequence[str], grace: float) -> None:
        """Ask containers to end, and have the runtime end them by force after ``grace`` seconds."""
        with self._lock:
            chosen = [t for t in self._tracked.values() if t.job in ids]
            for tracked in chosen:
                tracked.cancelled = True
            started = [t for t in chosen if t.started]
        self._stop(started, grace)

    def close(self) -> None:
        """End and remove all containers of this launcher, and what dead ones have left of theirs.

        Raises:
            FlowError: a runtime does not do it, so that some may still run.
        """
        if self._closed.is_set():
            return
        self._closed.set()
        self._look_now.set()
        self._images.close()
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self._watcher is not None:
            self._watcher.join()
        for stream in self._streams.values():
            stream.close()
        left = {engine: self._remove_all(engine) for engine in {*self._engines.values()}}
        for tracked in self._tracked.values():
            _remove_scratch(tracked)
        self._tracked.clear()
        for engine, (names, why) in left.items():
            if names:
                raise _still_there(engine, names, why)

    # --- starting ---------------------------------------------------------------------------------

    def _submit(self, job: Job) -> str | Refused:
        wanted = settle(job.options, job.resources, self._setting)
        try:
            engine = self._engine(wanted.runtime)
        except FlowError as error:
            return Refused(f"{error.what}: {error.why}", error.hint or "")
        launch = self._plan(job, wanted, engine)
        id = launch.tracked[0].job
        with self._lock:
            self._tracked.update({t.name: t for t in launch.tracked})
        self._watch(engine)
        self._images.when_there(
            engine,
            wanted.image,
            wanted.pull,
            then=lambda image: self._soon(launch, image),
            fetching=lambda: self._tell(Waiting(id, f"fetching image {wanted.image}")),
        )
        return id

    def _plan(self, job: Job, wanted: Wanted, engine: Engine) -> _Launch:
        id = job.name
        network = wanted.network or ("host" if job.is_gang else "")
        meeting = self._meeting_place() if job.is_gang else {}
        members: list[Member] = []
        tracked: list[_Tracked] = []
        for number, task in enumerate(job.tasks):
            name = f"{id}-{number}" if job.is_gang else id
            own = {**meeting, **_rank(task), **job.variables[number]}
            labels = {
                "flow.launcher": _LAUNCHER,
                "flow.place": self.place,
                "flow.run": self._run.pathspec,
                "flow.step": task.step,
                "flow.task": str(task.task),
                "flow.attempt": str(task.attempt),
                "flow.job": id,
                "flow.member": str(number),
                "flow.memory": f"{wanted.memory:g}",
            }
            # Members of a network of its own meet in that of the first one.
            joined = network if network == "host" or not number else f"container:{tracked[0].name}"
            members.append(Member(name, job.commands[number], own, labels, joined))
            each = _Tracked(name, id, number, engine)
            each.memory = wanted.memory
            tracked.append(each)
        return _Launch(job, wanted, engine, members, tracked)

    def _meeting_place(self) -> dict[str, str]:
        port = _free_port(self._ports)
        self._ports.add(port)
        return {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "NODE_RANK": "0"}

    def _soon(self, launch: _Launch, image: Image) -> None:
        with contextlib.suppress(RuntimeError):  # the pool is closed: so is the run
            self._pool.submit(self._start, launch, image)

    def _start(self, launch: _Launch, image: Image) -> None:
        """Start all containers of a job, or tell why it cannot be."""
        job = launch.tracked[0].job
        try:
            failed = self._start_all(launch, image)
        except Exception as error:  # nobody waits for this thread: what went wrong ends the job
            failed = Ended(job, cause="launch", message=f"{type(error).__name__}: {error}")
        if failed is not None:
            self._give_up(launch, failed)
            return
        for tracked in launch.tracked:
            self._tell(Running(job, member=tracked.member))
        with self._lock:
            for tracked in launch.tracked:
                tracked.started = True  # from now on it is looked after
            late = [t for t in launch.tracked if t.cancelled]
        if late:
            self._stop(late, 0)

    def _start_all(self, launch: _Launch, image: Image) -> Ended | None:
        for tracked, member in zip(launch.tracked, launch.members, strict=True):
            tracked.image = image
            if tracked.cancelled or self._closed.is_set():
                return Ended(tracked.job, cause="cancelled")
            failed = self._start_one(launch, tracked, member)
            if failed is not None:
                return failed
        return None

    def _start_one(self, launch: _Launch, tracked: _Tracked, member: Member) -> Ended | None:
        """Start a container; return its end where it does not start."""
        ended = Ended(tracked.job, cause="launch")
        if tracked.image.fault:
            return ended._replace(message=tracked.image.fault, hint=tracked.image.hint)
        tracked.scratch = tempfile.mkdtemp(prefix="flow-container-")
        labels = {**member.labels, "flow.scratch": tracked.scratch}
        try:
            answer = self._run_container(launch, member._replace(labels=labels), tracked.scratch)
        except FlowError as error:
            return ended._replace(message=f"{error.what}: {error.why}", hint=error.hint or "")
        return None if answer.ok else cannot_start(ended, answer.words, tracked.image)

    def _run_container(self, launch: _Launch, member: Member, scratch: str) -> Answer:
        engine = launch.engine

        def run() -> Answer:
            init = engine.name not in self._without_init
            words = run_words(
                engine,
                launch.wanted,
                member,
                mounts=self._mounts,
                cache=self._cache,
                folder=launch.job.folder,
                init=init,
            )
            return engine.call(*words, folder=scratch, patience=300)

        answer = run()
        if not answer.ok and "container-init binary" in answer.error:
            self._without_init.add(engine.name)  # an installation without catatonit
            answer = run()
        if not answer.ok and "already in use" in answer.error:
            if self._runs(engine, member.name):
                return answer._replace(status=0)  # an earlier answer was lost
            engine.call("rm", "--force", "--volumes", member.name)
            answer = run()
        return answer

    def _runs(self, engine: Engine, name: str) -> bool:
        answer = engine.call("inspect", "--type", "container", "--format", STATE_FORMAT, name)
        state = read_states(answer.out).get(name, {})
        return state.get("Status") in ("running", "paused")

    def _give_up(self, launch: _Launch, ended: Ended) -> None:
        """End all of a job one container of which did not start."""
        tried = [t.name for t in launch.tracked if t.scratch]
        if tried:
            launch.engine.call("rm", "--force", "--volumes", *tried)
        for tracked in launch.tracked:
            self._over(tracked, ended._replace(member=tracked.member))

    # --- watching ---------------------------------------------------------------------------------

    def _watch(self, engine: Engine) -> None:
        if engine.name not in self._streams:
            label = f"flow.place={self.place}"
            self._streams[engine.name] = EventStream(engine, label, self._look_now.set)
        if self._watcher is None:
            self._watcher = threading.Thread(
                target=self._keep_looking, name="containers", daemon=True
            )
            self._watcher.start()

    def _keep_looking(self) -> None:
        while not self._closed.is_set():
            told = all(stream.alive for stream in list(self._streams.values()))
            if self._look_now.wait(_LOOK if told else _LOOK_OFTEN):
                self._closed.wait(_GATHER)
                self._look_now.clear()
            for engine in list(self._engines.values()):
                with self._lock:
                    mine = [t for t in self._tracked.values() if t.engine == engine and t.started]
                if not mine or self._closed.is_set():
                    continue
                try:
                    self._look(engine, mine)
                except Exception as error:  # an odd answer: nobody else would hear of it
                    self._no_answer(engine, mine, f"{type(error).__name__}: {error}")

    def _look(self, engine: Engine, mine: Sequence[_Tracked]) -> None:
        """Tell the ends of containers, by one question for all of them and one for the ends."""
        filters = ("--filter", f"label=flow.place={self.place}")
        answer = engine.call("ps", "--all", *filters, "--format", "{{.Names}} {{.State}}")
        if not answer.ok:
            self._no_answer(engine, mine, answer.words)
            return
        states = _first_words(answer.out)
        gone = [t for t in mine if t.name not in states]
        over = [t for t in mine if states.get(t.name) in _OVER]
        for tracked in gone:
            self._over(tracked, _removed(tracked))
        if over:
            self._tell_ends(engine, over)
        self._silent.pop(engine.name, None)

    def _tell_ends(self, engine: Engine, over: Sequence[_Tracked]) -> None:
        names = [t.name for t in over]
        answer = engine.call("inspect", "--type", "container", "--format", STATE_FORMAT, *names)
        states = read_states(answer.out)
        for tracked in over:
            state = states.get(tracked.name)
            if state is None:
                continue  # removed between the questions: the next look tells
            end = End.of(state, tracked.scratch)
            log = read_log(engine, tracked.name) if end.code and not tracked.cancelled else ""
            ended = describe_end(
                end,
                job=tracked.job,
                member=tracked.member,
                cancelled=tracked.cancelled,
                memory=tracked.memory,
                log=log,
                image=tracked.image,
            )
            self._over(tracked, ended)
        engine.call("rm", "--force", "--volumes", *states)

    def _no_answer(self, engine: Engine, mine: Sequence[_Tracked], words: str) -> None:
        """Wait for a runtime that may be started anew; after a while all of it is lost."""
        since = self._silent.setdefault(engine.name, time.monotonic())
        if time.monotonic() - since < _PATIENCE:
            return
        why = f"{engine.name} does not answer: {words}"
        for tracked in mine:
            self._over(
                tracked,
                Ended(
                    tracked.job,
                    tracked.member,
                    cause="lost",
                    message=why,
                    hint=f"{engine.name} info",
                ),
            )

    # --- ending -----------------------------------------------------------------------------------

    def _stop(self, chosen: Iterable[_Tracked], grace: float) -> None:
        by_engine: dict[Engine, list[str]] = {}
        for tracked in chosen:
            by_engine.setdefault(tracked.engine, []).append(tracked.name)
        for engine, names in by_engine.items():
            seconds = math.ceil(grace)
            # It returns when all have ended; meanwhile others are to be started and ended.
            threading.Thread(
                target=engine.call,
                args=("stop", "-t", str(seconds), *names),
                kwargs={"patience": grace + 60},
                name="stop containers",
                daemon=True,
            ).start()

    def _over(self, tracked: _Tracked, ended: Ended) -> None:
        with self._lock:
            known = self._tracked.pop(tracked.name, None)
        if known is not None:
            _remove_scratch(tracked)
            self._tell(ended)

    def _remove_all(self, engine: Engine) -> tuple[list[str], str]:
        """Remove what this launcher has started or adopted, and what dead ones have left; return which
        may still run, and why."""
        own = {t.name for t in self._tracked.values() if t.engine == engine}
        there = self._listed(engine)
        known = {"flow.launcher": _LAUNCHER, "flow.run": self._run.pathspec}.items()
        mine = [c.name for c in there if c.name in own or known <= c.labels.items()]
        left = [c for c in there if c.is_left]
        if mine:
            engine.call("kill", *mine)  # at once; rm alone would wait, where it can be told so
        removed = Answer(1, "", "it does not tell which there are")
        if mine or left:
            removed = engine.call("rm", "--force", "--volumes", *mine, *(c.name for c in left))
        for each in left:
            shutil.rmtree(each.scratch, ignore_errors=True)
        started = {t.name for t in self._tracked.values() if t.engine == engine and t.started}
        if not started and not mine:
            return [], ""
        filters = ("--filter", f"label=flow.place={self.place}")
        answer = engine.call("ps", *filters, "--format", "{{.Names}}")
        running = {*answer.out.split()} if answer.ok else started
        return sorted(running & {*started, *mine}), (removed if answer.ok else answer).words

    # --- what all of them use -----------------------------------------------------------------------

    def _engine(self, name: str) -> Engine:
        name = name or str(self._setting("container_runtime") or "")
        if name not in self._engines:
            found = find_engine(name)
            known = [e for e in self._engines.values() if e.name == found.name]
            self._engines[name] = known[0] if known else found
        return self._engines[name]

    def _engines_here(self) -> list[Engine]:
        """Return all runtimes that work here: a step may have asked for any of them."""
        chosen = str(self._setting("container_runtime") or "")
        for name in [chosen] if chosen else [PODMAN, DOCKER]:
            with contextlib.suppress(FlowError):
                self._engine(name)
        return list(dict.fromkeys(self._engines.values()))

    def _tell(self, news: News) -> None:
        self._news.append(news)
        self._wake()

    def _listed(self, engine: Engine) -> list[_Found]:
        """Return the containers of this store, whichever launcher has started them."""
        filters = ("--filter", f"label=flow.place={self.place}")
        names = engine.call("ps", "--all", *filters, "--format", "{{.Names}}").out.split()
        if not names:
            return []
        shown = "{{.Name}} [{{json .State}}, {{json .Config.Labels}}]"
        told = engine.call("inspect", "--type", "container", "--format", shown, *names)
        rows = [line.split(maxsplit=1) for line in told.out.splitlines()]
        return [_Found(name.removeprefix("/"), *json.loads(rest)) for name, rest in rows]


def _still_there(engine: Engine, names: Sequence[str], why: str) -> FlowError:
    return FlowError(
        f"{len(names)} container{'s' * (len(names) > 1)} may still run",
        where=", ".join(names[:5]) + (", …" if len(names) > 5 else ""),
        why=f"{engine.name} has not ended them: {why}",
        hint=f"{engine.name} rm --force {' '.join(names[:5])}",
    )


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _rank(task: TaskSpec) -> dict[str, str]:
    """Return what a member of a gang is on this machine, where all of it are."""
    if task.gang is None:
        return {}
    return {"LOCAL_RANK": str(task.gang.index), "LOCAL_WORLD_SIZE": str(task.gang.size)}


def _first_words(text: str) -> dict[str, str]:
    """``name Exited (1) 2 seconds ago``, as podman has it, or ``name exited`` → name: ``exited``."""
    rows = (line.split() for line in text.splitlines())
    return {row[0]: row[1].lower() for row in rows if len(row) > 1}


def _removed(tracked: _Tracked) -> Ended:
    if tracked.cancelled:
        return Ended(tracked.job, tracked.member, cause="cancelled")
    return Ended(
        tracked.job,
        tracked.member,
        cause="lost",
        message=f"its container {tracked.name} was removed by somebody else",
    )


def _remove_scratch(tracked: _Tracked) -> None:
    if tracked.scratch:
        shutil.rmtree(tracked.scratch, ignore_errors=True)


def _free_port(used: set[int]) -> int:
    """Return a port that nothing on this machine listens at now, and none of ``used``."""
    for port in random.SystemRandom().sample(_PORTS, 200):
        with socket.socket() as probe:
            try:
                probe.bind(("", port))
            except OSError:
                continue
        if port not in used:
            return port
    raise FlowError(
        "No free port was found for the main task of a gang",
        where="compute 'container'",
        why=f"200 ports between {_PORTS[0]} and {_PORTS[-1]} were tried, all are in use",
        hint="@parallel(port=...) with one that is free",
    )
