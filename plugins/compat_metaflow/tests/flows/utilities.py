"""parallel_map and profile."""

from metaflow import FlowSpec, parallel_map, profile, step
from metaflow.multicore_utils import parallel_imap_unordered

EXPECTED = {"squares": [0, 1, 4, 9], "names": ["a!", "b!"], "timed": True, "failed": True}


class UtilitiesFlow(FlowSpec):
    @step
    def start(self):
        power = 2
        with profile("squares"):
            self.squares = parallel_map(lambda n: n**power, range(4), max_parallel=2)
        self.names = sorted(parallel_imap_unordered(lambda s: s + "!", ["a", "b"]))
        times = {}
        with profile("nothing", stats_dict=times):
            pass
        self.timed = "nothing" in times
        self.next(self.end)

    @step
    def end(self):
        try:
            parallel_map(lambda n: 1 // n, [1, 0])
        except Exception as ex:
            self.failed = True
            print("as expected:", ex)


if __name__ == "__main__":
    UtilitiesFlow()
