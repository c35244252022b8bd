"""One pod on its node, from the images to the last exit code: what a kubelet does for it."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import signal
import sys
import traceback
import uuid
from typing import TYPE_CHECKING, Any

from servers.kubernetes.clock import timestamp
from servers.kubernetes.containerstatus import ContainerStates
from servers.kubernetes.environment import ConfigError, expanded, variables
from servers.kubernetes.images import is_valid, pull_error
from servers.kubernetes.kinds import POD
from servers.kubernetes.logs import Log
from servers.kubernetes.nodes import HOST
from servers.kubernetes.quantities import amount
from servers.kubernetes.runtime import Container, Exit, Mount, StartError, Work
from servers.kubernetes.simulated import SimulatedContainer
from servers.kubernetes.store import Entry, Object
from servers.kubernetes.volumes import MountError, mounts_of, prepare_volumes

if TYPE_CHECKING:
    from servers.kubernetes.kubelet import Kubelet

_MOST_BACKOFF = 300.0
_MESSAGE = 4096


class PodWorker:
    """Runs a pod.

    Args:
        kubelet: of all nodes.
        pod: bound to one of them.
    """

    def __init__(self, kubelet: Kubelet, pod: Entry) -> None:
        self._kubelet, self._parts = kubelet, kubelet.parts
        self._key = (POD, pod.namespace, pod.name)
        self.uid, self.node = pod.uid, str(pod.object["spec"]["nodeName"])
        self._spec: Object = pod.object["spec"]
        self.logs: dict[tuple[str, bool], Log] = {}
        self._states = ContainerStates(self._spec, self._now)
        self._running: dict[str, Container] = {}
        self._address = kubelet.new_address()
        self._start_time = ""
        self._ending = asyncio.Event()
        self._verdict: dict[str, Any] = {}
        self._out_of_memory: set[str] = set()
        self._unsaid: dict[str, Any] | None = None
        self._folder = self._parts.folder / "pods" / self.uid
        self._claims = self._parts.folder / "claims" / pod.namespace
        self._task = asyncio.get_running_loop().create_task(self._live())
        self._killer: asyncio.Task[None] | None = None
        self._kill_time = 0.0
        self._is_forgotten = False
        self._starting = 0

    # What others ask of it.

    def terminate(self) -> None:
        """End the pod as its deletion says: ask its containers, and kill them when their time is over."""
        if self._is_silent():
            return
        pod = self._pod()
        if pod is not None and "deletionTimestamp" in pod.object["metadata"]:
            self._end_within(pod.object["metadata"]["deletionGracePeriodSeconds"])

    def kill(self, container: str = "", *, out_of_memory: bool = False) -> None:
        """Kill the processes of all containers, or of one."""
        for name, running in list(self._running.items()):
            if container in ("", name):
                if out_of_memory:
                    self._out_of_memory.add(name)
                running.kill(out_of_memory=out_of_memory)

    def fail(self, reason: str, message: str, condition: Object | None, grace: float) -> None:
        """End the pod as Failed, whatever its containers do: evicted, over its deadline."""
        self._verdict = {"phase": "Failed", "reason": reason, "message": message}
        if condition is not None:
            self._states.add_condition(condition)
        self._end_within(grace)

    def come_back(self) -> None:
        """Tell what could not be told while the node was away."""
        if self._is_forgotten:
            self.forget()
            return
        unsaid, self._unsaid = self._unsaid, None
        if unsaid is not None or not self._task.done():
            self._write(**(unsaid or {}))
        self.terminate()

    def forget(self) -> None:
        """The pod is gone from the cluster: nothing of it may stay, once its node knows."""
        self._is_forgotten = True
        if not self._is_silent():
            self._kubelet.workers.pop(self.uid, None)
            self._cleaner = asyncio.get_running_loop().create_task(self._clean())

    async def _clean(self) -> None:
        if self._killer:
            self._killer.cancel()
        self._ending.set()
        await self._until_started()
        self.kill()
        await asyncio.wait([self._task])
        for log in self.logs.values():
            log.complete()
            await log.read_by_all(5)
        # A pod may hold thousands of files: the server goes on answering meanwhile.
        await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)

    # Its life.

    async def _live(self) -> None:
        try:
            await self._run()
        except Exception:
            traceback.print_exc(file=sys.stderr)
            self._verdict = {"phase": "Failed", "reason": "KubeletFault"}
            self._write(**self._verdict)

    async def _run(self) -> None:
        self._start_time = timestamp(self._now())
        self._write()
        deadline = self._spec.get("activeDeadlineSeconds")
        if deadline:
            asyncio.get_running_loop().call_later(deadline, self._over_deadline)
        if await self._mount_volumes() and await self._run_init_containers():
            names = [each["name"] for each in self._spec["containers"]]
            self._write()
            await asyncio.gather(*(self._run_container("containers", name) for name in names))
        self._end()

    def _over_deadline(self) -> None:
        if not self._task.done():
            message = "Pod was active on the node longer than the specified deadline"
            grace = self._spec["terminationGracePeriodSeconds"]
            self.fail("DeadlineExceeded", message, None, grace)

    async def _mount_volumes(self) -> bool:
        """Prepare the volumes, as soon as all that they are made from is there."""
        while not self._ending.is_set():
            pod = self._pod()
            if pod is None:
                return False
            try:
                prepare_volumes(self._parts.registry.store, pod, self._folder, self._claims)
            except MountError as error:
                self._record("FailedMount", str(error), warns=True)
                await self._pause(self._parts.settings.crash_backoff)
            else:
                return True
        return False

    async def _run_init_containers(self) -> bool:
        """Run the init containers one by one; return whether all have succeeded."""
        for container in self._spec.get("initContainers", ()):
            name = container["name"]
            await self._run_container("initContainers", name)
            code = self._states.exit_code(name)
            if code != 0:
                return False
        return not self._ending.is_set()

    async def _run_container(self, place: str, name: str) -> None:
        """Run a container, again and again if the pod says so."""
        container = next(each for each in self._spec[place] if each["name"] == name)
        settings, policy = self._parts.settings, self._spec["restartPolicy"]
        if place == "initContainers" and policy == "Always":
            policy = "OnFailure"
        backoff = settings.crash_backoff
        while not self._ending.is_set():
            code = await self._run_once(container)
            again = policy == "Always" or (policy == "OnFailure" and code != 0)
            if not again or self._ending.is_set():
                return
            message = (
                f"back-off {backoff:g}s restarting failed container={name} "
                f"pod={self._key[2]}_{self._key[1]}({self.uid})"
            )
            self._states.wait(name, "CrashLoopBackOff", message)
            self._write()
            self._record("BackOff", f"Back-off restarting failed container {name}", warns=True)
            await self._pause(backoff)
            backoff = min(2 * backoff, _MOST_BACKOFF)

    async def _run_once(self, container: Object) -> int:
        """Run a container once; return its exit code."""
        name = container["name"]
        work = await self._work(container)
        if work is None:
            return 137
        self._starting += 1
        try:
            running = await self._start(work)
        except StartError as error:
            return self._not_started(name, work, str(error))
        finally:
            self._starting -= 1
        self._running[name] = running
        self._states.run(name, work.id)
        self._record("Started", f"Started container {name}")
        self._write()
        if self._ending.is_set():
            running.signal(signal.SIGTERM)
        ended = await running.wait()
        del self._running[name]
        if ended.not_started:
            return self._not_started(name, work, ended.not_started)
        work.log.complete()
        oom = ended.out_of_memory or name in self._out_of_memory
        self._out_of_memory.discard(name)
        reason = "OOMKilled" if oom else "Completed" if ended.code == 0 else "Error"
        self._states.end(name, ended, reason, self._last_words(container, work, ended))
        if self._spec["restartPolicy"] != "Never" or len(self._states.names) > 1:
            self._write()
        return ended.code

    def _not_started(self, name: str, work: Work, why: str) -> int:
        self._record("Failed", f"Error: {why}", warns=True)
        self._states.end(name, Exit(128), "StartError", why)
        work.log.complete()
        self._write()
        return 128

    async def _work(self, container: Object) -> Work | None:
        """Return what is to start, when its image and all that it refers to are there."""
        name = container["name"]
        if not await self._pull(container):
            return None
        while not self._ending.is_set():
            pod = self._pod()
            if pod is None:
                return None
            try:
                self._check_user(container)
                return self._prepared(pod, container)
            except ConfigError as error:
                self._states.wait(name, "CreateContainerConfigError", str(error))
                self._write()
                self._record("Failed", f"Error: {error}", warns=True)
                await self._pause(self._parts.settings.crash_backoff)
        return None

    def _check_user(self, container: Object) -> None:
        """Refuse to run as root what must not."""
        both = self._context(container)
        if both.get("runAsNonRoot") and both.get("runAsUser", 0) == 0:
            pod = f'"{self._key[2]}_{self._key[1]}({self.uid})", container: {container["name"]}'
            if "runAsUser" in both:
                raise ConfigError(f"container's runAsUser breaks non-root policy (pod: {pod})")
            raise ConfigError(f"container has runAsNonRoot and image will run as root (pod: {pod})")

    async def _pull(self, container: Object) -> bool:
        """Fetch an image, as often as it takes."""
        name, image = container["name"], container["image"]
        if not is_valid(image):
            message = f'Failed to apply default image tag "{image}": couldn\'t parse image name'
            self._states.wait(name, "InvalidImageName", message)
            self._write()
            self._record("InspectFailed", message, warns=True)
            await self._ending.wait()
            return False
        backoff = self._parts.settings.pull_backoff
        while await self._is_missing(image) and not self._ending.is_set():
            never = container["imagePullPolicy"] == "Never"
            word = "ErrImageNeverPull" if never else "ErrImagePull"
            why = f'Container image "{image}" is not present with pull policy of Never'
            message = why if never else pull_error(image)
            self._states.wait(name, word, message)
            self._write()
            self._record("Failed", f'Failed to pull image "{image}": {message}', warns=True)
            self._record("Failed", f"Error: {word}", warns=True)
            await self._pause(backoff / 2)
            if not never:
                why = f'Back-off pulling image "{image}": ErrImagePull: {message}'
                self._states.wait(name, "ImagePullBackOff", why)
                self._write()
                self._record("BackOff", f'Back-off pulling image "{image}"')
            await self._pause(backoff / 2)
            backoff = min(2 * backoff, _MOST_BACKOFF)
        return not self._ending.is_set()

    async def _is_missing(self, image: str) -> bool:
        if image in self._parts.missing_images:
            return True
        is_simulated = self._key[1] in self._parts.simulations
        return not is_simulated and not await self._parts.runtime.has(image)

    def _prepared(self, pod: Entry, container: Object) -> Work:
        name = container["name"]
        found = variables(self._parts.registry.store, pod, container)
        words = tuple(expanded(each, found) for each in container.get("command", ()))
        arguments = tuple(expanded(each, found) for each in container.get("args", ()))
        limit = container.get("resources", {}).get("limits", {}).get("memory")
        run_id = uuid.uuid4().hex
        log = self._new_log(name)
        return Work(
            run_id,
            f"{self._key[1]}/{self._key[2]}/{self.uid}/{run_id}",
            container["image"],
            words,
            arguments,
            {**self._kubelet.environment(), **found},
            container.get("workingDir", ""),
            (*mounts_of(container, self._folder), *self._message_mount(container)),
            int(amount(limit)) if limit else None,
            log,
            self._folder / f"{name}.message",
            self._spec.get("hostname", self._key[2][:63]),
            self._kubelet.names.file_for(pod),
            _user(self._context(container)),
            bool(self._context(container).get("readOnlyRootFilesystem")),
        )

    def _context(self, container: Object) -> Object:
        """Return the security context of a container: its own, over that of the pod."""
        own, common = container.get("securityContext", {}), self._spec.get("securityContext", {})
        return {**common, **own}

    def _message_mount(self, container: Object) -> list[Mount]:
        """Return where a container writes its last words, if it has a place of its own for that."""
        path = container["terminationMessagePath"]
        if path == "/dev/termination-log":
            return []  # it is told where by a variable: most containers need no mounts
        message = self._folder / f"{container['name']}.message"
        message.parent.mkdir(parents=True, exist_ok=True)
        message.touch()
        return [Mount(message, path)]

    def _new_log(self, name: str) -> Log:
        """Return an empty log for a container; that of its last run stays, but none before it."""
        before = self.logs.pop((name, False), None)
        if before:
            before.move(self._folder / f"{name}.previous.log")
            self.logs[name, True] = before
        self.logs[name, False] = Log(self._folder / f"{name}.log", self._now)
        return self.logs[name, False]

    async def _start(self, work: Work) -> Container:
        simulation = self._parts.simulations.get(self._key[1])
        if simulation is not None:
            return SimulatedContainer(work, simulation)
        return await self._parts.runtime.start(work)

    def _last_words(self, container: Object, work: Work, ended: Exit) -> str:
        """Return the message of a container that has ended: its own, or the end of its log."""
        with contextlib.suppress(OSError):
            text = work.message.read_text(errors="replace")[:_MESSAGE]
            work.message.unlink()
            if text:
                return text
        falls_back = container["terminationMessagePolicy"] == "FallbackToLogsOnError"
        return work.log.tail(2048, 80) if falls_back and ended.code else ""

    # Its end.

    def _end_within(self, grace: float) -> None:
        """End all containers, unless that is under way and will not take longer."""
        self._ending.set()
        loop = asyncio.get_running_loop()
        kill_time = loop.time() + grace
        if self._killer and not self._killer.done():
            if self._kill_time <= kill_time:
                return
            self._killer.cancel()
        self._kill_time = kill_time
        self._killer = loop.create_task(self._end_containers(grace))

    async def _end_containers(self, grace: float) -> None:
        """End all containers: by SIGTERM, after the grace by SIGKILL."""
        for running in list(self._running.values()):
            running.signal(signal.SIGTERM)
        await asyncio.wait([self._task], timeout=grace)
        await self._until_started()
        self.kill()
        await asyncio.wait([self._task])
        self._remove()

    def _end(self) -> None:
        """Tell the pod's last phase."""
        phase = "Succeeded" if self._states.all_succeeded() else "Failed"
        self._write(**{"phase": phase, **self._verdict})
        self._remove()

    def _remove(self) -> None:
        """Let a pod go that was to be deleted, now that nothing of it runs."""
        pod = self._pod()
        if pod is None or self._is_silent() or "deletionTimestamp" not in pod.object["metadata"]:
            return
        self._parts.registry.delete(pod, 0)

    async def _pause(self, seconds: float) -> None:
        """Wait for a while, but no longer than until the pod is to end."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._ending.wait(), seconds)

    async def _until_started(self) -> None:
        """Wait for containers that are about to start: what is half there cannot be ended."""
        while self._starting:
            await asyncio.sleep(0.05)

    # What it says.

    def _pod(self) -> Entry | None:
        pod = self._parts.registry.store.find(*self._key)
        return pod if pod is not None and pod.uid == self.uid else None

    def _is_silent(self) -> bool:
        return self.node in self._kubelet.silent

    def _now(self) -> float:
        return self._kubelet.clock(self.node)

    def _write(self, **more: Any) -> None:
        """Write the status of the pod as it is now."""
        pod = self._pod()
        if pod is None:
            return
        if self._is_silent():
            self._unsaid = {**(self._unsaid or {}), **more}
            return
        before = pod.object["status"]
        phase = more.get("phase", self._states.phase(before["phase"]))
        status = {
            **before,
            "phase": phase,
            "hostIP": HOST,
            "hostIPs": [{"ip": HOST}],
            "podIP": self._address,
            "podIPs": [{"ip": self._address}],
            "startTime": self._start_time,
            **self._states.statuses(),
            **more,
        }
        status["conditions"] = self._states.conditions(before.get("conditions", []), phase)
        self._parts.registry.put(pod, {**pod.object, "status": status})

    def _record(self, reason: str, message: str, *, warns: bool = False) -> None:
        pod = self._pod()
        if pod is not None and not self._is_silent():
            self._parts.recorder.record(pod, "kubelet", reason, message, warns=warns)


def _user(context: Object) -> str:
    """Return the user and group of a security context; ``""`` = it says nothing."""
    if "runAsUser" not in context:
        return ""
    return f"{context['runAsUser']}:{context.get('runAsGroup', context['runAsUser'])}"
