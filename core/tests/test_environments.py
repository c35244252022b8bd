"""Locks, and environments that are built once and never used half built."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flow_core.environments import (
    EnvironmentBuilder,
    EnvironmentLock,
    built_environments,
    canonical,
    hold_environment,
    remove_environment,
    request_digest,
    this_platform,
)
from flow_core.errors import CommandFailed, NoEnvironment, PluginError
from flow_core.interfaces import EnvironmentCapabilities, EnvironmentRequest, Interpreter
from flow_core.programs import run_program

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


def request(**changes: Any) -> EnvironmentRequest:
    return EnvironmentRequest({}, (), {}, this_platform(), "3.11")._replace(**changes)


class Own:
    """An environment provider that gives the Python of these tests."""

    capabilities = EnvironmentCapabilities(offline=True)

    def __init__(self) -> None:
        self.calls: list[str] = []

    def resolve(self, request: EnvironmentRequest, work: Any) -> Any:
        self.calls.append("resolve")
        return {"format": 1, "asked": dict(request.options)}

    def prepare(self, lock: Any, folder: str, work: Any) -> Any:
        self.calls.append("prepare")
        Path(folder, "content").write_text("whole")
        return Interpreter(sys.executable)


class OwnWithOrigins(Own):
    """One whose packages come from somewhere."""

    capabilities = EnvironmentCapabilities(offline=True, origins=True)

    def origins(self, request: EnvironmentRequest, work: Any) -> Any:
        return [work.setting("place")]


def builder(provider: Any, root: Path, **options: Any) -> EnvironmentBuilder:
    return EnvironmentBuilder("own", provider, str(root), **options)


class TestOrigins:
    def test_a_request_is_resolved_anew_where_packages_come_from_somewhere_else(
        self, tmp_path: Path
    ) -> None:
        provider = OwnWithOrigins()
        here = builder(provider, tmp_path, setting={"place": "here"}.get)
        there = builder(provider, tmp_path, setting={"place": "there"}.get)
        for one in (here, there, here, there):
            one.resolve(request())
        assert provider.calls == ["resolve", "resolve"]
        assert here.known(request(python="3.12")) is None

    def test_what_is_no_json_is_the_providers_fault(self, tmp_path: Path) -> None:
        odd = builder(OwnWithOrigins(), tmp_path, setting={"place": {1, 2}}.get)
        with pytest.raises(PluginError, match="'own' failed") as caught:
            odd.known(request())
        assert str(caught.value.where).endswith("OwnWithOrigins.origins")


class TestLocks:
    @given(st.dictionaries(st.text(), JSON, max_size=4))
    def test_there_is_one_form(self, data: dict[str, Any]) -> None:
        lock = EnvironmentLock.of("own", data)
        assert lock.data == data
        assert EnvironmentLock.read("own", lock.text) == lock
        assert EnvironmentLock.of("own", dict(reversed(data.items()))) == lock

    @given(JSON, JSON)
    def test_other_data_has_another_hash(self, one: Any, two: Any) -> None:
        first, second = (EnvironmentLock.of("own", {"data": d}) for d in (one, two))
        assert (first.hash == second.hash) == (canonical(one) == canonical(two))

    @pytest.mark.parametrize("data", [{"a": (1, 2)}, {1: "a"}, {"a": {1}}, {"a": float("nan")}])
    def test_what_json_does_not_keep_is_refused(self, data: Any) -> None:
        with pytest.raises((TypeError, ValueError)):
            EnvironmentLock.of("own", data)

    def test_all_of_a_request_counts(self) -> None:
        others = [
            request(options={"a": 1}),
            request(requirements=("a",)),
            request(files={"a": "b"}),
            request(platform="vax"),
            request(python="3.12"),
        ]
        assert len({request_digest(r) for r in (request(), *others)}) == 6


class TestResolve:
    def test_the_same_request_is_resolved_once(self, tmp_path: Path) -> None:
        provider = Own()
        first = builder(provider, tmp_path).resolve(request())
        assert builder(provider, tmp_path).resolve(request()) == first
        assert provider.calls == ["resolve"]
        builder(provider, tmp_path).resolve(request(), anew=True)
        builder(provider, tmp_path, version="2").resolve(request())
        assert provider.calls == ["resolve"] * 3

    def test_one_of_several_resolves_and_holds_a_lock(self, tmp_path: Path) -> None:
        held: list[bool] = []

        class Slow(Own):
            def resolve(self, request: EnvironmentRequest, work: Any) -> Any:
                (path,) = tmp_path.glob("own/*.lock")
                with open(path, "rb") as file, pytest.raises(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                held.append(True)
                time.sleep(0.2)
                return super().resolve(request, work)

        provider, told = Slow(), []
        found: list[EnvironmentLock] = []

        def resolve() -> None:
            one = builder(provider, tmp_path, tell=lambda text, _: told.append(text))
            found.append(one.resolve(request()))

        threads = [threading.Thread(target=resolve) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert held == [True]
        assert provider.calls == ["resolve"]
        assert len({*found}) == 1
        assert {*told} == {"waiting for another process, which resolves it"}

    def test_a_lock_that_is_no_json(self, tmp_path: Path) -> None:
        provider = Own()
        provider.resolve = lambda request, work: {"at": object()}  # type: ignore[method-assign]
        with pytest.raises(PluginError) as caught:
            builder(provider, tmp_path).resolve(request())
        assert caught.value.what == (
            "The environment provider 'own' made a lock that is no JSON data"
        )
        assert caught.value.where == "Own.resolve"

    def test_a_defect_names_the_provider(self, tmp_path: Path) -> None:
        provider = Own()
        provider.resolve = lambda request, work: 1 / 0  # type: ignore[method-assign]
        with pytest.raises(PluginError) as caught:
            builder(provider, tmp_path).resolve(request())
        assert caught.value.what == "The environment provider 'own' failed"
        assert caught.value.why == "ZeroDivisionError: division by zero"


FULL = """
import sys
from pathlib import Path

