"""Whole runs: two versions of a package in two steps, launchers at the same time, and what goes wrong."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flow_core.testing import FlowTester, write_wheel

FLOW = """
    from flow_core import FlowSpec, pypi, pypi_base, step

    @pypi_base(packages={"tiny": "1.*"})
    class F(FlowSpec):
        @step
        def start(self):
            import tiny

            self.one = tiny.VERSION
            self.next(self.other)

        @pypi(packages={"tiny": "2.*"})
        @step
        def other(self):
            import tiny

            self.two = tiny.VERSION
            self.next(self.end)

        @pypi(disabled=True)
        @step
        def end(self):
            try:
                import tiny
            except ImportError:
                print(self.one, self.two)

    if __name__ == "__main__":
        F()
"""


@pytest.fixture
def tester(flowtester: FlowTester, monkeypatch: pytest.MonkeyPatch) -> FlowTester:
    flowtester.more_plugins = ["pypi"]
    return flowtester


@pytest.mark.slow
class TestRuns:
    def test_two_versions_in_two_steps(self, tester: FlowTester) -> None:
        file = tester.write(FLOW)
        tester.python(file, "run").check()
        run = tester.left()
        assert run.output("end").split()[-2:] == ["1.0", "2.0"]
        again = tester.python(file, "run").check()
        assert "resolving" not in again.stdout + again.stderr

    def test_without_packages_by_the_environment_that_is_chosen(self, tester: FlowTester) -> None:
        file = tester.write(
            FLOW.replace("@pypi_base", "# ").replace("@pypi", "# ").replace("tiny", "packaging")
        )
        done = tester.python(file, "--environment", "pypi", "run")
        assert done.returncode == 1
        assert "No module named 'packaging'" in tester.flow("logs", "F/1/start", "--stderr").stdout

    def test_what_cannot_be_resolved_is_no_run(self, tester: FlowTester) -> None:
        file = tester.write(FLOW.replace("2.*", "7.*"))
        done = tester.python(file, "run")
        assert done.returncode == 1
        assert "error: No package fits 'tiny==7.*'" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tester.path / ".flow" / "F").exists()

    def test_four_launchers_build_one_environment_once(self, tester: FlowTester) -> None:
        file = tester.write(FLOW.replace("2.*", "1.*"))
        log = tester.path / "built"
        program = tester.write(
            """
            import os, sys
            from flow_pypi import provider

            make = provider.make_environment
            def noted(*args):
                with open(os.environ["BUILT"], "a") as file:
                    file.write("built\\n")
                return make(*args)
            provider.make_environment = noted
            import runpy
            sys.argv = sys.argv[1:]
            runpy.run_path(sys.argv[0], run_name="__main__")
            """,
            "noted.py",
        )
        variables = tester.environment(variables={"BUILT": str(log)})
        launchers = [
            subprocess.Popen(
                [sys.executable, str(program), str(file), "run"],
                cwd=tester.path,
                env=variables,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for _ in range(4)
        ]
        for launcher in launchers:
            output, _ = launcher.communicate(timeout=120)
            assert launcher.returncode == 0, output
        assert log.read_text() == "built\n"


@pytest.mark.slow
@pytest.mark.chaos
class TestInterrupted:
    def test_whenever_the_builder_is_killed_the_next_one_is_whole(
        self, builder: Callable[..., Any], ask: Any, tmp_path: Path
    ) -> None:
        links = tmp_path / "links"
        links.mkdir()
        many = {f"many/m{n}.py": f"N = {n}\n" for n in range(200)}
        write_wheel(links, "many", "1.0", {"many/__init__.py": "", **many})
        made = builder(pypi_find_links=str(links))
        lock = made.resolve(ask("many"))
        chance = random.Random(7)
        proof = "import many.m199, importlib.metadata as m; assert all(f.locate().exists() for f in m.files('many'))"
        killed = 0
        for _ in range(2):
            shutil.rmtree(tmp_path / "environments" / "pypi" / "cache", ignore_errors=True)
            pid = os.fork()
            if pid == 0:
                os.setpgid(0, 0)
                try:
                    builder(pypi_find_links=str(links)).prepare(lock)
                finally:
                    os._exit(0)
            time.sleep(chance.uniform(0.0, 0.5))
            os.kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
            killed += os.WIFSIGNALED(status)
            ready = builder(pypi_find_links=str(links)).prepare(lock)
            subprocess.run([ready.interpreter, "-c", proof], check=True, timeout=60)
            made.remove(lock)
        assert killed


ELSEWHERE = """
import json, os, subprocess, sys, time
from flow_core.api import ComputeCapabilities, Exited, launch_document, python_command

__flow__ = {"flow.computes": {"elsewhere": "Elsewhere"}}

