"""Names of pods and services: a file of hosts for each namespace, which its pods see as ``/etc/hosts``.

It stands in for the cluster's DNS: a pod with a ``hostname`` in a ``subdomain`` is found by
``<hostname>.<subdomain>``, a service with a selector by its name, both also with ``.<namespace>.svc``.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from servers.kubernetes.kinds import POD, SERVICE
from servers.kubernetes.store import Entry, Event, Store


class Names:
    """All names.

    Args:
        store: with the pods and services.
        folder: for the files.
    """

    def __init__(self, store: Store, folder: Path) -> None:
        self._store, self._folder = store, folder
        self._used: set[str] = set()
        self._planned: set[str] = set()
        store.listen(POD, self._changed)
        store.listen(SERVICE, self._changed)

    def file_for(self, pod: Entry) -> Path | None:
        """Return the file that a pod needs; None = nothing in its namespace has a name."""
        namespace = pod.namespace
        if not self._store.entries(SERVICE, namespace) and "subdomain" not in pod.object["spec"]:
            return None
        self._used.add(namespace)
        self._write(namespace)
        return self._folder / namespace

    def _changed(self, event: Event) -> None:
        namespace = event.entry.namespace
        if namespace in self._used and namespace not in self._planned:
            self._planned.add(namespace)
            asyncio.get_running_loop().call_soon(self._write, namespace)

    def _write(self, namespace: str) -> None:
        """Write the file, in place: who sees it elsewhere must see the change."""
        self._planned.discard(namespace)
        self._folder.mkdir(exist_ok=True)
        text = "\n".join([Path("/etc/hosts").read_text(), *self._lines(namespace), ""])
        data = text.encode()
        file = os.open(self._folder / namespace, os.O_WRONLY | os.O_CREAT, 0o644)
        os.pwrite(file, data, 0)
        os.ftruncate(file, len(data))
        os.close(file)

    def _lines(self, namespace: str) -> list[str]:
        pods = [
            pod
            for pod in self._store.entries(POD, namespace)
            if pod.object["status"].get("podIP")
            and pod.object["status"].get("phase") not in ("Succeeded", "Failed")
        ]
        lines = []
        for service in self._store.entries(SERVICE, namespace):
            wanted = service.object["spec"].get("selector")
            for pod in pods:
                labels = pod.object["metadata"].get("labels", {})
                if wanted and all(labels.get(key) == value for key, value in wanted.items()):
                    lines.append(_line(pod, service.name, namespace))
        for pod in pods:
            spec = pod.object["spec"]
            if "subdomain" in spec and self._store.find(SERVICE, namespace, spec["subdomain"]):
                name = f"{spec.get('hostname', pod.name)}.{spec['subdomain']}"
                lines.append(_line(pod, name, namespace))
        return lines


def _line(pod: Entry, name: str, namespace: str) -> str:
    address = pod.object["status"]["podIP"]
    ends = ("", f".{namespace}", f".{namespace}.svc", f".{namespace}.svc.cluster.local")
    return f"{address} {' '.join(name + end for end in ends)}"