from test_environments import EnvironmentLock, NoEnvironment, Own, builder, request

root = Path(sys.argv[1])
with open(root / "all", "wb", buffering=0) as file:
    try:
        while True:
            file.write(bytes(4096))
    except OSError:
        pass
made = builder(Own(), root)
for job in (lambda: made.resolve(request()), lambda: made.prepare(EnvironmentLock.of("own", {}))):
    try:
        job()
    except NoEnvironment as error:
        print(error.what, error.why, error.where == str(root), sep=", ")
print(len([path for path in (root / "own").iterdir() if len(path.name) == 16]), "half built")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="a small disk is mounted")
def test_a_full_disk_is_nobody_s_fault(tmp_path: Path) -> None:
    """Whether the provider writes or what is around it."""
    words = 'mount -t tmpfs -o size=64k tmpfs "$0" && exec "$@"'
    command = ["unshare", "-rm", "sh", "-c", words, str(tmp_path), sys.executable, "-c", FULL]
    done = subprocess.run(
        [*command, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
    )
    if not done.stdout and "Traceback" not in done.stderr:
        pytest.skip(f"no disk can be mounted here: {done.stderr[-200:]}")
    told = "The disk is full, No space left on device, True"
    assert done.stdout.splitlines() == [told, told, "0 half built"], done.stderr


def test_a_provider_that_finds_a_disk_full(tmp_path: Path) -> None:
    class Full(Own):
        def prepare(self, lock: Any, folder: str, work: Any) -> Any:
            raise OSError(errno.ENOSPC, "No space left on device", "/a/file")

    with pytest.raises(NoEnvironment) as caught:
        builder(Full(), tmp_path).prepare(EnvironmentLock.of("own", {}))
    assert str(caught.value) == (
        "The disk is full\n"
        "  where: /a/file\n"
        "  why:   No space left on device\n"
        "  try:   make room, or put environments elsewhere: FLOW_ENVIRONMENTS=FOLDER"
    )


class TestPrepare:
    def lock(self, **data: Any) -> EnvironmentLock:
        return EnvironmentLock.of("own", {"format": 1, **data})

    def test_what_is_known_of_it(self, tmp_path: Path) -> None:
        ready = builder(Own(), tmp_path).prepare(self.lock())
        assert ready.python == ".".join(map(str, sys.version_info[:3]))
        assert ready.python_minor == f"{sys.version_info[0]}.{sys.version_info[1]}"
        assert ready.implementation == sys.implementation.name
        assert "pytest" in ready.packages
        assert ready.name == f"own {self.lock().hash[:8]}"

    def test_it_is_built_once_and_found_again(self, tmp_path: Path) -> None:
        provider = Own()
        first = builder(provider, tmp_path).prepare(self.lock())
        assert builder(provider, tmp_path).prepare(self.lock()) == first
        assert provider.calls == ["prepare"]

    def test_threads_that_want_the_same_build_it_once(self, tmp_path: Path) -> None:
        provider = Own()
        found: list[Any] = []
        threads = [
            threading.Thread(
                target=lambda: found.append(builder(provider, tmp_path).prepare(self.lock()))
            )
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 6
        assert len({ready.made_at for ready in found}) == 1
        assert provider.calls == ["prepare"]

    def test_one_without_its_mark_is_half_built(self, tmp_path: Path) -> None:
        provider = Own()
        ready = builder(provider, tmp_path).prepare(self.lock())
        os.unlink(f"{ready.folder}.json")
        Path(ready.folder, "rest").write_text("of an attempt that was killed")
        assert builder(provider, tmp_path).find(self.lock()) is None
        builder(provider, tmp_path).prepare(self.lock())
        assert os.listdir(ready.folder) == ["content"]

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"format": 99}', '{"format": 1}'])
    def test_a_damaged_mark_is_none(self, tmp_path: Path, text: str) -> None:
        ready = builder(Own(), tmp_path).prepare(self.lock())
        Path(f"{ready.folder}.json").write_text(text)
        assert builder(Own(), tmp_path).find(self.lock()) is None

    def test_an_interpreter_that_is_gone_is_built_again(self, tmp_path: Path) -> None:
        ready = builder(Own(), tmp_path).prepare(self.lock())
        mark = Path(f"{ready.folder}.json")
        mark.write_text(json.dumps({**json.loads(mark.read_text()), "interpreter": "/gone"}))
        assert builder(Own(), tmp_path).find(self.lock()) is None

    def test_all_are_listed(self, tmp_path: Path) -> None:
        assert built_environments(str(tmp_path)) == []
        made = builder(Own(), tmp_path)
        lock = made.resolve(request())
        ready = made.prepare(lock)
        half = Path(ready.folder).with_name("0123456789abcdef")
        half.mkdir()
        found = {one.key: one for one in built_environments(str(tmp_path))}
        assert found.keys() == {lock.hash[:16], half.name}
        one = found[lock.hash[:16]]
        assert (one.provider, one.folder, one.name) == ("own", ready.folder, lock.name)
        assert one.ready == ready
        assert one.size() >= 4096
        assert abs(one.used_at - time.time()) < 60
        assert found[half.name].ready is None

    def test_one_that_is_used_is_not_removed(self, tmp_path: Path) -> None:
        made = builder(Own(), tmp_path)
        ready = made.prepare(made.resolve(request()))
        os.utime(f"{ready.folder}.json", (0, 0))
        descriptor = hold_environment(ready)
        assert descriptor is not None
        (one,) = built_environments(str(tmp_path))
        assert one.is_used()
        assert one.used_at > 0
        with pytest.raises(NoEnvironment) as caught:
            remove_environment(str(tmp_path), "own", ready.lock)
        assert caught.value.what == f"The environment {ready.name} cannot be removed now"
        assert caught.value.why == "a run uses it, or somebody builds it"
        os.close(descriptor)
        assert not one.is_used()
        assert remove_environment(str(tmp_path), "own", ready.lock[:16])
        assert not remove_environment(str(tmp_path), "own", ready.lock)
        assert built_environments(str(tmp_path)) == []
        assert hold_environment(ready) is None

    def test_one_that_is_built_now_is_not_removed(self, tmp_path: Path) -> None:
        class Removed(Own):
            def prepare(self, lock: Any, folder: str, work: Any) -> Any:
                (one,) = built_environments(str(tmp_path))
                assert one.ready is None
                assert one.is_used()
                with pytest.raises(NoEnvironment):
                    remove_environment(str(tmp_path), "own", one.key)
                return super().prepare(lock, folder, work)

        made = builder(Removed(), tmp_path)
        made.prepare(made.resolve(request()))

    def test_its_lock_is_kept_also_when_it_goes(self, tmp_path: Path) -> None:
        own, lock = builder(Own(), tmp_path), self.lock()
        assert own.kept(lock.hash) is None
        own.prepare(lock)
        own.remove(lock)
        assert own.kept(lock.hash) == own.kept(lock.hash[:16]) == lock

    def test_tried_out_it_is_built_once_more_and_removed(self, tmp_path: Path) -> None:
        provider = Own()
        own, lock = builder(provider, tmp_path), self.lock()
        ready = own.prepare(lock)
        own.try_out(lock)
        assert provider.calls == ["prepare", "prepare"]
        assert own.find(lock) == ready
        assert [one.ready for one in built_environments(str(tmp_path))] == [ready]
        assert not list(tmp_path.glob("own/*.again*[!k]"))

    def test_it_can_be_removed(self, tmp_path: Path) -> None:
        ready = builder(Own(), tmp_path).prepare(self.lock())
        builder(Own(), tmp_path).remove(self.lock())
        assert not os.path.exists(ready.folder)
        assert builder(Own(), tmp_path).find(self.lock()) is None

    @pytest.mark.parametrize(
        ("made", "why"),
        [
            (None, "it is a NoneType"),
            (Interpreter("python"), "its path is not absolute: 'python'"),
            (Interpreter("/no/python"), "there is no program '/no/python'"),
            (Interpreter(sys.executable, {"A": 1}), "its variables are not all texts"),  # type: ignore[dict-item]
        ],
    )
    def test_a_result_that_is_no_interpreter(self, tmp_path: Path, made: Any, why: str) -> None:
        provider = Own()
        provider.prepare = lambda *_: made  # type: ignore[method-assign]
        with pytest.raises(PluginError) as caught:
            builder(provider, tmp_path).prepare(self.lock())
        assert caught.value.why == why

    def script(self, tmp_path: Path, text: str) -> Own:
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
        provider = Own()
        provider.prepare = lambda *_: Interpreter(str(program))  # type: ignore[method-assign]
        return provider

    def test_an_interpreter_that_does_not_run(self, tmp_path: Path) -> None:
        provider = self.script(tmp_path, "echo libx.so is missing >&2; exit 127")
        with pytest.raises(NoEnvironment) as caught:
            builder(provider, tmp_path / "root").prepare(self.lock())
        assert "does not run" in caught.value.what
        assert caught.value.why == "libx.so is missing"

    def test_a_python_that_is_too_old(self, tmp_path: Path) -> None:
        provider = self.script(tmp_path, r"printf 'a banner\n3.9.1\tcpython\n'")
        with pytest.raises(NoEnvironment, match=r"has Python 3\.9\.1") as caught:
            builder(provider, tmp_path / "root").prepare(self.lock())
        assert caught.value.why == "tasks need Python 3.10 or later"

    def test_its_packages_are_those_that_it_would_import(self, tmp_path: Path) -> None:
        first, second = tmp_path / "first", tmp_path / "second"
        for folder, name in (
            (first, "Some_Name-2.0+local.dist-info"),
            (first, "old.egg-info"),
            (second, "some_name-1.0.dist-info"),
        ):
            (folder / name).mkdir(parents=True)
        (first / "old.egg-info" / "PKG-INFO").write_text("Metadata-Version: 2.1\nVersion: 3\n")
        provider = self.script(tmp_path, f'PYTHONPATH={first}:{second} exec {sys.executable} "$@"')
        packages = builder(provider, tmp_path / "root").prepare(self.lock()).packages
        assert packages["some-name"] == "2.0+local"
        assert packages["old"] == "3"
        assert packages["pluggy"] == version("pluggy")

    def test_without_network_one_that_needs_it_is_refused(self, tmp_path: Path) -> None:
        provider = Own()
        provider.capabilities = EnvironmentCapabilities()
        with pytest.raises(NoEnvironment, match="is not on this machine"):
            builder(provider, tmp_path, offline=True).prepare(self.lock())
        builder(provider, tmp_path).prepare(self.lock())
        assert builder(provider, tmp_path, offline=True).prepare(self.lock()), "it is there now"

    def test_a_program_goes_on_holding_the_lock(self, tmp_path: Path) -> None:
        """Nobody builds in a folder in which what a killed launcher had started still writes."""
        marked = tmp_path / "marked"
        code = f"""
import os, signal, subprocess, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from pathlib import Path
from flow_core.environments import EnvironmentBuilder, EnvironmentLock
from flow_core.interfaces import EnvironmentCapabilities
class Slow:
    capabilities = EnvironmentCapabilities()
    def prepare(self, lock, folder, work):
        Path({str(marked)!r}).write_text("begun")
        work.run(["sleep", "1.5"])
EnvironmentBuilder("own", Slow(), {str(tmp_path / "root")!r}).prepare(
    EnvironmentLock.of("own", {{"format": 1}}))
"""
        process = subprocess.Popen([sys.executable, "-c", code])
        deadline = time.monotonic() + 30
        while not marked.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.2)  # until the program is there
        process.kill()
        process.wait()
        begun, told = time.monotonic(), []
        builder(Own(), tmp_path / "root", tell=lambda text, _: told.append(text)).prepare(
            self.lock()
        )
        assert time.monotonic() - begun > 0.5
        assert told == ["waiting for another process, which builds it"]

    def test_who_waits_can_be_cancelled(self, tmp_path: Path) -> None:
        inside, leave, cancelled = threading.Event(), threading.Event(), threading.Event()

        class Slow(Own):
            def prepare(self, lock: Any, folder: str, work: Any) -> Any:
                inside.set()
                assert leave.wait(30)
                return super().prepare(lock, folder, work)

        thread = threading.Thread(target=builder(Slow(), tmp_path).prepare, args=(self.lock(),))
        thread.start()
        assert inside.wait(30)
        cancelled.set()
        with pytest.raises(KeyboardInterrupt):
            builder(Own(), tmp_path, cancelled=cancelled).prepare(self.lock())
        leave.set()
        thread.join()


