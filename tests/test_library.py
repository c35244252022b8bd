"""Flows from Python: in scripts, threads, tests, packages and notebooks, as real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flow_core import FlowSpec, Parameter, RunFailed, resume_flow, run_flow, step
from flow_core.api import UsageError
from flow_core.testing import FlowTester

FLOW = """
    import dataclasses, os
    from flow_core import FlowSpec, Parameter, RunFailed, current, run_flow, step

    @dataclasses.dataclass
    class Point:
        x: int

    OFFSET = 5

    def moved(number):
        return Point(number + OFFSET)

    class MyFlow(FlowSpec):
        alpha = Parameter("alpha", default=1)
        learning_rate = Parameter("learning-rate", default=0.5)

        @step
        def start(self):
            print("alpha is", self.alpha)
            self.point = moved(self.alpha)
            self.items = [1, 2]
            self.next(self.work, foreach="items")

        @step
        def work(self):
            assert isinstance(self.point, Point)
            if self.alpha == 13:
                raise ValueError("bad luck")
            self.product = self.input * self.point.x
            self.next(self.join)

        @step
        def join(self, inputs):
            self.run = sum(i.product for i in inputs)
            self.rate = self.learning_rate
            self.next(self.end)

        @step
        def end(self):
            self.twice = 2 * self.run
"""


@pytest.fixture(scope="module", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Run this module's flows in a folder of its own, without settings of the person's."""
    folder = tmp_path_factory.mktemp("library")
    with pytest.MonkeyPatch.context() as patch:
        for name in [n for n in os.environ if n.startswith("FLOW_")]:
            patch.delenv(name)
        patch.setenv("HOME", str(folder))
        patch.setenv("FLOW_USER", "tester")
        patch.chdir(folder)
        yield folder


class Squares(FlowSpec):
    """A flow of a test module."""

    count = Parameter("count", default=3)

    @step
    def start(self) -> None:
        print("counting to", self.count)
        self.numbers = list(range(self.count))
        self.next(self.end)

    @step
    def end(self) -> None:
        if self.count == 13:
            raise ValueError("bad luck")
        self.total = sum(n * n for n in self.numbers)


