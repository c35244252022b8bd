"""What clients ask of pods that is no change of their content: logs and evictions."""

from __future__ import annotations

from servers.kubernetes.clock import timestamp
from servers.kubernetes.errors import Refusal, bad_request
from servers.kubernetes.http import Answer, Reply
from servers.kubernetes.kubelet import Kubelet
from servers.kubernetes.logs import LogStream
from servers.kubernetes.registry import Registry
from servers.kubernetes.store import Entry, Object

_SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


class PodRequests:
    """Answers them.

    Args:
        registry: the way to pods.
        kubelet: runs them.
    """

    def __init__(self, registry: Registry, kubelet: Kubelet) -> None:
        self._registry, self._kubelet = registry, kubelet

    def log(self, pod: Entry, query: dict[str, str]) -> Reply:
        """Return the log of a container, or the stream of it.

        Raises:
            Refusal: 400, when there is none yet, or it is not clear which.
        """
        name = self._container(pod, query.get("container", ""))
        previous = query.get("previous") in ("true", "1")
        node = pod.object["spec"].get("nodeName", "")
        if node in self._kubelet.silent:
            raise Refusal(
                500,
                "InternalError",
                f'Get "https://127.0.0.1:10250/containerLogs/{pod.namespace}/{pod.name}/{name}": dial '
                "tcp 127.0.0.1:10250: connect: no route to host",
            )
        log = self._kubelet.logs(pod).get((name, previous))
        if log is None and previous:
            raise bad_request(
                f'previous terminated container "{name}" in pod "{pod.name}" not found'
            )
        if log is None:
            raise self._not_yet(pod, name)
        stream = LogStream(log, query)
        if query.get("follow") in ("true", "1"):
            return stream
        pieces: list[bytes] = []
        stream.read_all(pieces.append)
        return Answer(200, b"".join(pieces), "text/plain")

    def evict(self, pod: Entry, body: Object) -> Object:
        """Delete a pod as its node is to be emptied."""
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
            "lastTransitionTime": timestamp(),
        }
        conditions = [*pod.object["status"].get("conditions", []), condition]
        marked = self._registry.put_status(pod, conditions=conditions)
        grace = body.get("deleteOptions", {}).get("gracePeriodSeconds")
        self._registry.delete(marked, grace)
        return _SUCCESS

    def _container(self, pod: Entry, asked: str) -> str:
        spec = pod.object["spec"]
        names = [each["name"] for each in spec["containers"]]
        first = [each["name"] for each in spec.get("initContainers", ())]
        if not asked and len(names) == 1:
            return str(names[0])
        if not asked:
            also = f" or one of the init containers: [{' '.join(first)}]" if first else ""
            raise bad_request(
                f"a container name must be specified for pod {pod.name}, choose one of: "
                f"[{' '.join(names)}]{also}"
            )
        if asked not in (*names, *first):
            raise bad_request(f"container {asked} is not valid for pod {pod.name}")
        return asked

    def _not_yet(self, pod: Entry, name: str) -> Refusal:
        status = pod.object["status"]
        both = (*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ()))
        for each in both:
            if each["name"] == name and "waiting" in each["state"]:
                why = each["state"]["waiting"]
                failed = {
                    "ErrImagePull": "image can't be pulled",
                    "ImagePullBackOff": "trying and failing to pull image",
                }
                told = failed.get(why["reason"], why["reason"])
                return bad_request(
                    f'container "{name}" in pod "{pod.name}" is waiting to start: {told}'
                )
        if not pod.object["spec"].get("nodeName"):
            return bad_request(f"pod {pod.name} does not have a host assigned")
        return bad_request(f'container "{name}" in pod "{pod.name}" is not available')
