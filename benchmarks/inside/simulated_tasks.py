"""Plays the tasks of `remote_launcher`: leaves in the store what real ones would, in a process apart.

    python simulated_tasks.py STORE COUNT

Reads keys of specifications from standard input, a line each; writes them to standard output when their
tasks have ended. Each task has written one line of output.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence

from flow_core.api import (
    AttemptState,
    Manifest,
    Store,
    TaskSpec,
    Transition,
    joined_logs,
    open_task_store,
)
from flow_remote.ending import Ending, ending_key, prefix_of

LINE = b"done\n"


def play(store: Store, keys: Sequence[str], count: int) -> None:
    """Write the logs, the manifests and the ends of tasks."""
    items: list[tuple[str, bytes]] = []
    for content in store.read(keys):
        assert content is not None
        task = TaskSpec.from_json(json.loads(content)["task"])
        at = time.time()
        manifest = Manifest(
            *task[:5],
            AttemptState.SUCCEEDED,
            {
                "start": Transition(("body",), "items", count),
                "body": Transition(("join",)),
                "join": Transition(("end",)),
                "end": Transition(),
            }[task.step],
            inputs=task.inputs,
            foreach=task.foreach,
            started=at,
            finished=at,
        )
        logs = {"stdout": (LINE, [(len(LINE), at)]), "stderr": (b"", [])}
        items += [
            joined_logs(prefix_of(task), logs),
            (manifest.key, manifest.encode()),
            (ending_key(task), Ending(0, written=(len(LINE), 0)).encode()),
        ]
    store.write(items)


def lines() -> Iterator[list[str]]:
    """Yield what there is to read, many lines at a time."""
    rest = b""
    while data := os.read(0, 1 << 16):
        *whole, rest = (rest + data).split(b"\n")
        if whole:
            yield [line.decode() for line in whole]


def main() -> None:
    """Play until standard input ends."""
    url, count = sys.argv[1:]
    store = open_task_store(f"{url}#none")
    for keys in lines():
        play(store, keys, int(count))
        sys.stdout.write("".join(f"{key}\n" for key in keys))
        sys.stdout.flush()


if __name__ == "__main__":
    main()
