"""The thread that looks at a cluster, and others that give it work."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable
from pathlib import Path

from flow_slurm.client import Client
from flow_slurm.scripts import Folder
from flow_slurm.states import JobState
from flow_slurm.table import Table, Tracked
from flow_slurm.watching import Watcher

COUNT = 60


class Willing(Client):
    """A cluster that takes each cancellation, and always knows all jobs."""

    def __init__(self, states: list[JobState]) -> None:
        super().__init__()
        self.cancelled: set[str] = set()
        self.states = states

    def cancel(self, ids: Collection[str]) -> None:
        time.sleep(0.002)  # as a program takes
        self.cancelled |= {*ids}

    def jobs(self) -> list[JobState]:
        return self.states


class Slow(Table):
    """A table that lets other threads go on while it looks jobs up."""

    def get(self, ids: Iterable[str]) -> list[Tracked]:
        found = []
        for id in ids:
            time.sleep(0.0005)
            found += super().get([id])
        return found


def test_many_threads_cancel_while_the_thread_looks(tmp_path: Path) -> None:
    folder = Folder(str(tmp_path), tuple(f"f-1-a-{n}-0" for n in range(COUNT)))
    ids = [f"5_{n}" for n in range(COUNT)]
    client = Willing([JobState(id, "RUNNING", command=folder.script) for id in ids])
    watcher = Watcher(client, 0.01, lambda: None)
    watcher.table = Slow()
    for index, id in enumerate(ids):
        watcher.table.add(id, folder, index)

    failed: list[BaseException] = []

    def cancel(own: list[str]) -> None:
        try:
            for id in own:
                watcher.cancel([id])
        except RuntimeError as error:
            failed.append(error)

    watcher.look_soon()
    threads = [threading.Thread(target=cancel, args=(ids[n::8],)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    watcher.news()  # raises what its own thread has met
    watcher.stop()
    assert failed == []
    assert client.cancelled == {*ids}
