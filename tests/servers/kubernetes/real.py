"""The same tests on a real cluster."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from servers.kubernetes.handle import Cluster

REAL = "FLOW_TEST_KUBECONFIG"
"""Variable with the kubeconfig of a real cluster: the tests use that one instead of ours."""

_FILES = {"certificate-authority", "client-certificate", "client-key", "tokenFile"}
"""Fields of a kubeconfig with paths, which may be relative to its folder."""


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
            _wait_for_account(core, namespace)
            yield Cluster(str(own), namespace)
        finally:
            core.delete_namespace(namespace)


def _wait_for_account(core: Any, namespace: str) -> None:
    """Wait until pods can be made: a new namespace gets the account that they need a little later."""
    from kubernetes.client import ApiException

    deadline = time.monotonic() + 30
    while True:
        try:
            core.read_namespaced_service_account("default", namespace)
        except ApiException as error:
            if error.status != 404 or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def _within(path: str, namespace: str) -> object:
    """Return a kubeconfig whose context has a namespace, and that can lie in another folder."""
    import yaml

    told = yaml.safe_load(Path(path).read_text())
    for part in (*(each["cluster"] for each in told["clusters"]), *_users(told)):
        for key in _FILES & {*part}:
            part[key] = str(Path(path).resolve().parent / part[key])
    for context in told["contexts"]:
        if context["name"] == told["current-context"]:
            context["context"]["namespace"] = namespace
    return told


def _users(told: Any) -> list[dict[str, Any]]:
    return [each["user"] for each in told.get("users", ()) if each.get("user")]
