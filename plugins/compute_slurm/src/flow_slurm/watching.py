"""The thread that looks at the cluster while there are jobs, and tells what has changed."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from flow_remote.backend import News, Waiting
from flow_slurm.client import Client, SlurmAway, SlurmError
from flow_slurm.table import Look, Table, Tracked

_QUICK = 0.5  # seconds between looks at the cluster while things change
_EACH = 0.01  # seconds that each job adds to that: what is told of it must be read
_FOLDERS = 0.2  # seconds between looks into the folders of jobs
_GROWTH = 1.5
_SHARE = 10  # of the time, one part at most goes into looks


class Watcher:
    """Looks at all jobs of a run with one request.

    Args:
        client: speaks to the cluster.
        longest: seconds between two looks, at most.
        wake: called when there is news.
    """

    def __init__(self, client: Client, longest: float, wake: Callable[[], object]) -> None:
        self.table = Table()
        self.lock = threading.Lock()  # over the table
        self._client = client
        self._longest = longest
        self._wake = wake
        self._news: deque[News] = deque()
        self._changed = threading.Event()
        self._stopped = False
        self._rest = _QUICK
        self._unsent: set[str] = set()  # ids that are to be cancelled, once the cluster answers
        self._away = ""
        self._broken: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="flow-slurm", daemon=True)

    def news(self) -> list[News]:
        """Return what has happened since the last call."""
        if self._broken is not None:
            raise self._broken
        found = []
        while self._news:
            found.append(self._news.popleft())
        return found

    def look_soon(self) -> None:
        """Look again at once, and then often: something has been done. Starts the thread."""
        self._rest = _QUICK
        self._changed.set()
        if not self._thread.is_alive() and not self._stopped:
            self._thread.start()

    def cancel(self, ids: Sequence[str]) -> None:
        """Have jobs cancelled; where the cluster does not answer, later."""
        with self.lock:
            self._unsent.update(ids)
        self._send_cancellations()
        self.look_soon()

    def stop(self) -> None:
        """Look no more."""
        self._stopped = True
        self._changed.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            self._watch()
        except BaseException as error:  # it belongs to who asks for news
            self._broken = error
            self._wake()

    def _watch(self) -> None:
        due = 0.0
        while not self._stopped:
            if not len(self.table):
                self._changed.wait()
                self._changed.clear()
                due = time.monotonic() + _QUICK / 2  # nothing has begun at once
                continue
            if self._changed.is_set():
                self._changed.clear()
                due = min(due, time.monotonic() + _QUICK)
            began = time.monotonic()
            others = self._look_into_folders()
            pause = self._pause_after(began)
            if others or began >= due:
                began = time.monotonic()
                self._look()
                rest = min(max(self._rest, _EACH * len(self.table)), self._longest)
                due = time.monotonic() + max(rest, self._pause_after(began))
            self._changed.wait(max(min(pause, due - time.monotonic()), 0.01))

    def _pause_after(self, began: float) -> float:
        """Return how long to rest from work that has just been done, so that it stays a small part."""
        took = time.monotonic() - began
        return min(max(took * _SHARE, _FOLDERS), self._longest)

    def _look_into_folders(self) -> bool:
        """Tell of tasks that have ended well; say whether the cluster is to be asked of others."""
        with self.lock:
            news, others = self.table.ended_well()
        self._tell(news)
        return others

    def _look(self) -> None:
        began = time.monotonic()
        self._send_cancellations()
        try:
            states = self._client.jobs()
        except SlurmError as error:
            self._tell_away(str(error))
            self._rest = min(self._rest * _GROWTH, self._longest)
            return
        self._away = ""
        with self.lock:
            look = self.table.look(states, began)
        news = [*look.news, *self._settle(look)]
        changed = bool(news)
        self._rest = _QUICK if changed else min(self._rest * _GROWTH, self._longest)
        self._tell(news)

    def _settle(self, look: Look) -> list[News]:
        """Return the ends of jobs that are forgotten, or would wait for ever."""
        known = self._client.ended([job.id for job in look.forgotten])
        news: list[News] = []
        with self.lock:
            for job in look.forgotten:
                news += self.table.forget(job, known)
        for each in look.hopeless:
            try:
                self._client.cancel([each.job.id])
            except SlurmError:
                continue  # the next look finds it again
            with self.lock:
                news += self.table.give_up(*each)
        return news

    def _send_cancellations(self) -> None:
        with self.lock:
            ids = [job.id for job in self.table.get(self._unsent)]
        try:
            self._client.cancel(ids)
        except SlurmAway as error:
            self._tell_away(str(error))
            return
        except SlurmError:  # some of them have ended meanwhile; the next look tells
            pass
        with self.lock:
            self._unsent.difference_update(ids)

    def _tell_away(self, why: str) -> None:
        """Tell people, once, that the cluster does not answer: nothing is lost by that."""
        if self._away:
            return
        self._away = why
        with self.lock:
            jobs: list[Tracked] = self.table.all()
        for job in jobs:
            job.why = ""  # it is told again when the cluster is back
        if jobs:
            text = f"Slurm does not answer, its jobs go on; asking again: {why}"
            self._tell([Waiting(jobs[0].id, text)])

    def _tell(self, news: Sequence[News]) -> None:
        if news:
            self._news.extend(news)
            self._wake()
