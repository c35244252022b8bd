"""Makes the code snapshot of a flow again and again, as a start of a run does; prints JSON.

In one process, without what a run does besides: each time the folder is looked at anew.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import sys
import tarfile
import time
from collections.abc import Callable
from typing import Any

RACY = 2.5
"""Seconds after which a file counts as written before the last look at it."""


def main(tool: str, path: str, repeats: int, files: int) -> None:
    """Print the seconds of each snapshot, which must have at least so many files."""
    keep, count = ours(path) if tool == "flow_core" else rival(path)
    keep()
    assert count() >= files, f"only {count()} files are in it"
    time.sleep(RACY)
    keep()
    found, spent = [], []
    for _ in range(repeats):
        begin, busy = time.perf_counter(), time.process_time()
        found.append(keep())
        spent.append((time.perf_counter() - begin, time.process_time() - busy))
    assert len(set(found)) == 1, "the same files made other bytes"
    print(json.dumps({"wall": [s[0] for s in spent], "cpu": [s[1] for s in spent]}))


def ours(path: str) -> tuple[Callable[[], Any], Callable[[], int]]:
    """Return what keeps a snapshot in a store of this folder, and what counts its files."""
    from flow_core.api import Session, current_code, keep_code
    from flow_core.flowfile import load_flow

    session = Session(load_flow(path))
    assert session.graph
    return lambda: keep_code(session).hash, lambda: len(current_code(session).files)


def rival(path: str) -> tuple[Callable[[], Any], Callable[[], int]]:
    """Return what makes the rival's package, in memory, and what counts the files of the last one."""
    spec = importlib.util.spec_from_file_location("big", path)
    assert spec is not None
    assert spec.loader is not None
    sys.argv[0] = path  # it takes the folder of the program for that of the flow
    module = importlib.util.module_from_spec(spec)
    sys.modules["big"] = module
    spec.loader.exec_module(module)
    package: Any = importlib.import_module("metaflow.package")
    environment: Any = importlib.import_module("metaflow.metaflow_environment")
    flow = module.Big(use_cli=False)

    def silent(*args: object, **options: object) -> None:
        """Say nothing."""

    last: list[bytes] = []

    def keep() -> bool:
        made = package.MetaflowPackage(flow, environment.MetaflowEnvironment(flow), silent, [".py"])
        last[:] = [made.blob]
        return len(made.blob) > 0

    def count() -> int:
        with tarfile.open(fileobj=io.BytesIO(last[0])) as archive:
            return len(archive.getnames())

    return keep, count


if __name__ == "__main__":
    main(sys.argv[1], os.path.abspath(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
