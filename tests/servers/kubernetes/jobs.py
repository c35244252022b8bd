"""The job controller: makes the pods of jobs, counts how they end, and says when a job is over."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from servers.kubernetes.clock import seconds_of, timestamp
from servers.kubernetes.defaults import suffix
from servers.kubernetes.errors import Refusal
from servers.kubernetes.events import Recorder
from servers.kubernetes.failurepolicy import Decision, decide
from servers.kubernetes.indexes import spans, unfolded
from servers.kubernetes.kinds import JOB, POD
from servers.kubernetes.registry import Registry
from servers.kubernetes.settings import Settings
from servers.kubernetes.store import Entry, Event, Object, changed
from servers.kubernetes.workqueue import WorkQueue

FINALIZER = "batch.kubernetes.io/job-tracking"
"""Keeps a pod until its job has counted it."""

INDEX = "batch.kubernetes.io/job-completion-index"
FAILURES = "batch.kubernetes.io/job-index-failure-count"

_MOST_BACKOFF = 600.0


class _Verdict(NamedTuple):
    """How a job is over.

    Attributes:
        type: ``Complete`` or ``Failed``.
        reason, message: of its condition.
    """

    type: str
    reason: str
    message: str


class _Pods(NamedTuple):
    """The pods of a job that are there.

    Attributes:
        active: wait or run, and are not about to be deleted.
        terminating: are about to be deleted.
        uncounted: have ended, and the job has not counted them yet.
    """

    active: list[Entry]
    terminating: list[Entry]
    uncounted: list[Entry]


class JobController:
    """Looks after all jobs.

    Args:
        registry: the way to jobs and pods.
        recorder: for what people should know.
        settings: of the server.
    """

    def __init__(self, registry: Registry, recorder: Recorder, settings: Settings) -> None:
        self._registry, self._recorder, self._settings = registry, recorder, settings
        self._queue: WorkQueue[tuple[str, str]] = WorkQueue(self._look)
        self._backoffs: dict[str, tuple[int, float]] = {}
        self._refused: dict[str, tuple[int, float]] = {}
        self._orphans: WorkQueue[tuple[str, str]] = WorkQueue(self._look_at_orphan)
        registry.store.listen(JOB, self._job_changed)
        registry.store.listen(POD, self._pod_changed)

    def _job_changed(self, event: Event) -> None:
        job = event.entry
        if event.type != "DELETED":
            self._queue.add(_key(job))
            return
        self._backoffs.pop(job.uid, None)
        self._refused.pop(job.uid, None)
        for pod in self._registry.store.owned(job.uid):
            if pod.kind is POD:
                self._orphans.add(_key(pod))

    def _pod_changed(self, event: Event) -> None:
        job = self._job_of(event.entry)
        if job is not None:
            self._queue.add(_key(job))
        elif FINALIZER in event.entry.object["metadata"].get("finalizers", ()):
            self._orphans.add(_key(event.entry))

    def _job_of(self, pod: Entry) -> Entry | None:
        """Return the job that a pod belongs to, if that is still there."""
        for owner in pod.object["metadata"].get("ownerReferences", ()):
            if owner["kind"] == "Job":
                job = self._registry.store.find(JOB, pod.namespace, owner["name"])
                if job is not None and job.uid == owner["uid"]:
                    return job
        return None

    def _look_at_orphan(self, key: tuple[str, str]) -> None:
        """Let a pod go that no job will count any more."""
        pod = self._registry.store.find(POD, *key)
        if pod is not None and self._job_of(pod) is None:
            self._release([pod])

    def _look(self, key: tuple[str, str]) -> None:
        """Bring one job a step further."""
        job = self._registry.store.find(JOB, *key)
        if job is None:
            return
        pods = self._pods(job)
        if _finished(job):
            self._release(pods.uncounted)
            self._collect_in_time(job)
            return
        job, pods = self._begin(job), self._pods(job)
        status = dict(job.object["status"])
        decision = self._count(job, status, pods.uncounted)
        verdict = self._verdict(job, status, decision)
        if verdict is not None:
            for pod in pods.active:
                self._delete(job, pod)
        elif job.object["spec"].get("suspend"):
            self._suspend(job, status, pods)
        else:
            self._balance(job, status, pods)
        self._tell(job, status, verdict)
        self._release(pods.uncounted)

    def _begin(self, job: Entry) -> Entry:
        """Note when a job began; one that was suspended begins again."""
        status = job.object["status"]
        suspended = job.object["spec"].get("suspend")
        if "startTime" in status or suspended:
            return job
        fields: Object = {"startTime": timestamp()}
        if any(each["type"] == "Suspended" for each in status.get("conditions", ())):
            fields["conditions"] = _with(
                status["conditions"], "Suspended", "False", "JobResumed", "Job resumed"
            )
            self._recorder.record(job, "job-controller", "Resumed", "Job resumed")
        return self._registry.put_status(job, **fields)

    def _pods(self, job: Entry) -> _Pods:
        pods = _Pods([], [], [])
        for pod in self._registry.store.owned(job.uid):
            if pod.kind is not POD:
                continue
            metadata = pod.object["metadata"]
            if _ended(pod):
                if FINALIZER in metadata.get("finalizers", ()):
                    pods.uncounted.append(pod)
            elif "deletionTimestamp" in metadata:
                if metadata.get("deletionGracePeriodSeconds") == 0:
                    pods.uncounted.append(pod)  # its kubelet is done with it, or was never asked
                else:
                    pods.terminating.append(pod)
            else:
                pods.active.append(pod)
        return pods

    def _count(self, job: Entry, status: Object, pods: list[Entry]) -> Decision:
        """Add pods that have ended to a job's status; return what its failure policy says of them."""
        spec, strictest = job.object["spec"], Decision("Count")
        indexed = spec["completionMode"] == "Indexed"
        done = set(unfolded(status.get("completedIndexes", "")))
        failed = set(unfolded(status.get("failedIndexes", "")))
        for pod in pods:
            if pod.object["status"].get("phase") == "Succeeded":
                if not indexed:
                    status["succeeded"] = status.get("succeeded", 0) + 1
                else:
                    done.add(_index(pod))
                self._backoffs.pop(job.uid, None)
                continue
            decision = decide(spec.get("podFailurePolicy"), pod.object)
            if decision.action == "FailJob":
                strictest = decision
            if decision.action == "Ignore":
                continue
            status["failed"] = status.get("failed", 0) + 1
            self._back_off(job)
            if indexed and "backoffLimitPerIndex" in spec:
                over = _failures(pod) >= spec["backoffLimitPerIndex"]
                if over or decision.action == "FailIndex":
                    failed.add(_index(pod))
        if indexed:
            wanted = range(spec["completions"])
            status["completedIndexes"] = spans(index for index in done if index in wanted)
            status["succeeded"] = len([index for index in done if index in wanted])
            if "backoffLimitPerIndex" in spec:
                status["failedIndexes"] = spans(failed)
        return strictest

    def _back_off(self, job: Entry) -> None:
        """Wait before the next pod, twice as long as after the failure before."""
        count, _ = self._backoffs.get(job.uid, (0, 0.0))
        seconds = min(self._settings.job_backoff * 2**count, _MOST_BACKOFF)
        self._backoffs[job.uid] = (count + 1, time.monotonic() + seconds)
        self._queue.add_later(_key(job), seconds)

    def _verdict(self, job: Entry, status: Object, decision: Decision) -> _Verdict | None:
        """Say whether a job is over."""
        known = _pending_verdict(status)
        if known is not None:
            return known
        spec = job.object["spec"]
        if decision.action == "FailJob":
            return _Verdict("Failed", "PodFailurePolicy", decision.message)
        if self._is_over_deadline(job, status):
            message = "Job was active longer than specified deadline"
            return _Verdict("Failed", "DeadlineExceeded", message)
        failed = unfolded(status.get("failedIndexes", ""))
        if "maxFailedIndexes" in spec and len(failed) > spec["maxFailedIndexes"]:
            message = "Job has exceeded the specified maximal number of failed indexes"
            return _Verdict("Failed", "MaxFailedIndexesExceeded", message)
        if self._failures(job, status) > spec["backoffLimit"]:
            message = "Job has reached the specified backoff limit"
            return _Verdict("Failed", "BackoffLimitExceeded", message)
        completions, succeeded = spec.get("completions"), status.get("succeeded", 0)
        if failed and completions is not None and succeeded + len(failed) >= completions:
            return _Verdict("Failed", "FailedIndexes", "Job has failed indexes")
        if completions is None:
            enough = succeeded > 0 and not self._pods(job).active
        else:
            enough = succeeded >= completions
        if enough:
            message = "Reached expected number of succeeded pods"
            return _Verdict("Complete", "CompletionsReached", message)
        return None

    def _failures(self, job: Entry, status: Object) -> int:
        """Return how often pods have failed, or containers in pods that start them again."""
        failed = int(status.get("failed", 0))
        if job.object["spec"]["template"]["spec"].get("restartPolicy") != "OnFailure":
            return failed
        restarts = sum(
            each["restartCount"]
            for pod in self._pods(job).active
            for each in pod.object["status"].get("containerStatuses", ())
        )
        return failed + int(restarts)

    def _is_over_deadline(self, job: Entry, status: Object) -> bool:
        deadline = job.object["spec"].get("activeDeadlineSeconds")
        if deadline is None or "startTime" not in status:
            return False
        left = seconds_of(status["startTime"]) + deadline - time.time()
        if left > 0:
            self._queue.add_later(_key(job), left + 0.01)
        return bool(left <= 0)

    def _suspend(self, job: Entry, status: Object, pods: _Pods) -> None:
        for pod in pods.active:
            self._delete(job, pod)
        conditions = status.get("conditions", [])
        if not _has(conditions, "Suspended"):
            status.pop("startTime", None)
            status["conditions"] = _with(
                conditions, "Suspended", "True", "JobSuspended", "Job suspended"
            )
            self._recorder.record(job, "job-controller", "Suspended", "Job suspended")

    def _balance(self, job: Entry, status: Object, pods: _Pods) -> None:
        """Make the pods that a job lacks, or delete those that it has too many."""
        spec = job.object["spec"]
        parallelism, completions = spec["parallelism"], spec.get("completions")
        succeeded = status.get("succeeded", 0)
        failed = len(unfolded(status.get("failedIndexes", "")))
        wanted = parallelism
        if completions is not None:
            wanted = min(parallelism, completions - succeeded - failed)
        elif succeeded:
            return  # no new ones; those that run may end
        held = len(pods.terminating) if spec["podReplacementPolicy"] == "Failed" else 0
        lacking = wanted - len(pods.active) - held
        for pod in pods.active[: max(-lacking, 0)]:
            self._delete(job, pod)
        if lacking <= 0 or self._must_wait(job):
            return
        if spec["completionMode"] == "Indexed":
            self._make_indexed(job, status, pods, lacking)
        else:
            for _ in range(lacking):
                if not self._make(job, None, 0):
                    return

    def _must_wait(self, job: Entry) -> bool:
        """Say whether a failure, or a refusal, is too fresh for new pods."""
        waits = [self._refused]
        if "backoffLimitPerIndex" not in job.object["spec"]:
            waits.append(self._backoffs)  # else no index waits for the failures of others
        for known in waits:
            _, until = known.get(job.uid, (0, 0.0))
            left = until - time.monotonic()
            if left > 0:
                self._queue.add_later(_key(job), left)
                return True
        return False

    def _make_indexed(self, job: Entry, status: Object, pods: _Pods, lacking: int) -> None:
        taken = set(unfolded(status.get("completedIndexes", "")))
        taken |= set(unfolded(status.get("failedIndexes", "")))
        taken |= {_index(pod) for pod in (*pods.active, *pods.terminating)}
        before = {_index(pod): _failures(pod) + 1 for pod in self._failed_pods(job)}
        for index in range(job.object["spec"]["completions"]):
            if lacking == 0:
                return
            if index not in taken:
                lacking -= 1
                if not self._make(job, index, before.get(index, 0)):
                    return

    def _failed_pods(self, job: Entry) -> Iterable[Entry]:
        found = [pod for pod in self._registry.store.owned(job.uid) if pod.kind is POD]
        failed = [pod for pod in found if pod.object["status"].get("phase") == "Failed"]
        return sorted(failed, key=_failures)

    def _make(self, job: Entry, index: int | None, failures: int) -> bool:
        """Make a pod; return whether it was taken."""
        try:
            pod = self._registry.create(POD, job.namespace, _pod_of(job, index, failures))
        except Refusal as refusal:
            message = f"Error creating: {refusal}"
            self._recorder.record(job, "job-controller", "FailedCreate", message, warns=True)
            count, _ = self._refused.get(job.uid, (0, 0.0))
            seconds = min(self._settings.quota_backoff * 2**count, _MOST_BACKOFF)
            self._refused[job.uid] = (count + 1, time.monotonic() + seconds)
            self._queue.add_later(_key(job), seconds)
            return False
        self._refused.pop(job.uid, None)
        message = f"Created pod: {pod.name}"
        self._recorder.record(job, "job-controller", "SuccessfulCreate", message)
        return True

    def _delete(self, job: Entry, pod: Entry) -> None:
        self._registry.delete(pod)
        message = f"Deleted pod: {pod.name}"
        self._recorder.record(job, "job-controller", "SuccessfulDelete", message)

    def _tell(self, job: Entry, status: Object, verdict: _Verdict | None) -> None:
        """Write down how a job is doing."""
        pods = self._pods(job)
        status["active"] = len(pods.active) or None
        status["terminating"] = len(pods.terminating)
        ready = [
            pod for pod in pods.active if _has(pod.object["status"].get("conditions"), "Ready")
        ]
        status["ready"] = len(ready)
        status["uncountedTerminatedPods"] = {}
        if verdict is not None:
            self._tell_end(job, status, verdict, is_last=not (pods.active or pods.terminating))
        told = {key: value for key, value in status.items() if value not in (None, "")}
        current = self._registry.get(JOB, job.namespace, job.name)
        self._registry.put(current, {**current.object, "status": told})

    def _tell_end(self, job: Entry, status: Object, verdict: _Verdict, *, is_last: bool) -> None:
        """Write down that a job is over: what it comes to at once, that it is so when nothing runs."""
        first = "SuccessCriteriaMet" if verdict.type == "Complete" else "FailureTarget"
        conditions = status.get("conditions", [])
        if not _has(conditions, first):
            conditions = _with(conditions, first, "True", verdict.reason, verdict.message)
        if is_last:
            conditions = _with(conditions, verdict.type, "True", verdict.reason, verdict.message)
            status["active"], status["ready"], status["terminating"] = None, 0, 0
            if verdict.type == "Complete":
                status["completionTime"] = timestamp()
                self._recorder.record(job, "job-controller", "Completed", "Job completed")
            else:
                told = (verdict.reason, verdict.message)
                self._recorder.record(job, "job-controller", *told, warns=True)
            self._backoffs.pop(job.uid, None)
        status["conditions"] = conditions

    def _release(self, pods: list[Entry]) -> None:
        """Let pods go that have been counted."""
        for pod in pods:
            now = self._registry.store.find(POD, pod.namespace, pod.name)
            if now is None or now.uid != pod.uid:
                continue
            finalizers = now.object["metadata"].get("finalizers", [])
            if FINALIZER in finalizers:
                left = [each for each in finalizers if each != FINALIZER] or None
                self._registry.put(now, changed(now.object, left, "metadata", "finalizers"))

    def _collect_in_time(self, job: Entry) -> None:
        """Delete a job some time after its end, if it says so."""
        seconds = job.object["spec"].get("ttlSecondsAfterFinished")
        if seconds is None or "deletionTimestamp" in job.object["metadata"]:
            return
        ended = max(
            seconds_of(each["lastTransitionTime"])
            for each in job.object["status"]["conditions"]
            if each["type"] in ("Complete", "Failed")
        )
        left = ended + seconds - time.time()
        if left > 0:
            self._queue.add_later(_key(job), left + 0.01)
        else:
            self._registry.delete(job, propagation="Foreground")


