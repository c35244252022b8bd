"""`metaflow.Runner` and `metaflow.NBRunner`: real processes, and the predecessor's objects."""

import os

import pytest

FLOW = """
from metaflow import FlowSpec, Parameter, step


class CountFlow(FlowSpec):
    alpha = Parameter("alpha", default=1)
    learning_rate = Parameter("learning_rate", default=0.5)
    bad = Parameter("bad", default=False, type=bool)

    @step
    def start(self):
        print("alpha is", self.alpha)
        self.items = [1, 2]
        self.next(self.work, foreach="items")

    @step
    def work(self):
        if self.bad:
            raise ValueError("asked to")
        self.value = self.input * self.alpha
        self.next(self.join)

    @step
    def join(self, inputs):
        self.total = sum(i.value for i in inputs)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    CountFlow()
"""


@pytest.fixture
def script(old):
    """Run a script beside the flow; return its output."""
    old.write("count.py", FLOW)

    def call(text, **variables):
        old.write("script.py", text)
        done = old.call("script.py", **variables)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.splitlines()

    return call


def test_runs_and_what_they_return(script):
    lines = script(
        """
from metaflow import Run, Runner, Task, namespace

with Runner("count.py", show_output=False, pylint=False, environment="local").run(
    alpha=3, learning_rate=0.1, tags=["x"], max_workers=1
) as running:
    print(running.status, running.run.data.total, running.run.data.learning_rate)
    print(type(running.run) is Run, running.run == Run("CountFlow/1"))
    print(running.run.finished, "x" in running.run.tags, running.stdout.endswith("Done!\\n"))

failed = Runner("count.py", show_output=False, env={"METAFLOW_USER": "eve"}).run(bad=True)
print(failed.status, failed.run.finished, "user:eve" in failed.run.tags)
print(failed.stderr.splitlines()[-1])
namespace(None)
resumed = Runner("count.py", show_output=False).resume(step_to_rerun="work", origin_run_id="1")
print(resumed.run.origin_pathspec, resumed.run.successful)
spun = Runner("count.py", show_output=False).spin("1/work/2")
print(type(spun.task) is Task, spun.task.data.value)
"""
    )
    assert lines == [
        "successful 9 0.1",
        "True True",
        "True True True",
        "failed False True",
        "  try:   python -m flow_metaflow count.py resume --origin-run-id 2",
        "CountFlow/1 True",
        "True 3",
    ]


def test_options_that_stand_elsewhere_here(script, old):
    (old.folder / "proj.py").write_text(
        FLOW.replace("import FlowSpec", "import project, FlowSpec").replace(
            "class CountFlow", '@project(name="p")\nclass CountFlow'
        )
    )
    lines = script(
        """
import json
from metaflow import Runner

run = Runner("count.py", show_output=False, datastore_root="elsewhere").run(
    namespace="", runner_attribute_file="facts.json", max_num_splits=2
)
print(run.run.data.total, json.load(open("facts.json"))["run_id"])
few = Runner("count.py", show_output=False).run(max_num_splits=1)
print(few.status, "--max-num-splits allows" in few.stderr)
branch = Runner("proj.py", show_output=False, branch="b").run()
print("project_branch:test.b" in branch.run.tags)
"""
    )
    assert lines == ["3 1", "failed True", "True"]
    assert (old.folder / "elsewhere/.flow/runs/CountFlow/1").is_dir()


def test_what_is_not_offered(script):
    lines = script(
        """
from metaflow import Runner

for options in [
    {"environment": "uv"}, {"metadata": "service"}, {"decospecs": ["batch:cpu=1"]}, {"nope": 1}
]:
    try:
        Runner("count.py", **options).run()
    except Exception as error:
        print(error.what, "|", error.why, "|", error.hint)
try:
    Runner("count.py").run(alhpa=3)
except Exception as error:
    print(error.what, "|", error.hint)
"""
    )
    assert lines[0].startswith("environment='uv' is not offered by flow-metaflow | flow-conda and")
    assert lines[1].startswith("metadata='service' is not offered by flow-metaflow | there is no")
    assert lines[2].startswith("The decorator 'batch' is not offered by flow-metaflow | nothing")
    assert lines[3].startswith("There is no option 'nope' | None | known names:")
    assert lines[4] == "There is no option 'alhpa' | did you mean 'alpha'?"


def test_without_waiting(script):
    lines = script(
        """
import asyncio
from metaflow import Runner

async def main():
    async with Runner("count.py", show_output=False) as runner:
        both = await asyncio.gather(runner.async_run(alpha=1), runner.async_run(alpha=2))
        texts = [line async for _, line in both[0].stream_log("stdout")]
        await asyncio.gather(*(running.wait() for running in both))
        print([running.status for running in both], [r.run.data.total for r in both])
        print(any(line.endswith("alpha is 1") for line in texts), texts[-1].endswith("Done!"))
        again = await runner.async_resume(origin_run_id=both[0].run.id)
        await again.wait(stream="stderr")
        print(again.status, again.returncode)

asyncio.run(main())
"""
    )
    assert lines == ["['successful', 'successful'] [3, 6]", "True True", "successful 0"]


def test_a_notebook(old):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    cells = [
        "import flow_metaflow\nflow_metaflow.install()",
        FLOW.partition("if __name__")[0]
        + """
from metaflow import NBRunner, Run
run = NBRunner(CountFlow, show_output=False, pylint=False).nbrun(alpha=4)
print(type(run) is Run, run.data.total, run.finished)
""",
        """
runner = NBRunner(CountFlow, show_output=False)
with await runner.async_run(alpha=1) as running:
    await running.wait()
    print(running.status, type(running.run) is Run)
again = NBRunner(CountFlow, show_output=False).nbresume(origin_run_id=run.id)
print(again.origin_pathspec)
runner.cleanup()
from metaflow import card
""",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    client = nbclient.NotebookClient(
        notebook, timeout=120, resources={"metadata": {"path": str(old.folder)}}
    )
    inherited = {n: v for n, v in os.environ.items() if not n.startswith(("FLOW_", "METAFLOW_"))}
    with pytest.raises(
        nbclient.exceptions.CellExecutionError, match="old flows cannot leave cards yet"
    ):
        client.execute(env={**inherited, **old.variables})
    second, third = (
        "".join(o.get("text", "") for o in cell.outputs if o.get("name") == "stdout")
        for cell in notebook.cells[1:]
    )
    assert second == "True 12 True\n"
    assert third == "successful True\nCountFlow/1\n"
