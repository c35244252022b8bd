"""Whether a Kubernetes cluster answers here, for ``flow doctor``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from flow_core.api import Diagnosis, FlowError, Session
from flow_kubernetes.settings import PREFIX, is_inside, kubeconfigs

_TIMEOUT = (1.5, 1.5)  # seconds until there is a connection, and an answer: the doctor waits for 4


def diagnose(session: Session) -> Iterator[Diagnosis]:
    """Yield whether the cluster takes jobs; nothing where no cluster is named.

    Group ``flow.diagnoses``.
    """
    session.load_hooks(())  # from now on it knows the settings of plugins
    setting = session.settings.__getitem__
    if not _names_a_cluster(setting):
        return
    try:
        yield Diagnosis("kubernetes", "ok", _found(setting))
    except FlowError as error:
        # Flows can run without: only their steps with @kubernetes cannot.
        why = ": ".join(filter(None, (error.where, error.why)))
        yield Diagnosis("kubernetes", "warn", error.what, why, error.hint or "")


def _names_a_cluster(setting: Callable[[str], Any]) -> bool:
    """Whether there is a kubeconfig, or somebody says so, or this is a pod of a cluster."""
    asked = setting(PREFIX + "config") or setting(PREFIX + "context")
    there = any(map(os.path.exists, kubeconfigs(setting)[1]))
    return bool(asked) or there or is_inside(setting)


def _found(setting: Callable[[str], Any]) -> str:
    """Return what the cluster is, which was asked for the jobs of the namespace.

    Raises:
        FlowError: it does not answer, or not to this person.
    """
    from flow_kubernetes.client import Connection, Refusal, Unreachable, explained

    connection = Connection(setting)
    place = connection.place
    namespace = setting(PREFIX + "namespace") or place.namespace
    jobs = f"/apis/batch/v1/namespaces/{namespace}/jobs"
    try:
        version = connection.ask("get", "/version", patience=0, timeout=_TIMEOUT)["gitVersion"]
        connection.ask("list", jobs, {"limit": 1}, patience=0, timeout=_TIMEOUT)
    except (Refusal, Unreachable) as error:
        raise explained(error, place, namespace) from None
    finally:
        connection.close()
    which = f"context {place.context}" if place.context else "the cluster of this pod"
    return f"Kubernetes {version} answers: {which}, namespace {namespace}"