def _pod_of(job: Entry, index: int | None, failures: int) -> Object:
    """Return a pod of a job."""
    template = job.object["spec"]["template"]
    metadata = template.get("metadata", {})
    annotations, labels = {**metadata.get("annotations", {})}, {**metadata.get("labels", {})}
    spec: Object = template["spec"]
    middle = ""
    if index is not None:
        annotations[INDEX] = labels[INDEX] = str(index)
        middle = f"{index}-"
        spec = {**spec, "hostname": f"{job.name}-{index}"}
        for place in ("containers", "initContainers"):
            if place in spec:
                spec[place] = [_with_index(each) for each in spec[place]]
        if "backoffLimitPerIndex" in job.object["spec"]:
            annotations[FAILURES] = str(failures)
    owner = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "name": job.name,
        "uid": job.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    return {
        "metadata": {
            "generateName": f"{job.name}-{middle}",
            "name": f"{job.name[: 57 - len(middle)]}-{middle}{suffix()}",
            "labels": labels,
            **({"annotations": annotations} if annotations else {}),
            "ownerReferences": [owner],
            "finalizers": [FINALIZER],
        },
        "spec": spec,
    }


def _with_index(container: Object) -> Object:
    known = container.get("env", [])
    if any(each["name"] == "JOB_COMPLETION_INDEX" for each in known):
        return container
    reference = {"fieldRef": {"fieldPath": f"metadata.labels['{INDEX}']"}}
    own: Any = {"name": "JOB_COMPLETION_INDEX", "valueFrom": reference}
    return {**container, "env": [*known, own]}


