"""Reads blobs of Azure with nothing but Python: how a task begins on another machine.

This file travels as text behind `flow_objectstore.fetching`: it imports nothing else of ours, and an
old Python must understand it. It finds credentials by the names that the store itself reads: a key, a
service principal, the token of a workload, a SAS token, then the identity of the machine.
"""

from __future__ import annotations

import base64
import binascii
import builtins
import hashlib
import hmac
import os
import time
from urllib.parse import urlencode, urlsplit

from flow_objectstore.fetching import Answer, Failed, Reader, Token, Web, quoted, words_of

TYPE_CHECKING = False  # that of `typing` would have to be imported
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

_VERSION = "2021-12-02"
_RESOURCE = "https://storage.azure.com"
_MACHINE = "http://169.254.169.254"
_PASSING = ("ServerBusy", "OperationTimedOut", "InternalError")
_ROLE = "give this identity the role 'Storage Blob Data Reader' on the container"
_HINT = (
    "let AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN through to the task, or give it a service "
    "account with workload identity (label azure.workload.identity/use), or its machine an identity"
)


def open(config: dict[str, Any]) -> Callable[[str], bytes | None]:
    """Return what reads blobs.

    Args:
        config: ``container``, ``account``; ``prefix`` before all keys, as the service knows it;
            ``endpoint``: URL of the account, where it is not the usual one; ``patience`` in seconds.
    """
    return AzureReader(config, Web("flow-azure", "SSL_CERT_FILE", config)).read


class AzureReader(Reader):
    """Reads blobs of one container."""

    def __init__(self, config: Mapping[str, Any], web: Web) -> None:
        super().__init__(config, web, ("BlobNotFound",))
        self.base = config.get("endpoint")
        self.base = self.base or f"https://{config['account']}.blob.core.windows.net"
        self.credentials = Credentials(config, web)

    def get(self, name: str) -> Answer:
        """Ask for a blob."""
        path = f"{self.base}/{quoted(self.config['container'])}/{quoted(name)}"
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + self.skew))
        headers = {"x-ms-date": date, "x-ms-version": _VERSION}
        with self.lock:
            url, more = self.credentials.add(path, headers)
        return self.web.ask("GET", url, {**headers, **more}, what="the service")

    def correct(self, answer: Answer) -> bool:
        """Whether the same request, made in another way, may succeed."""
        if answer.status in (401, 403):
            if answer.code == "AuthenticationFailed" and self.set_clock(answer):
                return True
            with self.lock:
                return answer.status == 401 and self.credentials.forget()
        return False

    def refused(self, answer: Answer) -> Failed:
        """Return the error for an answer."""
        container, code = self.config["container"], answer.code
        source = f" (credentials of {self.credentials.source})" if self.credentials.source else ""
        # Behind the first sentence stand the request's id and time.
        said = f"{self.base} answers {_first_sentence(answer, 'RequestId:')}"
        if answer.status == 429 or answer.status >= 500 or code in _PASSING:
            return Failed(said, "try again later", passing=True)
        if code == "ContainerNotFound":
            hint = f"make it: az storage container create --name {container}, or correct the URL"
            return Failed(f"there is no container '{container}' at {self.base}", hint)
        if code in ("AuthenticationFailed", "AuthorizationFailure"):
            return Failed(said + source, "is it this account's key, and still the right one?")
        if answer.status in (401, 403):
            return Failed(said + source, _ROLE)
        return Failed(said, "check the account, the endpoint and the container")


