"""Looks after jobs that hang: asks the cluster why, and ends what cannot begin any more."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from flow_kubernetes import names
from flow_kubernetes.client import Connection, Refusal, Unreachable
from flow_kubernetes.pods import NODE, PAUSE, QUOTA, START, silent
from flow_kubernetes.tracking import Hanging, Tracked, Tracker

_EVERY = 1.0  # seconds between looks, which cost no request
_PODLESS = 4.0  # seconds after which a job must have its pods
_SLOW = 7.0  # seconds after which people want to know why a container does not start
_FIRST_QUESTION = 5.0  # seconds between questions to the cluster, at first
_LAST_QUESTION = 30.0
_ONE_BY_ONE = 5  # objects up to which their events are asked for one by one
_MOST_EVENTS = 500

Delete = Callable[[Sequence[Tracked], float], None]


class Patrol:
    """A thread that looks at jobs which do not run. It asks the cluster only where some hang.

    Args:
        connection: to the API server.
        tracker: the jobs.
        delete: deletes jobs; with seconds for their pods.
        start_timeout: seconds that a container may fail to start.
        pending_timeout: seconds that a pod may wait for a node; 0 = any.
    """

    def __init__(
        self,
        connection: Connection,
        tracker: Tracker,
        delete: Delete,
        *,
        start_timeout: float,
        pending_timeout: float,
    ) -> None:
        self._connection, self._tracker, self._delete = connection, tracker, delete
        self._limits = {START: start_timeout, NODE: pending_timeout}
        self._over: queue.SimpleQueue[Tracked] = queue.SimpleQueue()
        self._to_delete: list[tuple[Sequence[Tracked], float]] = []
        self._next, self._pause = 0.0, _FIRST_QUESTION
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flow-patrol", daemon=True)
        self._thread.start()

    def add(self, gang: Tracked) -> None:
        """Clean up after a gang that is over."""
        self._over.put(gang)

    def delete(self, jobs: Sequence[Tracked], grace: float) -> None:
        """Delete jobs as soon as the cluster answers, which it does not now."""
        self._to_delete.append((jobs, grace))

    def stop(self) -> None:
        """End the thread, after what it does now."""
        self._stopped.set()
        self._thread.join(30)
        self._clean_up()
        with suppress(Refusal, Unreachable):
            self._delete_again()

    def _run(self) -> None:
        try:
            self._look_until_stopped()
        except BaseException as error:  # else jobs would hang for ever
            self._tracker.fail(error)

    def _look_until_stopped(self) -> None:
        while not self._stopped.wait(_EVERY):
            self._clean_up()
            with suppress(Refusal, Unreachable):  # the watch tells of that trouble
                self._delete_again()
                if waiting := self._tracker.waiting():
                    self._look(waiting)

    def _delete_again(self) -> None:
        while self._to_delete:
            jobs, grace = self._to_delete[0]
            self._delete(jobs, grace)
            del self._to_delete[0]
            for job in jobs:
                self._tracker.deleted(job, grace)

    def _clean_up(self) -> None:
        while not self._over.empty():
            job = self._over.get_nowait()
            path = f"/api/v1/namespaces/{job.namespace}/services/{job.name}"
            with suppress(Refusal, Unreachable):  # it goes with its job at the latest
                self._connection.ask("delete", path, patience=5.0)

    def _look(self, waiting: Sequence[Tracked]) -> None:
        now = time.monotonic()
        for job in waiting:
            if job.cancelled:
                if now > job.cancelled:
                    self._tracker.end(job, "cancelled", "its node has not confirmed it")
            elif self._is_lost(job, now):
                self._give_up(job)
            for sight, until in list((job.leaving or {}).values()):
                if now > until and not job.cancelled:
                    self._tracker.take(job, silent(sight, job.id))
        hanging = _hanging([job for job in waiting if not job.cancelled], now)
        if not hanging.podless and not hanging.slow:
            self._next, self._pause = 0.0, _FIRST_QUESTION
        elif now >= self._next:
            self._next = now + self._pause
            self._pause = min(self._pause * 1.5, _LAST_QUESTION)
            self._ask(hanging)

    # --- what cannot begin any more -----------------------------------------------------------

    def _is_lost(self, job: Tracked, now: float) -> bool:
        if job.hopeless:
            return True
        limit = self._limits.get(job.kind, 0.0)
        return bool(limit and job.stuck and now - job.stuck > limit)

    def _give_up(self, job: Tracked) -> None:
        """End a job, and tell why it waited."""
        seconds = time.monotonic() - job.stuck
        message = job.why if job.hopeless else f"{job.why} (for {seconds:.0f} s)"
        self._tracker.end(job, "launch", message, _hint(job))  # before its deletion is seen
        self.delete([job], 0.0)
        self._delete_again()

    # --- why they hang ----------------------------------------------------------------------------

    def _ask(self, hanging: Hanging) -> None:
        for namespace in dict.fromkeys(j.namespace for j in (*hanging.podless, *hanging.slow)):
            podless = [job for job in hanging.podless if job.namespace == namespace]
            slow = [job for job in hanging.slow if job.namespace == namespace]
            objects = {job.name: job for job in podless}
            objects |= {pod: job for job in slow for pod in job.pods.values()}
            for name, event in self._events(namespace, list(objects)).items():
                self._tell(objects[name], event)
            if podless:
                self._check(namespace, podless)

    def _events(self, namespace: str, objects: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Return the last event of each of some objects that has any."""
        path = f"/api/v1/namespaces/{namespace}/events"
        few = len(objects) <= _ONE_BY_ONE
        fields = [f"involvedObject.name={name}" for name in objects] if few else ["type=Warning"]
        found: dict[str, Mapping[str, Any]] = {}
        for field in fields:
            answer = self._connection.ask(
                "list", path, {"fieldSelector": field, "limit": _MOST_EVENTS}, patience=5.0
            )
            for event in sorted(answer["items"], key=_time):
                found[event["involvedObject"]["name"]] = event
        return {name: found[name] for name in objects if name in found}

    def _tell(self, job: Tracked, event: Mapping[str, Any]) -> None:
        message = " ".join(event.get("message", "").split())
        line = f"{event.get('reason', '')}: {message}"
        if event.get("type") != "Warning":
            if event.get("reason") in ("Pulling", "NotTriggerScaleUp", "TriggeredScaleUp"):
                self._tracker.explain(job, line, "")
        elif "exceeded quota" in message:
            self._tracker.explain(job, line, QUOTA)
        elif event.get("reason") == "FailedScheduling":
            self._tracker.explain(job, line, NODE)
        else:
            self._tracker.explain(job, line, START)

    def _check(self, namespace: str, podless: Sequence[Tracked]) -> None:
        """See what has become of jobs that have no pod."""
        path = f"/apis/batch/v1/namespaces/{namespace}/jobs"
        present: dict[str, Mapping[str, Any]] = {}
        for start in range(0, len(podless), 100):
            some = ",".join(job.name for job in podless[start : start + 100])
            query = {"labelSelector": f"{names.NAME} in ({some})"}
            answer = self._connection.ask("list", path, query, patience=5.0)
            present |= {one["metadata"]["name"]: one for one in answer["items"]}
        for job in podless:
            found = present.get(job.name)
            if found is None:
                self._tracker.end(job, "cancelled", f"somebody deleted the job {job.name}")
            else:
                self._judge(job, found)

    def _judge(self, job: Tracked, found: Mapping[str, Any]) -> None:
        if found["spec"].get("suspend"):
            self._tracker.explain(job, "Suspended: the job was suspended in the cluster", PAUSE)
        for condition in found.get("status", {}).get("conditions") or ():
            if condition["type"] in ("Failed", "Complete") and condition["status"] == "True":
                said = f"{condition.get('reason', '')}: {condition.get('message', '')}"
                self._tracker.end(job, "lost", f"its pod is gone, and {said.strip(': ')}")


def _hanging(waiting: Sequence[Tracked], now: float) -> Hanging:
    created = [j for j in waiting if j.since]
    podless = [j for j in created if len(j.pods) < j.size and now - j.since > _PODLESS]
    slow = [j for j in waiting if j.begun and now - j.begun > _SLOW and len(j.pods) == j.size]
    return Hanging(podless, slow)


def _time(event: Mapping[str, Any]) -> str:
    return event.get("lastTimestamp") or event.get("eventTime") or ""


def _hint(job: Tracked) -> str:
    """Return what to type for a job that could not begin."""
    if "CreateContainerConfigError" in job.why:
        return f"kubectl -n {job.namespace} get secrets,configmaps shows those that there are"
    if "mage" in job.why:
        return "check the name: @kubernetes(image=…); private ones need image_pull_secrets"
    # Job and pods are deleted by now; what was said of them is kept for an hour.
    name = next(iter(job.pods.values()), job.name)
    return (
        f"kubectl -n {job.namespace} get events --field-selector involvedObject.name={name} shows all "
        "that was said of it"
    )
