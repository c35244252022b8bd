"""Runner and NBRunner: real processes, followed from Python."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flow_core.api import UsageError
from flow_runner import ExecutingRun, NBRunner, NotStarted, Runner
from flow_runner.notebook import NotInNotebook, flow_source
from flow_runner.words import option_words, split_arguments

FLOW = """
    import os, time
    from flow_core import FlowSpec, JSONType, Parameter, current, project, step

    print("the file is loaded")

    class Counted(FlowSpec):
        alpha = Parameter("alpha", default=1)
        the_list = Parameter("the-list", type=JSONType, default=[])
        flag = Parameter("flag", default=False)

        @step
        def start(self):
            print("alpha is", self.alpha)
            print("a second line", flush=True)
            if self.alpha == 5:
                time.sleep(60)
            self.next(self.end)

        @step
        def end(self):
            if self.alpha == 13 and not os.path.exists("mended"):
                raise ValueError("bad luck")
            self.found = (self.alpha, self.the_list, self.flag, os.environ.get("MINE"))

    if __name__ == "__main__":
        Counted()
"""


@pytest.fixture
def lab(flowtester, monkeypatch):
    flowtester.more_plugins = ["runner"]
    flowtester.write(FLOW, "counted.py")
    variables = flowtester.environment()
    for name in [n for n in os.environ if n.startswith("FLOW_")]:
        monkeypatch.delenv(name)
    for name in ("HOME", "FLOW_USER", "FLOW_PLUGINS"):
        monkeypatch.setenv(name, variables[name])
    monkeypatch.chdir(flowtester.path)
    return flowtester


class TestRun:
    def test_parameters_options_and_what_is_shown(self, lab, capsys):
        with Runner("counted.py", env={"MINE": "yes"}, decorators=["retry:times=1"]) as runner:
            done = runner.run(alpha=3, the_list=[1, "a"], flag=True, tags=["x", "y"], max_workers=1)
            assert isinstance(done, ExecutingRun)
            assert (done.status, done.returncode) == ("successful", 0)
            assert done.run.data.found == (3, [1, "a"], True, "yes")
            assert done.run.user_tags == {"x", "y"}
            assert done.run.graph["steps"]["end"]["decorators"] == ["retry"]
            assert "alpha is 3" in done.stdout
            assert done.stderr == ""
            assert repr(done) == "<ExecutingRun Counted/1: successful>"
            folder = done._process.folder
            assert capsys.readouterr().out == done.stdout
        assert not os.path.exists(folder)

    def test_a_failure_raises_nothing_and_is_resumed(self, lab, capsys):
        runner = Runner("counted.py", show_output=False)
        with runner.run(alpha=13) as failed:
            assert (failed.status, failed.returncode) == ("failed", 1)
            assert failed.run.failed
            assert "bad luck" in failed.stdout + failed.stderr
        Path("mended").touch()
        with runner.resume(origin_run_id=failed.run.id) as done:
            assert done.run.successful
            assert done.run.origin_pathspec == failed.run.pathspec
        with runner.resume(step_to_rerun="end", origin_run_id=failed.run.id) as done:
            assert done.status == "successful"
        assert capsys.readouterr().out == ""

    def test_one_step_again(self, lab):
        with Runner("counted.py", show_output=False) as runner:
            done = runner.run(alpha=3)
            spun = runner.spin("start")
            assert repr(spun) == "<ExecutingTask Counted/1: successful>"
            assert "alpha is 3" in spun.stdout
            assert spun.task.pathspec == "Counted/1/start/1"
            assert spun.task.successful
            assert spun.run["start"].task == spun.task
            lab.write("ARTIFACTS = {'alpha': 7}\n", "other.py")
            spun = runner.spin(f"{done.run.id}/end/2", artifacts_module="other.py")
            assert spun.task.data.found[0] == 7
            assert spun.status == "successful"
            lab.write("ARTIFACTS = {'alpha': 13}\n", "other.py")
            spun = runner.spin("end", artifacts_module="other.py")
            assert (spun.status, spun.task.failed) == ("failed", True)
            assert spun.task.exception.message == "bad luck"
            with pytest.raises(NotStarted, match="nowhere"):
                runner.spin("nowhere")
            # The runs themselves are as they were.
            assert [r.id for r in done.run.parent] == [done.run.id]

    def test_one_step_again_without_waiting(self, lab):
        async def follow():
            async with Runner("counted.py", show_output=False) as runner:
                runner.run(alpha=3)
                spun = await runner.async_spin("start")
                await spun.wait()
                return spun.status, spun.task.pathspec

        assert asyncio.run(follow()) == ("successful", "Counted/1/start/1")

    def test_other_commands_are_methods(self, lab):
        runner = Runner("counted.py", show_output=False)
        with runner.show() as shown:
            assert "start" in shown.stdout
            assert shown.status == "successful"
        assert "run" in dir(runner)
        with pytest.raises(AttributeError, match=r"has no command 'shwo'.*'show'"):
            runner.shwo()

    def test_elsewhere(self, lab, tmp_path_factory):
        """The run is found where the process keeps it, whatever the folder."""
        other = tmp_path_factory.mktemp("other")
        file = str(lab.path / "counted.py")
        with Runner(file, show_output=False, cwd=other, datastore="local://here") as runner:
            done = runner.run(alpha=2, run_id_file="id.txt")
            assert done.run.data.found[0] == 2
            assert (other / "id.txt").read_text() == done.run.id
        assert (other / "here/runs/Counted/1/run.json").exists()


class TestRefused:
    def test_names_are_checked_before_anything_starts(self, lab):
        runner = Runner("counted.py", show_output=False)
        with pytest.raises(UsageError) as caught:
            runner.run(alhpa=3)
        assert str(caught.value) == (
            "There is no option 'alhpa'\n"
            "  where: command 'run' of flow 'Counted'\n"
            "  try:   did you mean 'alpha'?"
        )
        with pytest.raises(UsageError, match="There is no option 'datastor'"):
            Runner("counted.py", datastor="x").run()
        with pytest.raises(UsageError, match="There is no place for the argument 'b'"):
            runner.resume("end", "b")
        assert not (lab.path / ".flow/runs").exists()

    def test_a_file_that_is_none(self, lab):
        with pytest.raises(UsageError, match=r"(?s)'nothing.py' cannot be used.*no flow file"):
            Runner("nothing.py").run()
        lab.write("import missing_module\n", "broken.py")
        with pytest.raises(UsageError, match=r"(?s)cannot be loaded.*No module named"):
            Runner("broken.py").run()

    def test_a_process_that_has_no_run(self, lab):
        with pytest.raises(NotStarted) as caught:
            Runner("counted.py", show_output=False).run(alpha="many")
        assert isinstance(caught.value, RuntimeError)
        assert caught.value.returncode == 2
        assert "'many' is not an integer" in str(caught.value)
        assert "'many' is not an integer" in caught.value.stderr


class TestAsync:
    def test_streams_and_waiting(self, lab):
        async def follow():
            async with Runner("counted.py", show_output=False) as runner:
                started = await runner.async_run(alpha=4)
                lines = [line async for _, line in started.stream_log("stdout")]
                assert started.run.finished
                await started.wait()
                places = [place async for place, _ in started.stream_log("stdout")]
                rest = [line async for _, line in started.stream_log("stdout", places[1])]
                with pytest.raises(UsageError, match="did you mean 'stdout'"):
                    await anext(started.stream_log("stduot"))
                return started.status, lines, rest, started.stdout

        status, lines, rest, text = asyncio.run(follow())
        assert status == "successful"
        assert lines == text.splitlines()
        assert rest == lines[2:]
        assert any(line.endswith("alpha is 4") for line in lines)

    def test_several_at_once_and_a_deadline(self, lab):
        async def follow():
            async with Runner("counted.py", show_output=False) as runner:
                first, slow = await asyncio.gather(
                    runner.async_run(alpha=1), runner.async_run(alpha=5)
                )
                await first.wait(stream="stdout")
                await slow.wait(timeout=0.2)
                states = first.status, slow.status
                family = slow._process._process.pid
                tasks = children_of(family)
                slow.interrupt()
                return states, slow.status, slow.run.state, family, tasks

        states, status, state, family, tasks = asyncio.run(follow())
        assert states == ("successful", "timeout")
        assert (status, state) == ("failed", "interrupted")
        assert tasks
        assert not gone_within(10, [family, *tasks])


def children_of(pid):
    from flow_runner.process import _descendants

    return _descendants(pid)


def gone_within(seconds, pids):
    """Wait until none of the processes lives; return those that do in the end."""

    def alive(pid):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state not in "ZX"

    deadline = time.monotonic() + seconds
    while any(map(alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return [pid for pid in pids if alive(pid)]


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_ctrl_c_ends_all_that_was_started(lab):
    script = lab.write(
        """
        from flow_core import Runner
        try:
            Runner("counted.py").run(alpha=5)
        except KeyboardInterrupt:
            print("interrupted")
        """,
        "script.py",
    )
    process = subprocess.Popen(
        [sys.executable, str(script)], cwd=lab.path, stdout=subprocess.PIPE, text=True
    )
    seen = ""
    while "a second line" not in seen:
        seen += process.stdout.readline()
    family = children_of(process.pid)
    assert len(family) >= 2
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30)[0].endswith("interrupted\n")
    assert not gone_within(10, family)


class TestWords:
    OPTIONS = (
        {"names": ["tag", "tags"], "flags": ["--tag"], "is_flag": False, "multiple": True},
        {"names": ["fast"], "flags": ["--fast"], "is_flag": True, "multiple": False, "off": None},
        {"names": ["plugins"], "flags": ["-p"], "is_flag": False, "multiple": True},
        {"names": ["alpha"], "flags": ["--alpha"], "is_flag": False, "multiple": False},
    )

    def test_options(self):
        given = {"tags": ["a", "-b"], "fast": True, "plugins": "no:x", "alpha": {"k": [1, None]}}
        assert option_words(self.OPTIONS, given, "x") == [
            "--tag=a",
            "--tag=-b",
            "--fast",
            "-p",
            "no:x",
            '--alpha={"k": [1, null]}',
        ]
        pairs = {"names": ["config"], "flags": ["--config"], "is_flag": False, "pairs": True}
        words = option_words([pairs], {"config": {"model": "model.toml"}}, "x")
        assert words == ["--config", "model", "model.toml"]
        assert option_words(self.OPTIONS, {"fast": False, "alpha": None}, "x") == []
        with pytest.raises(UsageError, match="'fast' is True or False, not 'yes'"):
            option_words(self.OPTIONS, {"fast": "yes"}, "x")

    def test_arguments(self):
        step = [{"name": "step", "many": False}]
        assert split_arguments(step, ("a",), {"x": 1}, "w") == (["a"], {"x": 1})
        assert split_arguments(step, (), {"step_to_rerun": "b"}, "w") == (["b"], {})
        assert split_arguments([{"name": "runs", "many": True}], (1, 2), {}, "w") == (
            ["1", "2"],
            {},
        )


class TestNotebook:
    def test_outside(self):
        with pytest.raises(NotInNotebook, match="NBRunner works in a notebook"):
            NBRunner()

    def test_what_is_kept_of_a_cell(self):
        cell = (
            "import os\n"
            "get_ipython().run_line_magic('time', '')\n"
            "X = 1\n"
            "@mark\n"
            "class F(FlowSpec):\n"
            "    pass\n"
            "NBRunner(F).nbrun()\n"
        )
        assert flow_source(cell) == "import os\n\nX = 1\n@mark\nclass F(FlowSpec):\n    pass\n"
        with pytest.raises(UsageError, match="This cell defines no flow"):
            flow_source("x = 1\n")

    def test_a_real_kernel(self, lab):
        nbformat = pytest.importorskip("nbformat")
        nbclient = pytest.importorskip("nbclient")
        lab.write("BESIDE = 7\n", "beside.py")
        cells = [
            """