BUILD = '''
import json, sys
from flow_core.api import Session, Settings, build_environment
url, provider, digest = sys.argv[1:]
settings = Settings()
settings.override("datastore", url, "test")
told = []
with Session(None, settings=settings, interactive=False) as session:
    made = build_environment(session, provider, digest, lambda text, part: told.append(text))
    found = {"interpreter": made.interpreter, "runtime": made.runtime, "variables": made.variables}
print(json.dumps({**found, "told": told}))
'''


class Elsewhere:
    # Has environments of its own, as another machine would.
    capabilities = ComputeCapabilities(environments=True)
    notice = None

    def prepare(self, runtime):
        self.runtime, self.waiting, self.last = runtime, [], 0

    def open(self, run, store):
        self.store = store

    def launch(self, task, command):
        self.last += 1
        self.waiting.append((self.last, task, command))
        return self.last

    def poll(self, timeout):
        return [self.run(*self.waiting.pop(0))] if self.waiting else []

    def run(self, handle, task, command):
        python, runtime, variables = sys.executable, None, {}
        if command.lock is not None:
            lock = command.lock
            words = [sys.executable, "-c", BUILD, self.store.url, lock.provider, lock.hash]
            place = {"FLOW_ENVIRONMENTS": os.path.abspath("elsewhere")}
            made = json.loads(subprocess.check_output(words, env={**os.environ, **place}))
            python, runtime, variables = made["interpreter"], made["runtime"], made["variables"]
            with open("told.txt", "a") as file:
                file.writelines(f"{task.step}: {len(made['told'])} {python}\\n")
        done = subprocess.run(
            python_command(python, "flow_core.launch", runtime),
            input=json.dumps(launch_document(self.runtime, task)).encode(),
            env={**os.environ, **variables},
        )
        return Exited(handle, done.returncode, None, "exit", "", time.time())

    def fileno(self):
        return None

    def cancel(self, handles, grace):
        pass

    def logs(self, task, stream, offset=0):
        return b""

    def close(self):
        pass
"""


@pytest.mark.slow
def test_built_where_the_tasks_run(tester: FlowTester) -> None:
    """The launcher resolves, and builds nothing; each place builds once, with a cache of its own."""
    tester.write(ELSEWHERE, "elsewhere.py")
    file = tester.write(FLOW)
    here = {"FLOW_ENVIRONMENTS": str(tester.path / "here")}
    words = ("-p", "elsewhere", "--compute", "elsewhere", "run")
    tester.python(file, *words, variables=here).check()
    assert tester.left().artifact("other", "two") == "2.0"
    assert tester.left().artifact("start", "one") == "1.0"
    first, second = (tester.path / "told.txt").read_text().splitlines()
    assert first.startswith("start: ")
    assert int(first.split()[1]) > 0  # it told how it went on
    assert all(str(tester.path / "elsewhere" / "pypi") in line for line in (first, second))
    kept = [p.name for p in (tester.path / "here" / "pypi").iterdir()]
    assert not [name for name in kept if len(name) == 16], "nothing was built by the launcher"
    tester.python(file, *words, variables=here).check()
    third = (tester.path / "told.txt").read_text().splitlines()[2]
    assert third.split() == ["start:", "0", first.split()[2]], "it is found, and nothing told"


@pytest.mark.slow
def test_a_full_disk(tmp_path: Path, wheels: Path) -> None:
    program = tmp_path / "build.py"
    program.write_text(FULL)
    place = tmp_path / "small"
    place.mkdir()
    write_wheel(tmp_path, "large", "1.0", {"large.py": "x" * 4_000_000})
    words = f"mount -t tmpfs -o size=1m tmpfs '{place}' && exec '{sys.executable}' '{program}' '{place}' '{tmp_path}'"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", words],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    if "denied" in done.stderr or "not permitted" in done.stderr:
        pytest.skip("a small disk can only be made as root")
    assert done.stdout.splitlines() == ["The disk is full", "No space left on device", "[]"], (
        done.stderr
    )


FULL = """
import sys
from pathlib import Path

from flow_core.api import EnvironmentBuilder, EnvironmentRequest, NoEnvironment, this_platform
from flow_pypi.provider import PypiEnvironment

place, links = sys.argv[1:]
settings = {"pypi_index": "", "pypi_extra_index": "", "pypi_find_links": links,
            "pypi_python_downloads": False, "mirror_packages": False}
made = EnvironmentBuilder("pypi", PypiEnvironment(), place, setting=settings.__getitem__)
python = f"{sys.version_info[0]}.{sys.version_info[1]}"
try:
    made.prepare(made.resolve(EnvironmentRequest({"packages": ["large"]}, (), {}, this_platform(), python)))
except NoEnvironment as error:
    print(error.what, error.why, sep="\\n")
print([p.name for p in (Path(place) / "pypi").iterdir() if len(p.name) == 16])
"""
