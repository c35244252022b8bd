"""A script that reads results, as people write them in notebooks."""

import sys

from metaflow import DataArtifact, Flow, Metaflow, Run, Step, Task, get_metadata, namespace
from metaflow.exception import MetaflowInvalidPathspec, MetaflowNamespaceMismatch, MetaflowNotFound

namespace(None)
name, run_id = sys.argv[1:]
flow = Flow(name)
run = Run(f"{name}/{run_id}")
print("flows", [f.id for f in Metaflow()], name in Metaflow())
print("latest", flow.latest_run.id == run.id, flow.latest_successful_run == run)
print("run", run.successful, run.finished, run.finished_at is not None, sorted(run.user_tags))
print("data", run.data.medians["Action"], "medians" in run.data, run.end_task.id != "")
print("steps", sorted(s.id for s in run))
print(
    "tasks",
    sorted(t.index for t in run["compute"]),
    len(list(Step(f"{run.pathspec}/compute").tasks())),
)
task = next(iter(Task(t.pathspec) for t in run["compute"] if t.index == 0))
print("task", task.data.genre, task["genre"].data, task.successful, task.finished, task.exception)
print("stdout", task.stdout.strip(), [line for _, line in task.loglines("stdout")])
print("artifact", DataArtifact(f"{task.pathspec}/genre").data, len(task["genre"].sha) > 10)
print("parents", [t.parent.id for t in task.parent_tasks], [t.parent.id for t in task.child_tasks])
print(
    "facts", task.metadata_dict["attempt"], task.metadata_dict["user"], "local@" in get_metadata()
)
print("code", run.code.flowspec.startswith('"""Statistics over a table'))
run.add_tags(["checked"])
run.replace_tag("checked", "seen")
print("tags", sorted(Run(run.pathspec).user_tags), len(list(flow.runs("seen"))))
namespace("user:nobody")
for kind, path in [(Run, run.pathspec), (Run, "Nope/1"), (Task, "too/short")]:
    try:
        kind(path)
    except (MetaflowNamespaceMismatch, MetaflowNotFound, MetaflowInvalidPathspec) as ex:
        print("error", type(ex).__name__)
