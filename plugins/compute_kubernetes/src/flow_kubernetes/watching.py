"""One watch of the pods of a run in a namespace, for as long as the run lasts."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

from flow_kubernetes.client import Connection, Refusal, Unreachable, Watch

_LASTS = 290  # seconds after which the server is asked to end a watch; a new one goes on from there
_PAGE = 500
_GONE = 410
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 15.0

Seen = Callable[[dict[str, Any], bool], None]
"""Takes a pod, and whether it is no more."""


class PodWatch:
    """Lists the pods that a selector chooses, then follows what changes; begins anew where it must.

    Args:
        connection: to the API server.
        namespace: where.
        selector: which pods.
        seen: called, in the watch's thread, with each pod that is new or has changed.
        listed: called with the names of all pods that there are, after a list.
        trouble: called with why nothing can be seen, or with ``""`` when it can again.
        failed: called with an error that nobody has foreseen, by which the watch has ended.
    """

    def __init__(
        self,
        connection: Connection,
        namespace: str,
        selector: str,
        seen: Seen,
        listed: Callable[[set[str]], None],
        trouble: Callable[[str], None],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._connection = connection
        self._path = f"/api/v1/namespaces/{namespace}/pods"
        self._selector = selector
        self._seen, self._listed = seen, listed
        self._trouble, self._failed = trouble, failed
        self._version = ""
        self._watch: Watch | None = None
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="flow-pods", daemon=True)
        self._thread.start()

    def choose(self, selector: str) -> None:
        """Watch other pods from now on."""
        with self._lock:
            if selector == self._selector:
                return
            self._selector, self._version = selector, ""
            if self._watch is not None:
                self._watch.stop()

    def stop(self) -> None:
        """End; return when the thread has ended, or soon."""
        self._stopped.set()
        with self._lock:
            if self._watch is not None:
                self._watch.stop()
        self._thread.join(5)

    def _run(self) -> None:
        try:
            self._go_on_until_stopped()
        except BaseException as error:  # else the run would wait for ever for what nobody sees
            self._failed(error)

    def _go_on_until_stopped(self) -> None:
        pause = _FIRST_PAUSE
        while not self._stopped.is_set():
            began = time.monotonic()
            try:
                self._go_on()
                self._trouble("")
            except Refusal as error:
                if error.code == _GONE:
                    self._version = ""
                else:
                    self._trouble(f"{error.code} {error.reason}: {error.message}")
            except Unreachable as error:
                self._trouble(str(error))
            if time.monotonic() - began > _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            elif self._stopped.wait(pause * random.uniform(0.5, 1.0)):
                break
            else:
                pause = min(pause * 2, _LONGEST_PAUSE)

    def _go_on(self) -> None:
        """Follow what changes until the server ends the watch."""
        with self._lock:
            selector, version = self._selector, self._version
        if not version:
            version = self._list(selector)
        query = {
            "labelSelector": selector,
            "resourceVersion": version,
            "timeoutSeconds": _LASTS + random.randrange(20),
        }
        watch = self._connection.watch(self._path, query)
        with self._lock:
            if selector != self._selector or self._stopped.is_set():
                watch.stop()
                return
            self._watch = watch
        self._trouble("")
        try:
            self._follow(watch, selector)
        finally:
            with self._lock:
                self._watch = None

    def _follow(self, watch: Watch, selector: str) -> None:
        for kind, pod in watch.events():
            if kind == "ERROR":
                raise Refusal(pod.get("code", 0), pod.get("reason", ""), pod.get("message", ""))
            if kind != "BOOKMARK":
                self._seen(pod, kind == "DELETED")
            with self._lock:
                if selector != self._selector:
                    return
                self._version = pod["metadata"]["resourceVersion"]

    def _list(self, selector: str) -> str:
        """Show all pods that there are; return the version from which on changes count."""
        found: set[str] = set()
        query: dict[str, Any] = {"labelSelector": selector, "limit": _PAGE}
        while True:
            page = self._connection.ask("list", self._path, query)
            for pod in page["items"]:
                found.add(pod["metadata"]["name"])
                self._seen(pod, False)
            meta = page["metadata"]
            if not meta.get("continue"):
                break
            query["continue"] = meta["continue"]
        self._listed(found)
        version: str = meta["resourceVersion"]
        return version