class Credentials:
    """Finds what requests are signed with."""

    def __init__(self, config: Mapping[str, Any], web: Web) -> None:
        self.config = config
        self.web = web
        self.source = ""
        self._token = Token()

    def add(self, url: str, headers: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """Return the URL, and what headers a request needs besides."""
        text = _connection_string()
        key = text.get("AccountKey") or _first(
            "AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY"
        )
        if key:
            self.source = "the account's key"
            account = self.config["account"]
            return url, {"authorization": sign(account, key, url, headers)}
        if self._is_principal():
            return url, {"authorization": f"Bearer {self._token.current(self._of_principal)}"}
        sas = text.get("SharedAccessSignature") or _first(
            "AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"
        )
        if sas:
            self.source = "the SAS token"
            return f"{url}?{sas.lstrip('?')}", {}
        return url, {"authorization": f"Bearer {self._token.current(self._of_machine)}"}

    def forget(self) -> bool:
        """Whether the next token may be another one than the last."""
        return self._token.forget()

    def _is_principal(self) -> bool:
        with_token = _get("AZURE_FEDERATED_TOKEN_FILE") or _get("AZURE_CLIENT_SECRET")
        return bool(_tenant() and _client() and with_token)

    def _of_principal(self) -> Mapping[str, Any]:
        """Return the token of a service principal, or of a workload that has a token of its own."""
        host = _get("AZURE_AUTHORITY_HOST") or "https://login.microsoftonline.com"
        url = f"{host.rstrip('/')}/{_tenant()}/oauth2/v2.0/token"
        values = {
            "grant_type": "client_credentials",
            "client_id": _client(),
            "scope": f"{_RESOURCE}/.default",
        }
        path = _get("AZURE_FEDERATED_TOKEN_FILE")
        if path:
            self.source = f"the workload identity {_client()}"
            kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
            values["client_assertion_type"] = kind
            values["client_assertion"] = _content(path)
            hint = "check the federated credential of this identity: subject and issuer"
        else:
            self.source = f"the service principal {_client()}"
            values["client_secret"] = _get("AZURE_CLIENT_SECRET")
            hint = "check AZURE_CLIENT_ID, AZURE_TENANT_ID and AZURE_CLIENT_SECRET"
        headers = {"content-type": "application/x-www-form-urlencoded"}
        answer = self.web.ask("POST", url, headers, urlencode(values).encode())
        return _token_of(answer, f"{self.source} gets no token: {urlsplit(url).netloc}", hint)

    def _of_machine(self) -> Mapping[str, Any]:
        """Return the token of the machine's identity."""
        endpoint, secret = _get("IDENTITY_ENDPOINT"), _get("IDENTITY_HEADER")
        headers, version = {"metadata": "true"}, "2018-02-01"
        if endpoint and secret:
            headers, version = {"x-identity-header": secret}, "2019-08-01"
        base = _get("AZURE_POD_IDENTITY_AUTHORITY_HOST") or _MACHINE
        endpoint = endpoint or f"{base.rstrip('/')}/metadata/identity/oauth2/token"
        query = {"api-version": version, "resource": _RESOURCE}
        if _client():
            query["client_id"] = _client()
        self.source = "the identity of this machine"
        url = f"{endpoint}?{urlencode(query)}"
        what = f"there are no credentials here: {urlsplit(endpoint).netloc}"
        for attempt in range(2):
            try:
                answer = self.web.ask("GET", url, headers, wait=2.0 + attempt, inside=True)
                return _token_of(answer, what, _HINT)
            except Failed as error:
                if error.reached:
                    raise
                failure = error
        text = f"there are no credentials here: no key, no principal, no SAS token, and {failure}"
        raise Failed(text, _HINT)


def sign(account: str, key: str, url: str, headers: Mapping[str, str]) -> str:
    """Return the authorization of a GET request without arguments (Shared Key).

    Args:
        account, key: the account, and its key in base64.
        url: the request's, as it is sent.
        headers: those that begin with ``x-ms-``, sorted.
    """
    lines = "".join(f"{name}:{value}\n" for name, value in headers.items())
    text = "GET" + "\n" * 12 + f"{lines}/{account}{urlsplit(url).path}"
    try:
        digest = hmac.new(base64.b64decode(key, validate=True), text.encode(), hashlib.sha256)
    except binascii.Error:
        raise Failed("the account's key is none: it is not base64", "copy it again") from None
    return f"SharedKey {account}:{base64.b64encode(digest.digest()).decode()}"


def _token_of(answer: Answer, what: str, hint: str) -> Mapping[str, Any]:
    found = answer.data()
    if answer.status == 200 and found.get("access_token"):
        return found
    passing = answer.status == 429 or answer.status >= 500
    # What else such a service says names the tenant and its correlation ids, over many lines.
    raise Failed(f"{what} answers {_first_sentence(answer, 'Trace ID:')}", hint, passing)


def _first_sentence(answer: Answer, end: str) -> str:
    return " ".join(answer.said().split()).partition(f" {end}")[0]


def _content(path: str) -> str:
    try:
        with builtins.open(path, encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, ValueError) as error:
        text = f"the token {path} of this workload cannot be read: {words_of(error)}"
        raise Failed(text, "check AZURE_FEDERATED_TOKEN_FILE, and the service account") from None


def _connection_string() -> dict[str, str]:
    text = _get("AZURE_STORAGE_CONNECTION_STRING")
    pairs = (part.partition("=") for part in text.split(";") if part.strip())
    parts = {name.strip(): value.strip() for name, _, value in pairs}
    if parts.get("UseDevelopmentStorage", "").lower() == "true":
        # Known to all: the key of every emulator.
        parts.setdefault(
            "AccountKey",
            "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
        )
    return parts


def _tenant() -> str:
    return _first("AZURE_TENANT_ID", "AZURE_STORAGE_TENANT_ID", "AZURE_STORAGE_AUTHORITY_ID")


def _client() -> str:
    return _first("AZURE_CLIENT_ID", "AZURE_STORAGE_CLIENT_ID")


def _first(*names: str) -> str:
    return next((_get(name) for name in names if _get(name)), "")


def _get(name: str) -> str:
    return os.environ.get(name, "").strip()
