"""Steps that start Python processes of their own, which use the client."""

import multiprocessing
import subprocess
import sys

from metaflow import FlowSpec, current, step

EXPECTED = {"printed": "7", "pool": [1, 4, 9]}

SCRIPT = """
import sys
from metaflow import Task, namespace
namespace(None)
print(Task(sys.argv[1]).data.seven)
"""


def square(n):
    return n * n


class ProcessesFlow(FlowSpec):
    @step
    def start(self):
        self.seven = 7
        self.first = current.pathspec
        self.next(self.end)

    @step
    def end(self):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, self.first], capture_output=True, text=True, check=True
        )
        self.printed = done.stdout.strip()
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            self.pool = pool.map(square, [1, 2, 3])


if __name__ == "__main__":
    ProcessesFlow()
