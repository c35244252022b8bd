"""Configurations, expressions, mutators and own step decorators."""

from metaflow import (
    Config,
    FlowMutator,
    FlowSpec,
    Parameter,
    config_expr,
    retry,
    step,
    user_step_decorator,
)

ARGUMENTS = """--config-value model '{"depth": 4, "tries": 1}' run"""
EXPECTED = {
    "depth": 4,
    "lr": 0.5,
    "trail": ["before start", "start", "after start"],
    "retried": 1,
    "added": 7,
    "nested": {"depth": 4, "tries": 1},
}


@user_step_decorator
def tell(step_name, flow, inputs=None, attributes=None):
    flow.trail = ["before " + step_name]
    yield
    flow.trail = flow.trail + ["after " + step_name]


class AddParameter(FlowMutator):
    def pre_mutate(self, mutable_flow):
        mutable_flow.add_parameter("added", Parameter("added", default=7))


@AddParameter
class ConfigFlow(FlowSpec):
    model = Config("model", default_value={"depth": 1, "tries": 0})
    depth = Parameter("depth", default=model.depth)
    lr = Parameter("lr", default=config_expr("model.depth / 8"))

    @tell
    @step
    def start(self):
        self.trail = self.trail + ["start"]
        self.next(self.flaky)

    @retry(times=model.tries, minutes_between_retries=0)
    @step
    def flaky(self):
        from metaflow import current

        if current.retry_count < 1:
            raise OSError("once")
        self.retried = current.retry_count
        self.nested = self.model.to_dict()
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ConfigFlow()