class TestPrograms:
    def test_output_is_returned(self) -> None:
        assert run_program(["echo", "a b"], threading.Event()) == "a b\n"

    def test_folder_and_variables(self, tmp_path: Path) -> None:
        out = run_program(
            ["sh", "-c", "pwd; echo $A"], threading.Event(), str(tmp_path), {"A": "b"}
        )
        assert out == f"{tmp_path}\nb\n"

    def test_more_output_than_a_pipe_holds(self) -> None:
        text = run_program(["head", "-c", "1000000", "/dev/zero"], threading.Event())
        assert len(text) == 1_000_000

    def test_lines_are_heard_while_it_runs(self) -> None:
        heard: list[str] = []
        script = "printf one >&2; sleep 0.2; echo ' and two' >&2; sleep 0.3; echo out"

        out = run_program(["sh", "-c", script], threading.Event(), heard=heard.append)
        assert out == "out\n"
        assert heard == ["one and two"]

    def test_who_hears_can_end_it(self) -> None:
        def hear(line: str) -> None:
            raise KeyboardInterrupt

        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            run_program(["sh", "-c", "echo a >&2; sleep 60"], threading.Event(), heard=hear)
        assert time.monotonic() - started < 30

    def test_a_failure_tells_what_it_said(self) -> None:
        with pytest.raises(CommandFailed) as caught:
            run_program(["sh", "-c", "echo out; echo because >&2; exit 3"], threading.Event())
        error = caught.value
        assert error.what == "'sh' failed: exit status 3"
        assert (error.status, error.why, error.output) == (3, "because", "out\nbecause")

    def test_a_program_that_is_not_there(self) -> None:
        with pytest.raises(CommandFailed) as caught:
            run_program(["no-such-program"], threading.Event())
        assert caught.value.what == "'no-such-program' could not be started"
        assert caught.value.status is None

    def test_cancelled_with_its_children(self, tmp_path: Path) -> None:
        cancelled, pid = threading.Event(), tmp_path / "pid"

        def cancel() -> None:
            while not (pid.exists() and pid.read_text().strip()):
                time.sleep(0.01)
            cancelled.set()

        thread = threading.Thread(target=cancel)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            run_program(["sh", "-c", f"sleep 60 & echo $! > {pid}; wait"], cancelled)
        thread.join()
        child = int(pid.read_text())
        deadline = time.monotonic() + 10
        while _runs(child):
            assert time.monotonic() < deadline, "the child was left behind"
            time.sleep(0.02)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
