"""Kubernetes as a `Backend`: jobs are created, their pods watched, and ended."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from flow_core.api import RunRecord, Runtime
from flow_kubernetes import names
from flow_kubernetes.choices import Defaults, choose
from flow_kubernetes.client import Connection, Refusal, Unreachable, explained, rights
from flow_kubernetes.manifests import (
    Manifest,
    Origin,
    job_manifest,
    run_selector,
    service_manifest,
)
from flow_kubernetes.patrol import Patrol
from flow_kubernetes.pods import look
from flow_kubernetes.settings import PREFIX
from flow_kubernetes.tracking import Tracked, Tracker, names_of
from flow_kubernetes.watching import PodWatch
from flow_remote.backend import Job, News, Refused

_AT_ONCE = 8  # requests that are made at the same time
_FIRST_WORD = 8.0  # seconds in which a cluster must answer when a run begins
_LAST_WORD = 15.0  # seconds for a request when it ends
_AFTER_GRACE = (
    30.0  # seconds after which a cancelled job counts as ended, though its node is silent
)
_FAREWELL = 5.0  # seconds after the grace of the last pods until they should be gone
_TROUBLE = 10.0  # seconds without a watch after which people are told


class KubernetesBackend:
    """The `Backend` of one run.

    Attributes:
        place: URL of the run's datastore, which tells its jobs from others; who makes a backend may
            set it before `open`.
        namespaces: where jobs may be, beside the namespace of the connection: for `find`.
        left: after `close`, jobs that could not be deleted, and ``why_left``.
    """

    def __init__(self) -> None:
        self.place = ""
        self.namespaces: list[str] = []
        self.left: list[str] = []
        self.why_left = ""
        self._connection: Connection | None = None
        self._watches: dict[str, PodWatch] = {}
        self._troubles: dict[str, float] = {}  # namespace → since when nothing is seen
        self._runs: list[str] = []
        self._pool: ThreadPoolExecutor | None = None
        self._patrol: Patrol | None = None
        self._lock = threading.Lock()

    # --- a run begins and ends ------------------------------------------------------------------

    def open(self, run: RunRecord, runtime: Runtime, wake: Any) -> None:
        """Ask the cluster whether it would run jobs.

        Raises:
            FlowError: there is none, it does not answer, or does not allow it.
            SettingsError: a default is none that Kubernetes accepts.
        """
        self._defaults = Defaults.read(runtime.setting)
        self._flow, self._runs = run.flow, [run.run]
        self._origin = Origin(run.user, self.place or str(runtime.setting("datastore")))
        self._grace: float = runtime.setting("cancel_grace")
        self._tracker = Tracker(wake)
        self._connection = connection = Connection(runtime.setting)
        self._namespace = self._defaults.options.get("namespace", "") or connection.place.namespace
        try:
            path = _jobs(self._namespace)
            connection.ask("list", path, {"limit": 1}, patience=_FIRST_WORD)
        except (Refusal, Unreachable) as error:
            raise explained(error, connection.place, self._namespace) from None
        self._patrol = Patrol(
            connection,
            self._tracker,
            self._delete,
            start_timeout=runtime.setting(PREFIX + "start_timeout"),
            pending_timeout=runtime.setting(PREFIX + "pending_timeout"),
        )

    @property
    def connection(self) -> Connection:
        """The way to the cluster, after `open`."""
        assert self._connection is not None, "open comes first"
        return self._connection

    def close(self) -> None:
        """Delete the jobs that have not ended, and see them end; end all threads."""
        if self._connection is None:
            return
        if self._patrol is not None:
            self._patrol.stop()
        connection, self._connection = self._connection, None
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
        left = self._tracker.all()
        for job in left:
            self._tracker.cancel(job)
        try:
            self._delete_with(connection, left, self._grace, _LAST_WORD)
            self._see_the_end()
        except (Refusal, Unreachable) as error:
            self.left = [job.id for job in left]
            self.why_left = str(error)
        for watch in self._watches.values():
            watch.stop()
        connection.close()

    def _see_the_end(self) -> None:
        """Wait, not for long, until the pods that were deleted are gone."""
        deadline = time.monotonic() + self._grace + _FAREWELL
        while any(job.pods for job in self._tracker.all()) and time.monotonic() < deadline:
            time.sleep(0.05)

    # --- jobs -------------------------------------------------------------------------------------

    def submit(self, jobs: Sequence[Job]) -> Sequence[str | Refused]:
        """Create jobs; several at the same time."""
        made = [self._made(job) for job in jobs]
        for namespace in {manifest["metadata"]["namespace"] for manifest in made}:
            self._watch(namespace)
        if len(made) == 1:
            return [self._create(made[0])]
        if self._pool is None:
            self._pool = ThreadPoolExecutor(_AT_ONCE, "flow-create")
        return list(self._pool.map(self._create, made))

    def _made(self, job: Job) -> Manifest:
        choices = choose(self._defaults, job.options, job.resources)
        manifest = job_manifest(job, choices, self._origin)
        manifest["metadata"]["namespace"] = choices.namespace or self._namespace
        return manifest

    def _create(self, manifest: Manifest) -> str | Refused:
        namespace, name = manifest["metadata"]["namespace"], manifest["metadata"]["name"]
        spec = manifest["spec"]
        is_gang = "completions" in spec
        # Before it exists, so that whatever becomes of this request, `close` ends it.
        job = self._tracker.add(f"{namespace}/{name}", spec.get("completions", 1), is_gang)
        try:
            uid = self._create_job(namespace, manifest)
            if is_gang:
                self._create_service(namespace, service_manifest(manifest, uid))
        except Refusal as error:
            self._tracker.forget(job.id)
            return _refused(error, namespace)
        except Unreachable as error:  # it may exist all the same: `close` deletes it then
            return Refused(str(error), transient=True)
        self._tracker.created(job)
        return job.id

    def _create_job(self, namespace: str, manifest: Manifest) -> str:
        """Create a job, unless it is there already; return its uid."""
        try:
            found = self.connection.ask("create", _jobs(namespace), body=manifest)
        except Refusal as error:
            if error.reason != "AlreadyExists":
                raise
            found = self.connection.ask("get", f"{_jobs(namespace)}/{manifest['metadata']['name']}")
        uid: str = found["metadata"]["uid"]
        return uid

    def _create_service(self, namespace: str, service: Manifest) -> None:
        try:
            self.connection.ask("create", _services(namespace), body=service)
        except Refusal as error:
            if error.reason != "AlreadyExists":
                raise

    def find(self, names: Sequence[str]) -> Mapping[str, str]:
        """Return jobs that have not ended, by the label with their name."""
        found: dict[str, str] = {}
        for namespace in dict.fromkeys([self._namespace, *self.namespaces]):
            wanted = [name for name in names if name not in found]
            for job in self._found(namespace, wanted):
                id = f"{namespace}/{job['metadata']['name']}"
                found[job["metadata"]["name"]] = id
                self._adopt(id, job)
        return found

    def _found(self, namespace: str, wanted: Sequence[str]) -> Iterator[Mapping[str, Any]]:
        for start in range(0, len(wanted), 100):
            selector = f"{names.NAME} in ({','.join(wanted[start : start + 100])})"
            try:
                answer = self.connection.ask("list", _jobs(namespace), {"labelSelector": selector})
            except (Refusal, Unreachable) as error:
                raise explained(error, self.connection.place, namespace) from None
            for job in answer["items"]:
                conditions = job.get("status", {}).get("conditions") or ()
                over = any(
                    c["type"] in ("Complete", "Failed") and c["status"] == "True"
                    for c in conditions
                )
                if not over and "deletionTimestamp" not in job["metadata"]:
                    yield job

    def _adopt(self, id: str, job: Mapping[str, Any]) -> None:
        spec = job["spec"]
        is_gang = spec.get("completionMode") == "Indexed"
        self._tracker.created(self._tracker.add(id, spec.get("completions") or 1, is_gang))
        run = job["metadata"]["annotations"][names.RUN]
        with self._lock:
            known = run in self._runs
            self._runs = self._runs if known else [*self._runs, run]
        self._watch(id.partition("/")[0])

    def cancel(self, ids: Sequence[str], grace: float) -> None:
        """Delete jobs and their pods, which get ``grace`` seconds."""
        jobs = [job for id in ids if (job := self._tracker.get(id)) is not None]
        for job in jobs:
            self._tracker.cancel(job)
        try:
            self._delete(jobs, grace)
        except (Refusal, Unreachable) as error:
            assert self._patrol is not None
            self._tracker.tell(f"jobs cannot be deleted yet: {error}")
            self._patrol.delete(jobs, grace)
            return
        for job in jobs:
            self._tracker.deleted(job, grace)

    def _delete(self, jobs: Sequence[Tracked], grace: float) -> None:
        self._delete_with(self.connection, jobs, grace, None)

    def _delete_with(
        self,
        connection: Connection,
        jobs: Sequence[Tracked],
        grace: float,
        patience: float | None,
    ) -> None:
        """Delete jobs first, so that they make no more pods, then their pods, many with one request.

        Raises:
            Refusal, Unreachable: it could not be done.
        """
        limits: dict[str, Any] = {} if patience is None else {"patience": patience}
        options: dict[str, Any] = {"propagationPolicy": "Background"}
        # Without any grace, a pod would be gone before its node has ended it.
        graces = {"gracePeriodSeconds": max(1, math.ceil(grace))}
        for namespace in dict.fromkeys(job.namespace for job in jobs):
            here = [job for job in jobs if job.namespace == namespace]
            for chunk in names_of(here):
                query = {"labelSelector": f"{names.NAME} in ({','.join(chunk)})"}
                connection.ask("deletecollection", _jobs(namespace), query, options, **limits)
                connection.ask("deletecollection", _pods(namespace), query, graces, **limits)
        self._delete_services(connection, jobs)

    def _delete_services(self, connection: Connection, jobs: Sequence[Tracked]) -> None:
        for job in jobs:
            if job.gang:
                with suppress(Refusal, Unreachable):  # it goes with its job at the latest
                    connection.ask("delete", f"{_services(job.namespace)}/{job.name}", patience=5.0)

    # --- what becomes of them -------------------------------------------------------------------

    def news(self) -> Sequence[News]:
        """Return what the watch has seen."""
        return self._tracker.news()

    def _watch(self, namespace: str) -> None:
        """See to it that the pods of our runs are watched there."""
        with self._lock:
            selector = run_selector(self._flow, self._runs, self._origin.place)
            watch = self._watches.get(namespace)
            if watch is not None:
                watch.choose(selector)
                return

            def seen(pod: dict[str, Any], gone: bool) -> None:
                self._see(namespace, pod, gone)

            def listed(present: set[str]) -> None:
                self._miss(namespace, present)

            def trouble(why: str) -> None:
                self._trouble(namespace, why)

            self._watches[namespace] = PodWatch(
                self.connection, namespace, selector, seen, listed, trouble, self._tracker.fail
            )

    def _see(self, namespace: str, pod: dict[str, Any], gone: bool) -> None:
        name = pod["metadata"].get("labels", {}).get(names.NAME, "")
        job = self._tracker.get(f"{namespace}/{name}")
        if job is not None and self._tracker.take(job, look(pod, job.id, gone=gone)) and job.gang:
            assert self._patrol is not None
            self._patrol.add(job)  # which deletes the service, in a thread that may wait

    def _miss(self, namespace: str, present: set[str]) -> None:
        """Take pods for ended that were seen once, and are no more in a new list."""
        for job in self._tracker.all(namespace):
            for member, pod in list(job.pods.items()):
                if pod not in present and member in job.left:
                    meta = {"name": pod, "annotations": {}, "labels": {}}
                    sight = look({"metadata": meta}, job.id, gone=True)
                    ended = sight.ended
                    assert ended is not None
                    again = sight._replace(member=member, ended=ended._replace(member=member))
                    self._tracker.take(job, again)

    def _trouble(self, namespace: str, why: str) -> None:
        """Tell people when nothing was seen for some time."""
        if not why:
            self._troubles.pop(namespace, None)
            return
        now = time.monotonic()
        if now - self._troubles.setdefault(namespace, now) > _TROUBLE:
            self._tracker.tell(why)


def _refused(error: Refusal, namespace: str) -> Refused:
    """Return the answer to a job that the API server does not take."""
    if error.exceeds_quota:
        return Refused(error.message, transient=True)
    if error.code == 403:
        return Refused(error.message, rights(error, namespace))
    if error.code == 404 and "namespaces" in error.message:
        return Refused(error.message, f"kubectl create namespace {namespace}")
    return Refused(error.message)


def _jobs(namespace: str) -> str:
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"


def _pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def _services(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/services"
