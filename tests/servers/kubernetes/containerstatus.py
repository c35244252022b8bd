"""How the containers of a pod are doing, in the form of its status."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from servers.kubernetes.clock import timestamp
from servers.kubernetes.runtime import Exit
from servers.kubernetes.store import Object


class ContainerStates:
    """The states of all containers of a pod.

    Args:
        spec: of the pod.
        clock: returns the time on its node.
    """

    def __init__(self, spec: Object, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._first = [each["name"] for each in spec.get("initContainers", ())]
        self.names = [each["name"] for each in spec["containers"]]
        self._images = {
            each["name"]: each["image"]
            for each in (*spec.get("initContainers", ()), *spec["containers"])
        }
        creating = "PodInitializing" if self._first else "ContainerCreating"
        self._states: dict[str, Object] = {
            name: {"waiting": {"reason": creating}} for name in (*self._first, *self.names)
        }
        self._last: dict[str, Object] = {}
        self._restarts = dict.fromkeys(self._states, 0)
        self._ids: dict[str, str] = {}
        self._started: dict[str, str] = {}
        self._own_conditions: list[Object] = []

    def wait(self, name: str, reason: str, message: str) -> None:
        """A container cannot start yet."""
        self._keep_last(name)
        self._states[name] = {"waiting": {"reason": reason, "message": message}}

    def run(self, name: str, id_: str) -> None:
        """A container runs."""
        self._keep_last(name)
        if name in self._ids:
            self._restarts[name] += 1
        self._ids[name] = f"process://{id_}"
        self._started[name] = timestamp(self._clock())
        self._states[name] = {"running": {"startedAt": self._started[name]}}

    def end(self, name: str, exit_: Exit, reason: str, message: str) -> None:
        """A container has ended, or could not start."""
        now = timestamp(self._clock())
        started = self._started.get(name, now) if reason != "StartError" else timestamp(0)
        self._keep_last(name)
        self._states[name] = {
            "terminated": {
                "exitCode": exit_.code,
                "reason": reason,
                **({"message": message} if message else {}),
                "startedAt": started,
                "finishedAt": now,
                **({"containerID": self._ids[name]} if name in self._ids else {}),
            }
        }

    def exit_code(self, name: str) -> int | None:
        """Return the exit code of a container that has ended, or None."""
        ended = self._states[name].get("terminated") or self._last.get(name, {}).get("terminated")
        return ended["exitCode"] if ended else None

    def all_succeeded(self) -> bool:
        """Say whether all containers have ended well."""
        return all(
            self._states[name].get("terminated", {}).get("exitCode") == 0
            for name in (*self._first, *self.names)
        )

    def phase(self, before: str) -> str:
        """Return the phase of a pod that has not ended: once it has run, it is Running."""
        ran = any("waiting" not in self._states[name] or name in self._last for name in self.names)
        return "Running" if ran or before == "Running" else "Pending"

    def add_condition(self, condition: Object) -> None:
        """Add a condition such as ``DisruptionTarget``."""
        self._own_conditions.append({**condition, "lastTransitionTime": timestamp(self._clock())})

    def statuses(self) -> dict[str, Any]:
        """Return the fields of a pod's status that tell of its containers."""
        found = {"containerStatuses": [self._status(name) for name in self.names]}
        if self._first:
            found["initContainerStatuses"] = [self._status(name) for name in self._first]
        return found

    def conditions(self, before: list[Object], phase: str) -> list[Object]:
        """Return the conditions of the pod; those that say the same keep their time."""
        first_done = all(self._is_done(name) for name in self._first)
        ready = phase == "Running" and all("running" in self._states[name] for name in self.names)
        ended = phase in ("Succeeded", "Failed")
        endings = {"Succeeded": "PodCompleted", "Failed": "PodFailed"}
        why = endings.get(phase, "ContainersNotReady")
        waiting = [name for name in self.names if "running" not in self._states[name]]
        message = "" if ended else f"containers with unready status: [{' '.join(waiting)}]"
        not_ready = {"status": "False", "reason": why, **({"message": message} if message else {})}
        state = {"status": "True"} if ready else not_ready
        if first_done:
            initialized = {"status": "True", **({"reason": why} if phase == "Succeeded" else {})}
        else:
            initialized = {
                "status": "False",
                "reason": "ContainersNotInitialized",
                "message": f"containers with incomplete status: [{' '.join(self._first)}]",
            }
        new = [
            {"type": "PodReadyToStartContainers", "status": "False" if ended else "True"},
            {"type": "Initialized", **initialized},
            {"type": "Ready", **state},
            {"type": "ContainersReady", **state},
            *self._own_conditions,
        ]
        return self._merged(before, new)

    def _merged(self, before: list[Object], new: list[Object]) -> list[Object]:
        known = {each["type"]: each for each in before}
        now = timestamp(self._clock())
        for each in new:
            old = known.get(each["type"], {})
            since = old.get("lastTransitionTime") if old.get("status") == each["status"] else None
            known[each["type"]] = {"lastTransitionTime": since or now, **each}
        return list(known.values())

    def _keep_last(self, name: str) -> None:
        if "terminated" in self._states[name]:
            self._last[name] = self._states[name]

    def _is_done(self, name: str) -> bool:
        ended: Object = self._states[name].get("terminated", {})
        return bool(ended.get("exitCode") == 0)

    def _status(self, name: str) -> Object:
        state = self._states[name]
        ran = name in self._ids
        return {
            "name": name,
            "state": state,
            "lastState": self._last.get(name, {}),
            "ready": "running" in state or (name in self._first and self._is_done(name)),
            "started": "running" in state,
            "restartCount": self._restarts[name],
            "image": self._images[name],
            "imageID": f"sha256:{_digest(self._images[name])}" if ran else "",
            **({"containerID": self._ids[name]} if ran else {}),
        }


def _digest(image: str) -> str:
    return hashlib.sha256(image.encode()).hexdigest()