def in_thread(function: Any) -> Any:
    """Call a function in another thread, from which tasks are not forked."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


class TestUnderPytest:
    def test_the_run_is_returned(self, capsys: pytest.CaptureFixture[str]) -> None:
        run = Squares.run(count=4, tags=["a"])
        assert (run.data.total, run.successful, run.user_tags) == (14, True, {"a"})
        assert "counting to 4" in capsys.readouterr().out  # shown, in the main thread
        assert not Squares.run(show=False, tags="b").user_tags ^ {"b"}
        assert capsys.readouterr().out == ""

    def test_a_failure_is_raised_with_the_run(self) -> None:
        with pytest.raises(RunFailed, match="ValueError: bad luck") as caught:
            Squares.run(count=13, show=False)
        run = caught.value.run
        assert run.failed
        assert run["start"].task.data.numbers == list(range(13))
        assert caught.value.hint == f"Squares.resume(origin='{run.id}')"

    def test_a_failure_is_returned_on_request(self) -> None:
        run = Squares.run(count=13, check=False, show=False)
        assert (run.failed, run.end_task.exception.message) == (True, "bad luck")

    def test_a_flow_of_a_function(self) -> None:
        outside = {"factor": 3}

        class Local(FlowSpec):
            @step
            def start(self) -> None:
                self.next(self.end)

            @step
            def end(self) -> None:
                self.tripled = 2 * outside["factor"]

        assert Local.run(show=False).data.tripled == 6
        assert in_thread(lambda: Local.run().data.tripled) == 6

    def test_resume(self) -> None:
        failed = Squares.run(count=13, check=False, show=False)
        again = Squares.resume(origin=failed, check=False, show=False)
        assert again.origin_pathspec == failed.pathspec
        assert again["start"].task.origin_pathspec == failed["start"].task.pathspec
        assert resume_flow(Squares, check=False, show=False, step="start").origin_pathspec == (
            again.pathspec
        )
        with pytest.raises(UsageError, match="There is no step 'strat'"):
            Squares.resume(step="strat")


class TestArguments:
    def test_a_mistyped_name_is_told_before_anything_runs(self) -> None:
        with pytest.raises(UsageError) as caught:
            Squares.run(cuont=3)
        assert str(caught.value) == (
            "Flow 'Squares' has no parameter 'cuont', and a run has no option of that name\n"
            "  try:   did you mean 'count'?"
        )
        with pytest.raises(UsageError, match="did you mean 'max_workers'"):
            Squares.run(max_worker=3)
        with pytest.raises(UsageError, match="has no parameter 'cuont'\n"):
            run_flow(Squares, {"cuont": 3})

    def test_a_wrong_value(self) -> None:
        with pytest.raises(UsageError, match="'many' is not an integer"):
            Squares.run(count="many")

    def test_text_and_none(self) -> None:
        assert Squares.run(count="4", show=False).data.count == 4
        assert Squares.run(count=None, show=False).data.count == 3

    def test_a_parameter_comes_before_an_option(self) -> None:
        class Clash(FlowSpec):
            compute = Parameter("compute", default="none")
            show = Parameter("show", default=1)

            @step
            def start(self) -> None:
                self.next(self.end)

            @step
            def end(self) -> None:
                self.found = (self.compute, self.show)

        run = Clash.run(compute="a", show=2, settings={"terminal_quiet": True})
        assert run.data.found == ("a", 2)
        run = run_flow(Clash, {"compute": "b"}, compute="local", show=False)
        assert run.data.found == ("b", 1)

    def test_a_step_called_run(self) -> None:
        class Named(FlowSpec):
            resume = Parameter("resume", default=5)

            @step
            def start(self) -> None:
                self.next(self.run)

            @step
            def run(self) -> None:
                self.next(self.end)

            @step
            def end(self) -> None:
                self.kept = self.resume

        assert run_flow(Named, {"resume": 7}, show=False).data.kept == 7

    def test_an_artifact_called_run(self) -> None:
        class Kept(FlowSpec):
            @step
            def start(self) -> None:
                assert not hasattr(self, "run")
                self.run = "mine"
                self.next(self.end)

            @step
            def end(self) -> None:
                self.seen = self.run

        assert Kept.run(show=False).data.seen == "mine"

    def test_decorators_and_settings(self) -> None:
        run = Squares.run(
            show=False, decorators="retry:times=2", settings={"max_log_size": 1}, max_workers=1
        )
        assert run.graph["steps"]["start"]["decorators"] == ["retry"]
        with pytest.raises(UsageError, match="There is no setting 'max_log_syze'"):
            Squares.run(settings={"max_log_syze": 1})
        with pytest.raises(UsageError, match="There is no compute provider 'locol'"):
            Squares.run(compute="locol")

    def test_help(self) -> None:
        assert Squares.run.__qualname__ == "Squares.run"
        assert "check: whether" in Squares.run.__doc__


class TestPlaces:
    def test_another_store(self, tmp_path: Path) -> None:
        run = Squares.run(
            show=False, datastore=f"local://{tmp_path}/x", metadata=f"local://{tmp_path}/x"
        )
        assert run.data.total == 5
        assert (tmp_path / "x/runs/Squares/1/run.json").exists()

    def test_threads(self, capsys: pytest.CaptureFixture[str]) -> None:
        found: dict[int, Any] = {}

        def work(count: int) -> None:
            found[count] = Squares.run(count=count)

        threads = [threading.Thread(target=work, args=(n,)) for n in (2, 3, 4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {n: run.data.total for n, run in found.items()} == {2: 1, 3: 5, 4: 14}
        assert len({run.id for run in found.values()}) == 3
        assert capsys.readouterr().out == ""  # quiet, in a thread

    def test_a_step_runs_another_flow(self) -> None:
        class Outer(FlowSpec):
            @step
            def start(self) -> None:
                from flow_core import current

                inner = Squares.run(count=2, show=False)
                self.found = (inner.data.total, current.flow_name)
                self.next(self.end)

            @step
            def end(self) -> None:
                pass

        assert Outer.run(show=False).data.found == (1, "Outer")


class TestScripts:
    def test_a_script_runs_its_flow_twice_and_goes_on(self, flowtester: FlowTester) -> None:
        script = """
            print("the script starts")  # once: tasks do not run it again
            import threading

            def work():
                run = MyFlow.run(alpha=3, learning_rate=0.1, show=False)
                data = run.data
                point = run["start"].task.data.point
                print(data.run, data.twice, data.rate, isinstance(point, Point))

            work()
            thread = threading.Thread(target=work)  # from here, tasks are not forked
            thread.start()
            thread.join()
        """
        file = flowtester.write(_unindented(FLOW) + _unindented(script))
        found = flowtester.python(file).check()
        assert found.stdout.splitlines() == [
            "the script starts",
            "24 48 0.1 True",
            "24 48 0.1 True",
        ]
        # As a flow file it is one like any other: what it does besides is not done.
        found = flowtester.flow("run", "flow.py", "--alpha", "4").check()
        assert found.stdout.count("MyFlow/3 starts") == 1
        assert "24 48" not in found.stdout

    def test_several_flows_in_threads_of_a_script(self, flowtester: FlowTester) -> None:
        script = """
            import threading

            class Other(MyFlow):
                @step
                def end(self):
                    self.twice = -1

            found = {}
            def work(flow, alpha):
                found[flow.__name__, alpha] = flow.run(alpha=alpha).data.twice
            threads = [threading.Thread(target=work, args=a)
                       for a in ((MyFlow, 1), (MyFlow, 2), (Other, 1))]
            for thread in threads: thread.start()
            for thread in threads: thread.join()
            print(sorted(found.items()))
        """
        file = flowtester.write(_unindented(FLOW) + _unindented(script))
        found = flowtester.python(file).check()
        assert found.stdout == f"{[(('MyFlow', 1), 36), (('MyFlow', 2), 42), (('Other', 1), -1)]}\n"

    def test_what_cannot_be_sent(self, flowtester: FlowTester) -> None:
        """The file is loaded again where there is one; else the culprit is named."""
        script = """
            import sys, threading
            from flow_core import FlowError, FlowSpec, step

            lock = threading.Lock()

            class Locked(FlowSpec):
                @step
                def start(self):
                    self.x = lock.acquire()
                    self.next(self.end)

                @step
                def end(self):
                    pass

            def make():
                class Inner(Locked):
                    @step
                    def end(self):
                        pass
                return Inner

            def work():
                print(Locked.run()["start"].task.data.x)
                try:
                    make().run()
                except FlowError as error:
                    print(error)

            thread = threading.Thread(target=work)
            thread.start()
            thread.join()
        """
        found = flowtester.python(flowtester.write(script)).check()
        assert found.stdout.splitlines()[:4] == [
            "True",
            "Flow 'Inner' cannot be sent to the processes of its tasks",
            "  where: lock, a _thread.lock that its steps use",
            "  why:   TypeError: cannot pickle '_thread.lock' object",
        ]
        assert 'or run it in this process: compute="in-process"' in found.stdout
        assert found.stderr == ""

    def test_ctrl_c_is_a_keyboard_interrupt(self, flowtester: FlowTester) -> None:
        script = """
            import time
            from flow_core import FlowSpec, RunFailed, step

            class Slow(FlowSpec):
                @step
                def start(self):
                    print("ready", flush=True)
                    time.sleep(60)
                    self.next(self.end)

                @step
                def end(self):
                    pass

            try:
                Slow.run(check=False)
            except KeyboardInterrupt as error:
                print(error, "-", error.__cause__.run.state)
        """
        file = flowtester.write(script)
        process = subprocess.Popen(
            [sys.executable, str(file)],
            cwd=flowtester.path,
            env=flowtester.environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        shown = ""
        while "ready" not in shown:
            shown += process.stdout.readline()
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=60)[0]
        assert "Run Slow/1 was interrupted - interrupted" in rest

    def test_without_the_client(self, flowtester: FlowTester) -> None:
        file = flowtester.write(_unindented(FLOW) + "MyFlow.run()\n")
        plugins = ["run", "compute-local", "store-local", "metadata-local"]
        found = flowtester.python(file, plugins=plugins)
        assert "flow_core has no 'Run'" in found.stderr or found.returncode == 0


class TestPackages:
    @pytest.fixture
    def package(self, flowtester: FlowTester) -> FlowTester:
        flowtester.write("", "shop/__init__.py")
        flowtester.write("", "shop/flows/__init__.py")
        flowtester.write("RATE = 2\n", "shop/rates.py")
        flowtester.write(
            """
            from flow_core import FlowSpec, step
            from ..rates import RATE

            class Base(FlowSpec):
                @step
                def start(self):
                    self.rate = RATE
                    self.next(self.end)

            class A(Base):
                @step
                def end(self):
                    self.which = "A"

            class B(Base):
                @step
                def end(self):
                    self.which = "B"

            if __name__ == "__main__":
                A()
            """,
            "shop/flows/daily.py",
        )
        return flowtester

    def test_by_file_and_by_module(self, package: FlowTester) -> None:
        for file, flow, fork in (
            ("shop/flows/daily.py:A", "A", "auto"),
            ("shop/flows/daily.py:B", "B", "never"),
            ("shop.flows.daily:B", "B", "never"),
        ):
            found = package.flow("run", file, variables={"FLOW_FORK": fork}).check()
            assert f"Done: {flow}/" in found.stdout

    def test_as_a_module(self, package: FlowTester) -> None:
        found = package.command([sys.executable, "-m", "shop.flows.daily", "run"]).check()
        assert "Done: A/1" in found.stdout

    def test_from_a_script_and_its_threads(self, package: FlowTester) -> None:
        script = package.write(
            """
            import sys, threading
            from shop.flows.daily import A, B
            run = A.run(show=False)
            print(run.data.which, sorted(run.code.files), run.code.script_name)
            print(run.code.flowspec.splitlines()[1])
            thread = threading.Thread(target=lambda: print(B.run().data.which))
            thread.start()
            thread.join()
            """,
            "script.py",
        )
        files = ["__init__.py", "flows/__init__.py", "flows/daily.py", "rates.py"]
        assert package.python(script).check().stdout.splitlines() == [
            f"A {[f'shop/{file}' for file in files]} shop/flows/daily.py",
            "from ..rates import RATE",
            "B",
        ]

    def test_no_such_module(self, package: FlowTester) -> None:
        found = package.flow("run", "shop.flows.dayly")
        assert found.error["error"] == "There is no flow file 'shop.flows.dayly'"
        found = package.flow("run", "shop.flows.daily")
        assert found.error["try"] == "choose one: shop.flows.daily:A"


NOTEBOOK = [
    """
    import dataclasses
    import json
    from flow_core import FlowSpec, Parameter, Run, step

    @dataclasses.dataclass
    class Point:
        x: int

    OFFSET = 5

    def moved(number):
        return Point(number + OFFSET)
    """,
    """
    class NotebookFlow(FlowSpec):
        alpha = Parameter("alpha", default=1)

        @step
        def start(self):
            print("alpha is", self.alpha)
            self.point = moved(self.alpha)
            self.next(self.middle)

        @step
        def middle(self):
            assert isinstance(self.point, Point)
            self.point.x += 1
            self.next(self.end)

        @step
        def end(self):
            assert isinstance(self.point, Point)
            self.x = self.point.x
    """,
    """
    run = NotebookFlow.run(alpha=3)
    """,
    """
    here = NotebookFlow.run(alpha=3, compute="in-process", show=False)
    print(json.dumps({
        "x": [run.data.x, here.data.x],
        "classes": [isinstance(r.data.point, Point) for r in (run, here)],
        "hashes": run["start"].task["point"].sha == here["start"].task["point"].sha,
        "code": run.code.script_name,
        "source": run.code.flowspec,
    }))
    """,
    """
    old = Run("MyFlow/1")
    point = old["start"].task.data.point
    print(json.dumps([type(point).__name__, point.x, repr(point)]))
    """,
]


def test_a_notebook(flowtester: FlowTester) -> None:
    """Cells have no file: tasks in other processes get the flow all the same; and what a script
    has stored of a class of its own is read there."""
    flowtester.write(_unindented(FLOW) + "if __name__ == '__main__':\n    MyFlow()\n")
    flowtester.flow("run", "flow.py").check()
    shown = run_notebook(flowtester, NOTEBOOK)
    assert "alpha is 3" in shown[2]
    assert "tasks cannot be forked from this process and start slower" in shown[2]
    assert "Done: NotebookFlow/1" in shown[2]
    found = json.loads(shown[3])
    source = found.pop("source")
    assert found == {
        "x": [9, 9],
        "classes": [True, True],
        "hashes": True,
        "code": "NotebookFlow.py",
    }
    assert "def moved(number):" in source
    assert "class NotebookFlow(FlowSpec):" in source
    assert json.loads(shown[4]) == ["Point", 6, "Point(x=6)"]


def test_a_prompt(flowtester: FlowTester) -> None:
    """What was typed at a prompt that keeps no source is told, not guessed."""
    script = flowtester.write(
        """
        source = '''
        from flow_core import FlowSpec, step
        class Typed(FlowSpec):
            @step
            def start(self):
                self.next(self.end)
            @step
            def end(self):
                self.x = 1
        '''
        import textwrap
        exec(compile(textwrap.dedent(source), "<stdin>", "exec"))
        Typed.run()
        """
    )
    found = flowtester.python(script)
    assert "Step 'start': its source cannot be read" in found.stderr


def run_notebook(flowtester: FlowTester, cells: list[str]) -> list[str]:
    """Run cells in a kernel of their own, in the folder; return what each printed."""
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    sources = [nbformat.v4.new_code_cell(_unindented(cell)) for cell in cells]
    notebook = nbformat.v4.new_notebook(cells=sources)
    variables = flowtester.environment([*_default(), "inprocess", "runner"])
    client = nbclient.NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(flowtester.path)}}
    )
    client.execute(env=variables)
    return [
        "".join(o.get("text", "") for o in cell.outputs if o.get("name") == "stdout")
        for cell in notebook.cells
    ]


def _default() -> list[str]:
    from flow_core.testing.flowtester import default_plugins

    return default_plugins()


def _unindented(source: str) -> str:
    import textwrap

    return textwrap.dedent(source).lstrip("\n")
