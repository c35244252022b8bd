"""The same tests on a real cluster."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from servers.kubernetes.handle import Cluster

REAL = "FLOW_TEST_KUBECONFIG"
"""Variable with the kubeconfig of a real cluster: the tests use that one instead of ours."""


def real_cluster(namespace: str, folder: Path) -> contextlib.AbstractContextManager[Cluster] | None:
    """Return a new namespace in the real cluster that is to be used; None = none is.

    Args:
        namespace: its name; it is deleted at the end.
        folder: where its kubeconfig is written.
    """
    path = os.environ.get(REAL, "")
    return _namespace(path, namespace, folder) if path else None


@contextlib.contextmanager
def _namespace(path: str, namespace: str, folder: Path) -> Iterator[Cluster]:
    from kubernetes import client, config

    own = folder / f"kubeconfig-{namespace}"
    own.write_text(json.dumps(_within(path, namespace)))
    own.chmod(0o600)
    with config.new_client_from_config(str(own)) as connection:
        core = client.CoreV1Api(connection)
        core.create_namespace({"metadata": {"name": namespace}})
        try:
            yield Cluster(str(own), namespace)
        finally:
            core.delete_namespace(namespace)


def _within(path: str, namespace: str) -> object:
    """Return a kubeconfig whose context has a namespace."""
    import yaml

    told = yaml.safe_load(Path(path).read_text())
    for context in told["contexts"]:
        if context["name"] == told["current-context"]:
            context["context"]["namespace"] = namespace
    return told
