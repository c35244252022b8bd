"""A flow that looks at itself with the client."""

from metaflow import Flow, FlowSpec, Run, Task, current, get_namespace, namespace, step
from metaflow.exception import MetaflowNotFound

EXPECTED = {
    "value": 5,
    "ids": ("ClientFlow", "ClientFlow", "start"),
    "missing": True,
    "namespaces": ("user:ada", None),
    "running": (False, True),
}


class ClientFlow(FlowSpec):
    @step
    def start(self):
        self.value = 5
        self.me = current.pathspec
        self.next(self.end)

    @step
    def end(self):
        before = get_namespace()
        namespace(None)
        self.namespaces = (before, get_namespace())
        run = Run(f"{current.flow_name}/{current.run_id}")
        task = Task(self.me)
        self.ids = (run.parent.id, Flow("ClientFlow").id, task.parent.id)
        assert task.data.value == 5
        assert task.artifacts.value.data == 5
        self.running = (run.finished, task.finished)
        try:
            Run("ClientFlow/0")
        except MetaflowNotFound:
            self.missing = True


if __name__ == "__main__":
    ClientFlow()
