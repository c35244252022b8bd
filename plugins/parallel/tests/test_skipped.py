"""A step that goes on with num_parallel, but whose body a decorator of the person's own skips."""

import pytest

SOURCE = """
    from flow_core import FlowSpec, parallel, step, user_step_decorator

    @user_step_decorator
    def skip(step_name, flow, inputs=None, attributes=None):
        flow.workers = 3
        yield attributes.get("give", {{}})

    class F(FlowSpec):
        @skip({give})
        @step
        def start(self):
            workers = 2
            self.next(self.train, num_parallel={size})

        @parallel
        @step
        def train(self):
            self.next(self.join)

        @step
        def join(self, inputs):
            self.count = len(inputs)
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
    """


@pytest.fixture(autouse=True)
def _plugin(flowtester):
    flowtester.more_plugins.append("parallel")


@pytest.mark.parametrize(
    ("give", "size", "count"),
    [("", "2", 2), ("", "self.workers", 3), ("give={'num_parallel': 4}", "workers", 4)],
)
def test_its_size_is_the_written_one_or_the_decorators(flowtester, give, size, count):
    file = flowtester.write(SOURCE.format(give=give, size=size))
    flowtester.python(file, "run", "--max-workers", "4").check()
    assert flowtester.left().artifact("join", "count") == count


def test_a_size_that_only_the_body_knows(flowtester):
    file = flowtester.write(SOURCE.format(give="", size="workers"))
    assert flowtester.python(file, "run").returncode == 1
    (failed,) = flowtester.left().manifests("start")
    assert "did not say how many tasks num_parallel=workers are" in failed.failure.message
    assert "{'num_parallel': 4}" in failed.failure.traceback