def _key(entry: Entry) -> tuple[str, str]:
    return entry.namespace, entry.name


def _ended(pod: Entry) -> bool:
    return pod.object["status"].get("phase") in ("Succeeded", "Failed")


def _index(pod: Entry) -> int:
    return int(pod.object["metadata"].get("annotations", {}).get(INDEX, -1))


def _failures(pod: Entry) -> int:
    return int(pod.object["metadata"].get("annotations", {}).get(FAILURES, 0))


def _finished(job: Entry) -> bool:
    conditions = job.object["status"].get("conditions", ())
    return _has(conditions, "Complete") or _has(conditions, "Failed")


def _pending_verdict(status: Object) -> _Verdict | None:
    """Return how a job is to end whose last pods still run."""
    for condition in status.get("conditions", ()):
        types = {"SuccessCriteriaMet": "Complete", "FailureTarget": "Failed"}
        if condition["type"] in types:
            told = condition.get("reason", ""), condition.get("message", "")
            return _Verdict(types[condition["type"]], *told)
    return None


def _has(conditions: Iterable[Object] | None, type_: str) -> bool:
    return any(each["type"] == type_ and each["status"] == "True" for each in conditions or ())


def _with(
    conditions: list[Object], type_: str, status: str, reason: str, message: str
) -> list[Object]:
    """Return conditions with one more, or one that has changed."""
    now = timestamp()
    new = {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastProbeTime": now,
        "lastTransitionTime": now,
    }
    return [*(each for each in conditions if each["type"] != type_), new]
