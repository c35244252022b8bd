"""Jobs of flow-core as they are in a cluster, whoever has started them: for the command ``kubernetes``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from flow_core.api import FlowError
from flow_kubernetes import names
from flow_kubernetes.client import Connection, Refusal, Unreachable, explained
from flow_kubernetes.pods import Sight, look
from flow_kubernetes.settings import PREFIX

_PAGE = 500


class Found(NamedTuple):
    """A job in the cluster.

    Attributes:
        namespace, name: where, and its name.
        flow, run, step, task, attempt, user: what it is.
        state: ``waits``, ``runs``, ``done``, ``failed`` or ``ends``.
        why: why it waits, or how it failed; ``""`` = nothing is said.
        node: where it is, or ``""``.
        created: seconds since the epoch.
        pods: names of its pods, in the order of the members of a gang.
    """

    namespace: str
    name: str
    flow: str
    run: str
    step: str
    task: str
    attempt: str
    user: str
    state: str
    why: str
    node: str
    created: float
    pods: tuple[str, ...]

    @property
    def pathspec(self) -> str:
        """``Flow/run/step/task``."""
        return f"{self.flow}/{self.run}/{self.step}/{self.task}"

    @property
    def is_over(self) -> bool:
        """Whether nothing of it runs any more."""
        return self.state in ("done", "failed")


class Choice(NamedTuple):
    """Which jobs; ``""`` = any."""

    flow: str = ""
    run: str = ""
    step: str = ""
    task: str = ""
    user: str = ""

    @property
    def selector(self) -> str:
        """The selector of labels."""
        keys = (names.FLOW, names.RUN, names.STEP, names.TASK, names.USER)
        chosen = [
            f"{key}={names.label(text)}" for key, text in zip(keys, self, strict=True) if text
        ]
        return ",".join([*chosen, names.NAME])


class Jobs:
    """The jobs of a namespace.

    Args:
        setting: returns the value of a setting.
        namespace: None = the one of the settings, or of the context.

    Raises:
        FlowError: there is no cluster.
    """

    def __init__(self, setting: Callable[[str], Any], namespace: str | None) -> None:
        self._connection = Connection(setting)
        self.namespace: str = (
            namespace or setting(PREFIX + "namespace") or self._connection.place.namespace
        )

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def find(self, choice: Choice) -> list[Found]:
        """Return jobs, oldest first.

        Raises:
            FlowError: the cluster does not answer, or does not allow it.
        """
        jobs = list(self._all("apis/batch/v1", "jobs", choice.selector))
        pods: dict[str, list[Mapping[str, Any]]] = {}
        for pod in self._all("api/v1", "pods", choice.selector) if jobs else ():
            pods.setdefault(pod["metadata"]["labels"][names.NAME], []).append(pod)
        found = [_found(job, pods.get(job["metadata"]["name"], [])) for job in jobs]
        return sorted(found, key=lambda one: (one.created, one.name))

    def end(self, jobs: Sequence[Found], grace: int) -> None:
        """Delete jobs with their pods, which get ``grace`` seconds.

        Raises:
            FlowError: as `find`.
        """
        for start in range(0, len(jobs), 100):
            chosen = ",".join(job.name for job in jobs[start : start + 100])
            query = {"labelSelector": f"{names.NAME} in ({chosen})"}
            options = {"propagationPolicy": "Background"}
            self._ask("deletecollection", "apis/batch/v1", "jobs", query, options)
            self._ask(
                "deletecollection", "api/v1", "pods", query, {"gracePeriodSeconds": max(1, grace)}
            )

    def log(self, pod: str, tail: int | None, follow: bool) -> Iterator[bytes]:
        """Yield what a pod has written, as pieces.

        Raises:
            FlowError: as `find`.
        """
        path = f"/api/v1/namespaces/{self.namespace}/pods/{pod}/log"
        query: dict[str, Any] = {} if tail is None else {"tailLines": tail}
        try:
            yield from self._connection.text(
                path, {**query, **({"follow": "true"} if follow else {})}
            )
        except (Refusal, Unreachable) as error:
            raise self._explained(error) from None

    def _all(self, api: str, kind: str, selector: str) -> Iterator[dict[str, Any]]:
        query: dict[str, Any] = {"labelSelector": selector, "limit": _PAGE}
        while True:
            page = self._ask("list", api, kind, query)
            yield from page["items"]
            query["continue"] = page["metadata"].get("continue")
            if not query["continue"]:
                return

    def _ask(
        self,
        verb: str,
        api: str,
        kind: str,
        query: Mapping[str, Any],
        body: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        path = f"/{api}/namespaces/{self.namespace}/{kind}"
        try:
            return self._connection.ask(verb, path, query, body, patience=8.0)
        except (Refusal, Unreachable) as error:
            raise self._explained(error) from None

    def _explained(self, error: Refusal | Unreachable) -> FlowError:
        return explained(error, self._connection.place, self.namespace)


def _found(job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]]) -> Found:
    meta = job["metadata"]
    texts = meta.get("annotations", {})
    sights = [look(pod, meta["name"]) for pod in pods]
    state, why, node = _state(job, sights)
    created = datetime.strptime(meta["creationTimestamp"], "%Y-%m-%dT%H:%M:%S%z")
    return Found(
        namespace=meta["namespace"],
        name=meta["name"],
        flow=texts.get(names.FLOW, "?"),
        run=texts.get(names.RUN, "?"),
        step=texts.get(names.STEP, "?"),
        task=texts.get(names.TASK, "?"),
        attempt=texts.get(names.ATTEMPT, "0"),
        user=texts.get(names.USER, "?"),
        state=state,
        why=why,
        node=node,
        created=created.timestamp(),
        pods=tuple(sight.name for sight in sorted(sights, key=lambda sight: sight.member)),
    )


def _state(job: Mapping[str, Any], sights: Sequence[Sight]) -> tuple[str, str, str]:
    """Return state, reason and node."""
    node = ", ".join(sorted({sight.node for sight in sights if sight.node}))
    ended = [sight.ended for sight in sights if sight.ended is not None]
    reasons = [e.message or e.cause for e in ended if e.cause or e.message]
    for condition in job.get("status", {}).get("conditions") or ():
        if condition["status"] == "True" and condition["type"] == "Complete":
            return "done", "", node
        if condition["status"] == "True" and condition["type"] == "Failed":
            codes = [f"exit status {e.code}" for e in ended if e.code]
            signals = [f"signal {e.signal}" for e in ended if e.signal]
            said = [*reasons, *codes, *signals, condition.get("message", "")]
            return "failed", said[0], node
    if any(sight.leaving is not None for sight in sights) or "deletionTimestamp" in job["metadata"]:
        return "ends", "", node
    waits = [sight.waits for sight in sights if sight.waits]
    if waits or not any(sight.runs for sight in sights):
        return "waits", waits[0] if waits else "", node
    return "runs", "", node
