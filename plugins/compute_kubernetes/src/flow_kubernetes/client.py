"""The way to the API server: through the official client's credentials and connections.

What is sent and received is plain JSON: the client's models cost some hundred times as much. Nothing
else imports the client, and this module is imported only by what talks to a cluster.
"""

from __future__ import annotations

import json
import logging
import os
import random
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import urllib3
from kubernetes import client, config

from flow_core.api import FlowError, did_you_mean
from flow_kubernetes.settings import PREFIX, is_inside, kubeconfigs

_config: Any = config  # it has no types, and neither have connections

_ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
_CONNECT = 5.0  # seconds until a server that does not answer at all counts as unreachable
_ANSWER = 30.0  # seconds for the answer to a request
_SILENCE = 90.0  # seconds without a word, not even a bookmark, after which a watch begins anew
_PATIENCE = 30.0  # seconds for a request with its repetitions
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 8.0
_BUSY = (429, 500, 502, 503, 504)


class Refusal(Exception):
    """The API server has answered a request with an error.

    Attributes:
        code: the HTTP status.
        reason: Kubernetes' word for it: ``AlreadyExists``, ``Forbidden``, ``Invalid``.
        message: its sentence.
    """

    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message

    @property
    def exceeds_quota(self) -> bool:
        """Whether a quota is used up, so that it may succeed later."""
        return self.code == 403 and "exceeded quota" in self.message


class _NoObject(Exception):
    """What was answered is no object: something else than an API server has answered."""


class Unreachable(Exception):
    """The API server does not answer, or not now: its text says why, in one line."""


class Place(NamedTuple):
    """Where the cluster is.

    Attributes:
        server: URL of its API server.
        namespace: the one to use where none is named.
        source: where that is known from, for errors.
        context: of the kubeconfig; ``""`` = the cluster around this pod.
    """

    server: str
    namespace: str
    source: str
    context: str = ""


