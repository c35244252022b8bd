"""A gang of processes."""

from metaflow import FlowSpec, current, parallel, step

EXPECTED = {"nodes": [(0, 2), (1, 2)]}


class GangFlow(FlowSpec):
    @step
    def start(self):
        self.next(self.train, num_parallel=2)

    @parallel
    @step
    def train(self):
        assert current.parallel.main_ip
        self.node = (current.parallel.node_index, current.parallel.num_nodes)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.nodes = sorted(inp.node for inp in inputs)
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    GangFlow()
