"""A function that runs when the run is over."""

from metaflow import FlowSpec, exit_hook, step

EXPECTED = {"x": 1}


def tell(run):
    with open("hook.txt", "w") as file:
        file.write(f"{run.pathspec} {run.successful}")


@exit_hook(on_success=[tell])
class HookFlow(FlowSpec):
    @step
    def start(self):
        self.x = 1
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    HookFlow()
