"""The conformance suite for environment providers."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import signal
import subprocess
import sys
import sysconfig
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from flow_core.environments import (
    EnvironmentBuilder,
    EnvironmentLock,
    ReadyEnvironment,
    canonical,
    this_platform,
)
from flow_core.errors import FlowError, PluginError
from flow_core.index import normalise
from flow_core.interfaces import (
    Environment,
    EnvironmentCapabilities,
    EnvironmentRequest,
    Interpreter,
)
from flow_core.settings import Settings
from flow_core.testing.processes import in_children
from flow_core.travel import core_requirements

PATIENCE = 120.0
"""Seconds after which a test gives up waiting."""

_NOWHERE = "http://127.0.0.1:9"  # nobody listens there
_NO_NETWORK = {
    name: _NOWHERE
    for word in ("http_proxy", "https_proxy", "all_proxy")
    for name in (word, word.upper())
} | {"no_proxy": "", "NO_PROXY": ""}


@pytest.mark.usefixtures("no_leaks")
class EnvironmentSuite:
    """Inherit it as ``class TestMine(EnvironmentSuite)`` and say ``provider``, ``options``, ``proof``.

    Each test builds what it needs in a folder of its own; all share the provider's cache.

    Attributes:
        provider: makes the provider: its class, or a function without arguments.
        options: what a step asks for.
        proof: Python code that ends without an error in an environment with these options, and
            with an error in the launcher's: ``import tiny; assert tiny.__version__ == "1.0"``.
        other_options: other options, which lead to another lock.
        impossible: options for which there is no environment.
        files: name → text of files that the options name.
        requirements: what flow-core and plugins need; default: what flow-core itself does.
        settings: settings by name, for example where the provider finds packages.
        isolated: whether the environment must not see the packages of this process.
    """

    provider: Callable[[], Environment]
    options: Mapping[str, Any] = {}
    proof: str = ""
    other_options: Mapping[str, Any] | None = None
    impossible: Mapping[str, Any] | None = None
    files: Mapping[str, str] = {}
    requirements: Sequence[str] | None = None
    settings: Mapping[str, Any] = {}
    isolated: bool = True
    _shared: str

    # --- what tests use -------------------------------------------------------------------------

    @pytest.fixture
    def shared(self, tmp_path_factory: pytest.TempPathFactory) -> str:
        """A folder with one environment that is built once for the class. Its path has a space."""
        cls = type(self)
        if "_shared" not in vars(cls):
            cls._shared = str(tmp_path_factory.mktemp("environments") / "a place")
        return cls._shared

    @pytest.fixture
    def lock(self, shared: str) -> EnvironmentLock:
        return self.builder(shared).resolve(self.request())

    @pytest.fixture
    def ready(self, shared: str, lock: EnvironmentLock) -> ReadyEnvironment:
        return self.builder(shared).prepare(lock)

    @pytest.fixture
    def place(self, shared: str, tmp_path: Any) -> str:
        """A folder without environments, but with the cache of ``shared``."""
        cache = os.path.join(shared, "suite", "cache")
        os.makedirs(cache, exist_ok=True)
        os.makedirs(tmp_path / "new" / "suite")
        os.symlink(cache, tmp_path / "new" / "suite" / "cache")
        return str(tmp_path / "new")

    def request(self, options: Mapping[str, Any] | None = None) -> EnvironmentRequest:
        """Return a request for ``options``, those of the class by default."""
        required = core_requirements() if self.requirements is None else self.requirements
        return EnvironmentRequest(
            options=copy.deepcopy(dict(self.options if options is None else options)),
            requirements=tuple(sorted(required)),
            files=dict(self.files),
            platform=this_platform(),
            python=f"{sys.version_info[0]}.{sys.version_info[1]}",
        )

    def builder(self, root: str, **changes: Any) -> EnvironmentBuilder:
        """Return what resolves and builds below ``root``, with a new provider."""
        given = {"setting": self._setting, **changes}
        return EnvironmentBuilder("suite", given.pop("made", None) or self._make(), root, **given)

    def _make(self) -> Environment:
        # Found on an instance, a plain function would be called with the suite.
        return type(self).provider()

    def _setting(self, name: str) -> Any:
        if name in self.settings:
            return self.settings[name]
        return Settings({})[name]

    # --- what is stated -------------------------------------------------------------------------

    def test_suite_has_options_and_a_proof(self) -> None:
        assert self.options, "the subclass of EnvironmentSuite must give options"
        assert self.proof, "the subclass of EnvironmentSuite must give proof: code to run there"
        alone = subprocess.run([sys.executable, "-c", self.proof], capture_output=True, check=False)
        assert alone.returncode, "the proof proves nothing: it runs in the launcher's Python too"

    def test_capabilities_are_stated(self) -> None:
        found = self._make().capabilities
        assert isinstance(found, EnvironmentCapabilities)
        assert all(value in (True, False) for value in found)

    # --- locks ----------------------------------------------------------------------------------

    def test_same_request_gives_the_same_lock(self, shared: str, lock: EnvironmentLock) -> None:
        again = self._resolve(shared, self.request())
        assert isinstance(again, Mapping)
        try:
            text = canonical(dict(again))
        except (TypeError, ValueError) as error:
            pytest.fail(f"the lock is no JSON data: {error}")
        assert text == lock.text, "two locks of one request differ: is there a time in them?"

    def test_order_of_what_is_asked_does_not_count(
        self, shared: str, lock: EnvironmentLock
    ) -> None:
        request = self.request()
        turned = request._replace(options=_turned(request.options))
        assert self._resolve(shared, turned) == lock.data

    def test_lock_knows_no_folder_of_this_machine(self, shared: str, lock: EnvironmentLock) -> None:
        for name in (shared, os.path.expanduser("~"), sys.prefix):
            if len(name) > 2 and name not in canonical(dict(self.options)):
                assert name not in lock.text, f"the lock holds '{name}', which others do not have"

    def test_other_options_give_another_lock(self, shared: str, lock: EnvironmentLock) -> None:
        if self.other_options is None:
            pytest.skip("other_options is not given")
        other = self.builder(shared).resolve(self.request(self.other_options))
        assert other.hash != lock.hash

    def test_who_asks_for_nothing_gets_a_bare_environment(self, shared: str) -> None:
        bare = self._resolve(shared, self.request({})._replace(files={}))
        assert isinstance(bare, Mapping), "--environment NAME asks for nothing, and gets a lock"

    def test_resolving_leaves_the_request_as_it_is(self, shared: str) -> None:
        request, before = self.request(), self.request()
        self._resolve(shared, request)
        assert request == before

    def test_what_is_impossible_is_told(self, shared: str) -> None:
        if self.impossible is None:
            pytest.skip("impossible is not given")
        with pytest.raises(FlowError) as caught:
            self._resolve(shared, self.request(self.impossible))
        _check_parts(caught.value)

    def test_lock_is_exported(self, shared: str, lock: EnvironmentLock) -> None:
        if not self._make().capabilities.exports:
            with pytest.raises(FlowError, match="no form that other tools take"):
                self.builder(shared).export(lock)
            return
        seen: list[Any] = []
        made = _Watched(self._make(), lambda given: seen.append((given, copy.deepcopy(given))))
        files = self.builder(shared, made=made).export(lock)
        assert files, "export() returned no file"
        for name, text in files.items():
            assert name, "a file has a name"
            assert name == os.path.basename(name), f"no name of a file: {name!r}"
            assert isinstance(text, str), f"{name} is no text"
            assert text.endswith("\n"), f"the last line of {name} has no end"
            assert shared not in text, f"{name} names a folder that others do not have"
        assert self.builder(shared).export(lock) == files, "two exports of one lock differ"
        assert all(given == before for given, before in seen), "export() changes the lock"
        with pytest.raises(FlowError) as caught:
            self.builder(shared).export(EnvironmentLock.of(lock.provider, {"nonsense": True}))
        _check_parts(caught.value)

    # --- environments ---------------------------------------------------------------------------

    def test_interpreter_runs(self, ready: ReadyEnvironment) -> None:
        assert os.path.isabs(ready.interpreter)
        assert _run(ready, "print('it', 'runs')").strip() == "it runs"

    def test_has_what_the_step_asked_for(self, ready: ReadyEnvironment) -> None:
        _run(ready, self.proof)

    def test_has_what_flow_core_and_plugins_need(self, ready: ReadyEnvironment) -> None:
        for requirement in self.request().requirements:
            name, semicolon, _ = requirement.partition(";")
            end = next((n for n, c in enumerate(name) if c in "<>=!~[( "), len(name))
            if not semicolon:  # a condition may not hold there
                assert normalise(name[:end].strip()) in ready.packages, f"{requirement} is missing"

    def test_does_not_see_the_packages_of_the_launcher(self, ready: ReadyEnvironment) -> None:
        if not self.isolated:
            pytest.skip("isolated is False")
        path = json.loads(_run(ready, "import json, sys; print(json.dumps(sys.path))"))
        ours = {os.path.realpath(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
        seen = {os.path.realpath(folder) for folder in path}
        assert not ours & seen, "a step would find packages that its lock does not name"

    def test_variables_are_texts(self, ready: ReadyEnvironment) -> None:
        assert all(isinstance(x, str) for pair in ready.variables.items() for x in pair)

    def test_built_environment_is_found_at_once(
        self, shared: str, lock: EnvironmentLock, ready: ReadyEnvironment
    ) -> None:
        asked: list[Any] = []
        made = _Watched(self._make(), asked.append)
        assert self.builder(shared, made=made).prepare(lock) == ready
        assert not asked, "what is built is not built again"

    def test_builds_from_a_lock_that_was_stored(self, place: str, lock: EnvironmentLock) -> None:
        stored = EnvironmentLock.read(lock.provider, json.loads(json.dumps(lock.text)))
        mirror = _Mirror()
        ready = self.builder(place, mirror=mirror).prepare(stored)
        _run(ready, self.proof)
        assert not mirror.kept, "it keeps packages, though the setting 'mirror_packages' is off"
        assert ready.folder.startswith(place), "it was built somewhere else"
        assert os.path.isdir(ready.folder)

    def test_building_leaves_the_lock_as_it_is(self, place: str, lock: EnvironmentLock) -> None:
        seen: list[Any] = []
        made = _Watched(self._make(), lambda given: seen.append((given, copy.deepcopy(given))))
        self.builder(place, made=made).prepare(lock)
        assert seen, "prepare() was called"
        for given, before in seen:
            assert given == before

    def test_two_processes_build_once(self, place: str, lock: EnvironmentLock) -> None:
        def build(number: int) -> tuple[str, int]:
            calls: list[Any] = []
            made = _Watched(self._make(), calls.append)
            return self.builder(place, made=made).prepare(lock).interpreter, len(calls)

        answers = in_children(2, build)
        assert answers[0][0] == answers[1][0], "both get the same interpreter"
        assert sum(calls for _, calls in answers) == 1, "one builds, the other one waits"

    def test_broken_locks_are_refused(self, place: str, lock: EnvironmentLock) -> None:
        broken: list[dict[str, Any]] = [{}, {"nonsense": True}, {"format": 10**9}]
        broken.append(dict.fromkeys(lock.data))
        for data in broken:
            wrong = EnvironmentLock.of(lock.provider, data)
            builder = self.builder(place)
            with pytest.raises(FlowError) as caught:
                builder.prepare(wrong)
            _check_parts(caught.value)
            assert builder.find(wrong) is None
            assert not _left(place), "what is half built is removed"

    # --- while it works -------------------------------------------------------------------------

    def test_progress_is_told_in_lines(self, place: str, lock: EnvironmentLock) -> None:
        told: list[tuple[str, float | None]] = []
        self.builder(place, tell=lambda text, part: told.append((text, part))).prepare(lock)
        assert told, "prepare() tells nothing: call work.tell now and then"
        for text, part in told:
            assert text.strip(), "a line has a text"
            assert "\n" not in text, "a line is one line"
            assert part is None or 0 <= part <= 1, f"a part is between 0 and 1, not {part}"

    def test_cancel_leaves_no_environment(self, place: str, lock: EnvironmentLock) -> None:
        cancelled = threading.Event()
        builder = self.builder(place, tell=lambda *_: cancelled.set(), cancelled=cancelled)
        with pytest.raises(KeyboardInterrupt):
            builder.prepare(lock)
        assert builder.find(lock) is None
        assert not _left(place), "what is half built is removed"
        _run(self.builder(place).prepare(lock), self.proof)

    def test_a_killed_process_leaves_no_environment(
        self, place: str, lock: EnvironmentLock
    ) -> None:
        pid = os.fork()
        if pid == 0:
            try:
                kill: Callable[..., None] = lambda *_: os.kill(os.getpid(), signal.SIGKILL)  # noqa: E731
                self.builder(place, tell=kill).prepare(lock)
            finally:
                os._exit(0)
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status), "prepare() tells nothing: call work.tell now and then"
        builder = self.builder(place)
        assert builder.find(lock) is None, "it was half built"
        _run(builder.prepare(lock), self.proof)

    def test_offline_builds_what_was_built_before(
        self,
        place: str,
        lock: EnvironmentLock,
        ready: ReadyEnvironment,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        # `ready`: whatever it takes is in the cache.
        if not self._make().capabilities.offline:
            with pytest.raises(FlowError, match="not on this machine"):
                self.builder(place, offline=True).prepare(lock)
            return
        for name, value in _NO_NETWORK.items():
            monkeypatch.setenv(name, value)
        _run(self.builder(place, offline=True).prepare(lock), self.proof)

    def test_packages_that_are_kept_need_no_index(
        self, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        mirror = _Mirror()

        def setting(name: str) -> Any:
            return True if name == "mirror_packages" else self._setting(name)

        def builder(place: str, **more: Any) -> EnvironmentBuilder:
            return self.builder(str(tmp_path / place), setting=setting, mirror=mirror, **more)

        first = builder("first")
        lock = first.resolve(self.request())
        first.prepare(lock)
        if not self._make().capabilities.mirrors:
            assert not mirror.kept, "it keeps packages: say so by the capability 'mirrors'"
            return
        assert mirror.kept, "it keeps nothing, though the setting 'mirror_packages' is on"
        for name, value in _NO_NETWORK.items():
            monkeypatch.setenv(name, value)
        _run(builder("second", offline=True).prepare(lock), self.proof)
        assert mirror.used, "it was built without the packages that are kept"

    def _resolve(self, root: str, request: EnvironmentRequest) -> Any:
        """Let a new provider resolve a request; nothing that was resolved before is used."""
        answers: list[Any] = []
        made = _Watched(self._make(), lambda _: None, answers.append)
        self.builder(root, made=made).resolve(request, anew=True)
        return answers[0]


class _Mirror:
    """Packages that are kept, in memory: see `flow_core.interfaces.PackageMirror`."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.used: list[str] = []

    def fetch(self, sha256: str, path: str) -> bool:
        content = self.kept.get(sha256)
        if content is None:
            return False
        with open(path, "wb") as file:
            file.write(content)
        self.used.append(sha256)
        return True

    def keep(self, sha256: str, path: str) -> None:
        with open(path, "rb") as file:
            content = file.read()
        assert hashlib.sha256(content).hexdigest() == sha256, f"{path} does not have this hash"
        self.kept[sha256] = content