from flow_core import FlowSpec, NBRunner, Parameter, step
from beside import BESIDE

class InCell(FlowSpec):
    alpha = Parameter("alpha", default=1)

    @step
    def start(self):
        self.x = self.alpha + BESIDE
        self.next(self.end)

    @step
    def end(self):
        if self.alpha == 13:
            raise ValueError("bad luck")

run = NBRunner(show_output=False).nbrun(alpha=3)
print(run.pathspec, run.data.x)
""",
            """
runner = NBRunner(InCell)
with await runner.async_run(alpha=4) as started:
    await started.wait()
    print(started.status, started.run.data.x)
failed = NBRunner(InCell, show_output=False).nbrun(alpha=13)
again = NBRunner(InCell, show_output=False).nbresume(origin_run_id=failed.id)
print(failed.failed, again.origin_pathspec)
runner.cleanup()
""",
        ]
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        client = nbclient.NotebookClient(
            notebook, timeout=120, resources={"metadata": {"path": str(lab.path)}}
        )
        client.execute(env=lab.environment())
        first, second = (
            "".join(o.get("text", "") for o in cell.outputs if o.get("name") == "stdout")
            for cell in notebook.cells
        )
        assert first == "InCell/1 10\n"
        assert "Done: InCell/2" in second
        assert "successful 11\n" in second
        assert second.endswith("True InCell/3\n")
