"""Reading results with the predecessor's client."""

SCRIPT_OUTPUT = """\
flows ['StatisticsFlow'] True
latest True True
run True True True ['mine']
data 300 True True
steps ['compute', 'end', 'join', 'start']
tasks [0, 1, 2] 3
task Action Action True True None
stdout Computing statistics for Action ['Computing statistics for Action']
artifact Action True
parents ['start'] ['join']
facts 0 ada True
code True
tags ['mine', 'seen'] 1
error MetaflowNamespaceMismatch
error MetaflowNotFound
error MetaflowInvalidPathspec
"""

FAILED = """
from metaflow import Flow, Task, namespace
import pickle
namespace(None)
run = Flow("FailingFlow").latest_run
task = run["work"].task
print(run.successful, run.finished, run.end_task, run.data, Flow("FailingFlow").latest_successful_run)
print(task.successful, task.finished, task.exception.type, task.exception.exception)
print("no luck" in task.exception.stacktrace, task.current_attempt)
print(Task(task.pathspec, attempt=0).data.attempt, task.data.attempt)
print(run["start"].task.successful, pickle.loads(pickle.dumps(run)) == run, run)
print(task.failed, run.state)
try:
    run["nope"]
except KeyError as ex:
    print("KeyError")
"""


def test_a_script_as_people_write_them(old):
    old.take("statistics_flow.py", "movies.csv", "read_results.py")
    old.call("statistics_flow.py", "run --tag mine").check()
    assert old.call("read_results.py", "StatisticsFlow 1").check().stdout == SCRIPT_OUTPUT


def test_a_failed_run_is_not_finished(old):
    old.take("fails.py")
    assert old.call("fails.py", "run").returncode == 1
    done = old.call(old.write("read.py", FAILED)).check()
    assert done.stdout.splitlines() == [
        "False False None None None",
        "False False builtins.ValueError no luck",
        "True 1",
        "0 1",
        "True True Run('FailingFlow/1')",
        "True failed",
        "KeyError",
    ]


def test_a_caught_failure_is_finished_but_not_successful(old):
    old.take("catch_retry.py")
    old.call("catch_retry.py", "run").check()
    text = """
from metaflow import Run, namespace
namespace(None)
run = Run("CatchFlow/1")
tasks = sorted(run["divide"], key=lambda task: task.index)
print([(t.successful, t.finished, t.exception) for t in tasks], run.successful, run.finished)
print(type(tasks[1].data.divide_failed).__name__)
"""
    done = old.call(old.write("read.py", text)).check()
    assert done.stdout.splitlines() == [
        "[(True, True, None), (False, True, None)] True True",
        "MetaflowExceptionWrapper",
    ]


def test_other_places(old):
    old.take("hello.py")
    old.call("hello.py", "run", METAFLOW_DATASTORE_SYSROOT_LOCAL=str(old.folder / "a")).check()
    text = """
import metaflow
from metaflow import Flow, Metaflow, default_metadata, metadata, namespace
namespace(None)
print(Metaflow().flows)
print(metadata("local@a") == "local@" + __import__("os").path.abspath("a"))
print(Metaflow().flows, Flow("HelloFlow").latest_run.data.message)
default_metadata()
print(Metaflow().flows)
try:
    metadata("https://service.example.com")
except metaflow.exception.MetaflowException as ex:
    print(ex.what)
"""
    done = old.call(old.write("read.py", text)).check()
    assert done.stdout.splitlines() == [
        "[]",
        "True",
        "[Flow('HelloFlow')] hello world",
        "[]",
        "metadata('https://service.example.com') is not offered by flow-metaflow",
    ]


CURRENT = """
from metaflow import FlowSpec, Run, Task, current, namespace, step


class CurrentFlow(FlowSpec):
    @step
    def start(self):
        assert isinstance(current.run, Run) and isinstance(current.task, Task)
        assert current.task.pathspec == current.pathspec
        assert current.tempdir is None and "start" in current.graph_info["steps"]
        assert current.get("nothing", 1) == 1 and "flow_name" in current
        assert [s.__name__ for s in self] == ["end", "start"], [s.__name__ for s in self]
        self.next(self.end)

    @step
    def end(self):
        pass


assert CurrentFlow(use_cli=False) is not None
assert current.flow_name is None and not current.is_running_flow
if __name__ == "__main__":
    CurrentFlow()
"""


def test_current(old):
    old.call(old.write("current_flow.py", CURRENT), "run").check()


def test_what_old_scripts_do_with_times_and_arguments(old):
    old.take("hello.py")
    old.call("hello.py", "run").check()
    text = """
from datetime import datetime, timedelta
from metaflow import DataArtifact, Flow, Run, Step, Task, namespace
from metaflow.exception import MetaflowInternalError
run = Flow("HelloFlow").latest_run
task = run.end_task
for one in (Flow("HelloFlow"), run, run["start"], task, task["message"]):
    assert timedelta(0) <= datetime.now() - one.created_at < timedelta(hours=1), one
    assert one.created_at <= one.finished_at <= datetime.now(), one
    assert one.origin_pathspec is None and one._repr_html_(), one
assert task.metadata[0].created_at <= datetime.now()
assert all(at <= datetime.now() for at, _ in task.loglines("stdout"))
assert run.code.tarball.getnames()
namespace("user:nobody")
assert Run(run.pathspec, _namespace_check=False) == run
assert Step(pathspec=f"{run.pathspec}/start", _namespace_check=False).task is not None
try:
    Run(run.pathspec, attempt=1)
except MetaflowInternalError as ex:
    print(ex)
"""
    done = old.call(old.write("read.py", text)).check()
    assert done.stdout == "Attempts can only be given for a Task or a DataArtifact\n"