class _Watched:
    """A provider, and who looks at the locks that come and go."""

    def __init__(
        self,
        provider: Environment,
        given: Callable[[Any], object],
        made: Callable[[Any], object] = lambda _: None,
    ) -> None:
        self.capabilities = provider.capabilities
        self._provider = provider
        self._given = given
        self._made = made

    def origins(self, request: EnvironmentRequest, work: Any) -> Any:
        provider: Any = self._provider
        return provider.origins(request, work)

    def resolve(self, request: EnvironmentRequest, work: Any) -> Mapping[str, Any]:
        lock = self._provider.resolve(request, work)
        self._made(lock)
        return lock

    def prepare(self, lock: Mapping[str, Any], folder: str, work: Any) -> Interpreter:
        self._given(lock)
        return self._provider.prepare(lock, folder, work)

    def export(self, lock: Mapping[str, Any]) -> Mapping[str, str]:
        self._given(lock)
        provider: Any = self._provider
        exported: Mapping[str, str] = provider.export(lock)
        return exported


def _run(ready: ReadyEnvironment, code: str) -> str:
    """Run code in an environment; return what it prints."""
    done = subprocess.run(
        [ready.interpreter, "-s", "-c", code],
        env={**os.environ, "PYTHONPATH": "", **ready.variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"this failed in the environment:\n{code}\n{done.stderr}"
    return done.stdout


def _left(place: str) -> list[str]:
    """Return what lies where environments do, apart from caches and lock files."""
    folder = os.path.join(place, "suite")
    names = os.listdir(folder)
    return [n for n in names if n not in ("cache", "locks", "resolved") and not n.endswith(".lock")]


def _turned(value: Any) -> Any:
    """Return the same dicts with their keys in another order."""
    if isinstance(value, Mapping):
        return {key: _turned(value[key]) for key in reversed(list(value))}
    return value


def _check_parts(error: FlowError) -> None:
    assert not isinstance(error, PluginError), f"raise NoEnvironment, and explain it; not\n{error}"
    assert error.what, "an error says what failed"
    assert error.why or error.where, f"an error says where, or why: {error.what}"
    assert error.hint, f"an error says what to do: {error.what}"
