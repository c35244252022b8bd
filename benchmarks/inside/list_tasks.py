"""Lists the tasks of a step with the client of either tool, then reads an artifact of one."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path

PAGE = 1000


def peak_memory() -> int:
    """Return the peak memory of this process in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    """Print a line of JSON. The import of the tool is not counted."""
    client = importlib.import_module(sys.argv[1])
    make_step, make_task = client.Step, client.Task  # our own come from a plugin on first use
    begin = time.perf_counter()
    count = after_page = 0
    smallest = None
    for task in make_step(sys.argv[2]):
        count += 1
        number = int(task.id)
        smallest = number if smallest is None else min(smallest, number)
        if count == PAGE:
            after_page = peak_memory()
    after_all = peak_memory()
    value = make_task(f"{sys.argv[2]}/{smallest}")["x"].data
    seconds = time.perf_counter() - begin
    assert isinstance(value, int)
    facts = {"after_1000": after_page, "after_all": after_all, "seconds": seconds}
    print(json.dumps({"tasks": count, **facts}))


if __name__ == "__main__":
    main()