class Connection:
    """Requests to one API server. Any thread may use it.

    Args:
        setting: returns the value of a setting.

    Attributes:
        place: where it leads.
        calls: how often each request was made: ``create jobs`` → 12.

    Raises:
        FlowError: there is no configuration, or none that can be used.
    """

    def __init__(self, setting: Callable[[str], Any]) -> None:
        configuration, self.place = _configuration(setting)
        self._api: Any = client.ApiClient(configuration)
        self.calls: Counter[str] = Counter()
        self._stopped = threading.Event()

    def close(self) -> None:
        """Make no more requests, and wait for none that would be repeated."""
        self._stopped.set()
        self._api.close()

    def ask(
        self,
        verb: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        patience: float = _PATIENCE,
        timeout: tuple[float, float] = (_CONNECT, _ANSWER),
    ) -> dict[str, Any]:
        """Make a request; return the object that is answered.

        Where the server is busy, or cannot be reached, it is made again for ``patience`` seconds: a
        creation that was done, though its answer was lost, is then refused with ``AlreadyExists``.

        Args:
            verb: ``create``, ``get``, ``list``, ``delete`` or ``deletecollection``.
            path: ``/apis/batch/v1/namespaces/default/jobs``.
            query: parameters.
            body: what is sent.
            patience: seconds.
            timeout: seconds of each request until there is a connection, and then an answer.

        Raises:
            Refusal: the server does not do it.
            Unreachable: it does not answer in time.
        """
        deadline = time.monotonic() + patience
        pause = _FIRST_PAUSE
        while True:
            try:
                response = self._send(verb, path, query, body, timeout)
                data = response.data
                if response.status < 400:
                    return _object(data)
                refusal = _refusal(response.status, data)
                if response.status not in _BUSY:
                    raise refusal
                why, wait = refusal.message, _retry_after(response)
            except (urllib3.exceptions.HTTPError, client.ApiException, OSError, _NoObject) as error:
                why, wait = self._why(error, timeout), 0.0
            wait = max(wait, pause * random.uniform(0.5, 1.0))
            if time.monotonic() + wait > deadline or self._stopped.wait(wait):
                raise Unreachable(f"the API server at {self.place.server} does not answer: {why}")
            pause = min(pause * 2, _LONGEST_PAUSE)

    def text(self, path: str, query: Mapping[str, Any] | None = None) -> Iterator[bytes]:
        """Yield the pieces of a text, such as a log, as they come.

        Raises:
            Refusal, Unreachable: as `ask`.
        """
        try:
            response = self._send("get", path, query, None, (_CONNECT, None))
            if response.status >= 400:
                raise _refusal(response.status, response.data)
            yield from response.stream(65536)
        except (urllib3.exceptions.HTTPError, client.ApiException, OSError) as error:
            raise Unreachable(
                f"the API server at {self.place.server} does not answer: {self._why(error)}"
            ) from None

    def watch(self, path: str, query: Mapping[str, Any]) -> Watch:
        """Begin a watch.

        Raises:
            Refusal, Unreachable: as `ask`; there is no repetition.
        """
        query = {"watch": "true", "allowWatchBookmarks": "true", **query}
        try:
            response = self._send("watch", path, query, None, (_CONNECT, _SILENCE))
            if response.status >= 400:
                raise _refusal(response.status, response.data)
        except (urllib3.exceptions.HTTPError, client.ApiException, OSError) as error:
            raise Unreachable(
                f"the API server at {self.place.server} does not answer: {self._why(error)}"
            ) from None
        return Watch(response)

    def _send(
        self,
        verb: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: Mapping[str, Any] | None,
        timeout: tuple[float, float | None],
    ) -> urllib3.HTTPResponse:
        method = {"create": "POST", "delete": "DELETE", "deletecollection": "DELETE"}.get(
            verb, "GET"
        )
        headers = {"Accept": "application/json", "User-Agent": "flow-kubernetes"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        resource = path.rstrip("/").split("/")
        kind = (
            resource[-1]
            if verb in ("create", "list", "watch", "deletecollection")
            else resource[-2]
        )
        self.calls[f"{verb} {kind}"] += 1
        # The token may be one that must be renewed: the client knows, and does it here.
        _, url, headers, _, _ = self._api.param_serialize(
            method,
            path,
            query_params=list((query or {}).items()),
            header_params=headers,
            auth_settings=["BearerToken"],
        )
        answer = self._api.rest_client.request(
            method, url, headers=headers, body=body, _request_timeout=timeout
        )
        response: urllib3.HTTPResponse = answer.response
        return response

    def _why(self, error: Exception, timeout: tuple[float, float] = (_CONNECT, _ANSWER)) -> str:
        """Return an error of the network in one line, without addresses of objects."""
        if isinstance(error, urllib3.exceptions.NewConnectionError):
            return str(error).rpartition(": ")[2]
        if isinstance(error, urllib3.exceptions.ConnectTimeoutError):
            return f"no connection within {timeout[0]:g} s"
        if isinstance(error, urllib3.exceptions.ReadTimeoutError):
            return f"no answer within {timeout[1]:g} s"
        if isinstance(error, _NoObject):
            return str(error)
        if isinstance(error, client.ApiException):
            return " ".join(str(error.reason).split())
        return f"{type(error).__name__}: {error}"


class Watch:
    """What changes, as it happens."""

    def __init__(self, response: urllib3.HTTPResponse) -> None:
        self._response = response
        self._stopped = False

    def events(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the kind of each change, and the object, until the server ends the watch.

        Raises:
            Unreachable: the connection is lost, or has been silent for too long.
        """
        rest = b""
        try:
            for piece in self._response.stream(65536):
                *lines, rest = (rest + piece).split(b"\n") if rest else piece.split(b"\n")
                for line in lines:
                    if line:
                        event = json.loads(line)
                        yield event["type"], event["object"]
        except (urllib3.exceptions.HTTPError, OSError, ValueError, AttributeError) as error:
            if not self._stopped:
                raise Unreachable(f"the watch was cut: {type(error).__name__}: {error}") from None
        finally:
            self._response.close()

    def stop(self) -> None:
        """Let `events` end; another thread may be waiting there."""
        self._stopped = True
        with suppress(ValueError, RuntimeError, OSError):  # it has ended already
            self._response.shutdown()


# --- which cluster ------------------------------------------------------------------------------


def _configuration(setting: Callable[[str], Any]) -> tuple[client.Configuration, Place]:
    """Return how to reach the cluster that settings and kubeconfig name; else the one around us."""
    configuration = client.Configuration()
    configuration.retries = False  # repetitions are ours, where they are counted
    configuration.keep_alive = True  # a watch notices when its server is gone
    configuration.connection_pool_maxsize = 16
    path, files = kubeconfigs(setting)
    context = ""
    if any(map(os.path.exists, files)):
        wanted = setting(PREFIX + "context")
        namespace, context = _from_kubeconfig(configuration, os.pathsep.join(files), wanted)
        source = path
    elif is_inside(setting):
        namespace, source = _from_inside(configuration), "the pod's service account"
    else:
        raise FlowError(
            "There is no Kubernetes cluster",
            where=", ".join(files),
            why="there is no kubeconfig, and this is no pod of a cluster",
            hint="kubectl config view shows what kubectl uses; FLOW_KUBERNETES_CONFIG=PATH names another",
        )
    return configuration, Place(configuration.host, namespace or "default", source, context)


def _from_kubeconfig(
    configuration: client.Configuration, path: str, context: str
) -> tuple[str, str]:
    """Take a kubeconfig; return the namespace of its context, and that context's name."""
    told = _Told()
    try:
        known, current = _config.list_kube_config_contexts(path)
        by_name = {one["name"]: one for one in known}
        if context and context not in by_name:
            raise FlowError(
                f"There is no Kubernetes context '{context}'",
                where=path,
                hint=did_you_mean(context, by_name),
            )
        with told:
            _config.load_kube_config(path, context or None, configuration)
    except (config.ConfigException, ValueError, KeyError, TypeError, OSError) as error:
        raise FlowError(
            "The kubeconfig cannot be used",
            where=path,
            why=" ".join(str(error).split()),
            hint="kubectl config get-contexts, then FLOW_KUBERNETES_CONTEXT=NAME or kubectl config "
            "use-context NAME",
        ) from None
    if told.lines:
        raise FlowError(
            "The kubeconfig gives no credentials",
            where=path,
            why="; ".join(told.lines),
            hint="kubectl get pods must work first",
        )
    chosen = by_name[context] if context else current
    return chosen.get("context", {}).get("namespace", ""), chosen["name"]


def _from_inside(configuration: client.Configuration) -> str:
    """Take the service account of the pod that this is; return its namespace."""
    try:
        _config.load_incluster_config(configuration)
        with open(os.path.join(_ACCOUNT, "namespace")) as file:
            return file.read().strip()
    except (config.ConfigException, OSError) as error:
        raise FlowError(
            "The cluster around this pod cannot be used",
            where=_ACCOUNT,
            why=str(error),
            hint="give the launcher's pod a service account with these rights: flow kubernetes rbac",
        ) from None


class _Told(logging.Handler):
    """Collects what the client logs, where it should raise: that a program gives no credentials."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.ERROR:
            self.lines.append(" ".join(record.getMessage().split()))

    def __enter__(self) -> None:
        logging.getLogger().addHandler(self)

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self)


# --- errors -------------------------------------------------------------------------------------


def _object(data: bytes) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        text = " ".join(data[:200].decode(errors="replace").split())
        raise _NoObject(f"its answer is no object of Kubernetes: {text}")
    return found


def _refusal(code: int, data: bytes) -> Refusal:
    """Return the error that the API server tells: a Status, or the text of something before it."""
    try:
        status = json.loads(data)
        return Refusal(code, status.get("reason", ""), status.get("message", "") or str(code))
    except (ValueError, AttributeError):
        text = " ".join(data.decode(errors="replace").split())[:300]
        return Refusal(code, "", text or f"HTTP status {code}")


def _retry_after(response: urllib3.HTTPResponse) -> float:
    """Return the seconds that the server wants us to wait; 0 = it does not say."""
    told = response.headers.get("Retry-After", "")
    return float(told) if told.isdigit() else 0.0


def explained(error: Refusal | Unreachable, place: Place, namespace: str) -> FlowError:
    """Return an error of the cluster in four parts."""
    where = f"{place.server}, namespace {namespace}"
    if isinstance(error, Unreachable):
        return FlowError(
            "The Kubernetes cluster cannot be reached",
            where=f"{place.server}, of {place.source}",
            why=str(error),
            hint="kubectl get pods must work first; FLOW_KUBERNETES_CONTEXT names another cluster",
        )
    if error.code == 401:
        return FlowError(
            "The Kubernetes cluster does not know who this is",
            where=f"{place.server}, of {place.source}",
            why=error.message,
            hint="log in again, until kubectl get pods works",
        )
    if error.code == 403:
        return FlowError(
            "The Kubernetes cluster does not allow this",
            where=where,
            why=error.message,
            hint=rights(error, namespace),
        )
    return FlowError(
        "The Kubernetes cluster refuses this", where=where, why=error.message, hint=None
    )


def rights(error: Refusal, namespace: str) -> str:
    """Return what to type so that somebody gets the rights that were missing."""
    found = re.search(r'[Uu]ser "([^"]+)"', error.message)
    who = found[1] if found else "NAME"
    account = re.fullmatch(r"system:serviceaccount:([^:]+):(.+)", who)
    whom = f"--service-account {account[2]}" if account else f"--user {who}"
    return f"flow kubernetes rbac --namespace {namespace} {whom} | kubectl apply -f -"
