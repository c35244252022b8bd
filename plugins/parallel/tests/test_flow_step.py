"""A member of a gang by itself, in a test."""

from flow_core import FlowSpec, current, parallel, step
from flow_core.testing import flow_step


def test_a_gang():
    class F(FlowSpec):
        @step
        def start(self):
            self.next(self.work, num_parallel=3)

        @parallel
        @step
        def work(self):
            self.place = (self.input, self.index, current.is_parallel)
            self.next(self.join)

        @step
        def join(self, inputs):
            self.places = [i.place for i in inputs]
            self.next(self.end)

        @step
        def end(self):
            pass

    assert flow_step(F.start).count == 3
    assert flow_step(F.work, index=2)["place"] == (2, 2, True)
    assert flow_step(F.join, inputs=[{"place": 1}, {"place": 2}])["places"] == [1, 2]


def test_the_hooks_of_the_decorator():
    class F(FlowSpec):
        @step
        def start(self):
            self.next(self.work, num_parallel=3)

        @parallel
        @step
        def work(self):
            self.place = (current.parallel.node_index, current.parallel.num_nodes)
            self.next(self.join)

        @step
        def join(self, inputs):
            self.next(self.end)

        @step
        def end(self):
            pass

    assert flow_step(F.work, index=1, hooks=True)["place"] == (1, 2)
