"""Reads objects of Google Cloud Storage with nothing but Python: how a task begins elsewhere.

This file travels as text behind `flow_objectstore.fetching`: it imports nothing else of ours, and an
old Python must understand it. It finds credentials where the store itself will find them: a file that
is named, what a person's login has left, then the identity of the machine, or of the pod.
"""

from __future__ import annotations

import base64
import builtins
import hashlib
import json
import os
import socket
import time
from urllib.parse import urlencode, urlsplit

from flow_objectstore.fetching import Answer, Failed, Reader, Token, Web, quoted, words_of

TYPE_CHECKING = False  # that of `typing` would have to be imported
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

_SCOPE = "https://www.googleapis.com/auth/devstorage.read_only"
_TOKENS = "https://oauth2.googleapis.com/token"
_ROLE = "give this identity the role 'Storage Object User' on the bucket"
_HINT = (
    "give the task a service account of Google's (on GKE: workload identity), or mount the file of a "
    "key and name it: GOOGLE_APPLICATION_CREDENTIALS=/path/to/key.json"
)
_SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")
"""What stands before a SHA-256 in a signature of RSA (PKCS #1): which hash it is."""


def open(config: dict[str, Any]) -> Callable[[str], bytes | None]:
    """Return what reads objects.

    Args:
        config: ``bucket``; ``prefix`` before all keys, as the service knows it; and what is not as
            usual: ``endpoint``, ``anonymous``, ``payer`` (a project), ``credentials`` (path of a
            file, where it is there), ``patience`` in seconds.
    """
    return GoogleReader(config, Web("flow-gs", "SSL_CERT_FILE", config)).read


class GoogleReader(Reader):
    """Reads objects of one bucket."""

    def __init__(self, config: Mapping[str, Any], web: Web) -> None:
        super().__init__(config, web, ("NoSuchKey",))
        self.base = config.get("endpoint") or "https://storage.googleapis.com"
        self.credentials = Credentials(config, web)

    def get(self, name: str) -> Answer:
        """Ask for an object."""
        # A slash within a key is escaped, as the store's client does it.
        path = quoted(name).replace("/", "%2F")
        url = f"{self.base}/{quoted(self.config['bucket'])}/{path}"
        headers = {}
        if self.config.get("payer"):
            headers["x-goog-user-project"] = self.config["payer"]
        if not self.config.get("anonymous"):
            with self.lock:
                headers["authorization"] = f"Bearer {self.credentials.token()}"
        return self.web.ask("GET", url, headers, what="the service")

    def correct(self, answer: Answer) -> bool:
        """Whether the same request, with another token, may succeed."""
        with self.lock:
            return answer.status == 401 and self.credentials.forget()

    def refused(self, answer: Answer) -> Failed:
        """Return the error for an answer."""
        bucket, source = self.config["bucket"], self.credentials.source
        source = f" (credentials of {source})" if source else ""
        said = f"{self.base} answers {answer.said()}"
        if answer.status in (408, 429) or answer.status >= 500:
            return Failed(said, "try again later", passing=True)
        if answer.code == "NoSuchBucket":
            hint = f"make it: gcloud storage buckets create gs://{bucket}, or correct the URL"
            return Failed(f"there is no bucket '{bucket}' at {self.base}", hint)
        if answer.status in (401, 403):
            return Failed(said + source, _ROLE)
        return Failed(said, "check the address and the bucket")


class Credentials:
    """Finds tokens, and new ones before they end."""

    def __init__(self, config: Mapping[str, Any], web: Web) -> None:
        self.config = config
        self.web = web
        self.source = ""
        self._token = Token()

    def token(self) -> str:
        """Return a token that holds for some minutes still."""
        return self._token.current(self._find)

    def forget(self) -> bool:
        """Whether the next token may be another one than the last."""
        return self._token.forget()

    def _find(self) -> Mapping[str, Any]:
        path = self._file()
        if not path:
            return self._of_machine()
        try:
            with builtins.open(path, encoding="utf-8") as file:
                found = json.load(file)
            kind = found["type"]
        except OSError as error:
            text = f"the credentials {path} cannot be read: {words_of(error)}"
            raise Failed(text, _HINT) from None
        except (ValueError, KeyError, TypeError):
            raise Failed(f"{path} is no file with credentials of Google's", _HINT) from None
        try:
            if kind == "authorized_user":
                return self._of_person(found, path)
            if kind == "service_account":
                return self._of_account(found, path)
        except KeyError as error:
            raise Failed(f"the credentials {path} lack {error}", _HINT) from None
        text = f"the credentials {path} are of the kind '{kind}', which needs Google's own library"
        raise Failed(text, "use the identity of the pod (workload identity), or a key's file")

    def _file(self) -> str:
        named = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS")
        if named:
            return os.path.expanduser(named)
        given = os.path.expanduser(self.config.get("credentials") or "")
        folder = os.environ.get("CLOUDSDK_CONFIG") or os.path.expanduser("~/.config/gcloud")
        places = (given, os.path.join(folder, "application_default_credentials.json"))
        return next((path for path in places if path and os.path.exists(path)), "")

    def _of_person(self, found: Mapping[str, Any], path: str) -> Mapping[str, Any]:
        self.source = f"{path}, a person's login"
        names = ("client_id", "client_secret", "refresh_token")
        values = {name: found[name] for name in names}
        hint = "get new ones: gcloud auth application-default login"
        url = found.get("token_uri") or _TOKENS
        answer = self._post(url, {"grant_type": "refresh_token", **values})
        return _token_of(answer, f"{self.source}: {urlsplit(url).netloc}", hint)

    def _of_account(self, found: Mapping[str, Any], path: str) -> Mapping[str, Any]:
        """Return a token for the key of a service account, which signs the request for it."""
        self.source = f"{path}, {found['client_email']}"
        hint = "is the key still there? gcloud iam service-accounts keys list; and the clock right?"
        answer = self._asked_by(found, path, 0.0)
        skew = answer.skew()
        if answer.status == 400 and abs(skew) > 60:
            answer = self._asked_by(found, path, skew)  # by the service's own clock
        return _token_of(answer, f"{self.source}: the service of tokens", hint)

    def _asked_by(self, found: Mapping[str, Any], path: str, skew: float) -> Answer:
        url, now = found.get("token_uri") or _TOKENS, int(time.time() + skew)
        claims = {"iss": found["client_email"], "scope": _SCOPE, "aud": url}
        claims.update({"iat": now, "exp": now + 3600})
        head = {"alg": "RS256", "typ": "JWT", "kid": found.get("private_key_id", "")}
        text = b".".join(_base64(json.dumps(part).encode()) for part in (head, claims))
        signed = text + b"." + _base64(rsa_signature(text, found["private_key"], path))
        kind = "urn:ietf:params:oauth:grant-type:jwt-bearer"
        return self._post(url, {"grant_type": kind, "assertion": signed.decode()})

    def _post(self, url: str, values: Mapping[str, str]) -> Answer:
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return self.web.ask("POST", url, headers, urlencode(values).encode())

    def _of_machine(self) -> Mapping[str, Any]:
        """Return the token of the machine, or of the pod's service account."""
        get = os.environ.get
        host = get("GCE_METADATA_HOST") or get("GCE_METADATA_ROOT") or "metadata.google.internal"
        path = "/computeMetadata/v1/instance/service-accounts/default/token"
        self.source = "the identity of this machine"
        try:
            if host == "metadata.google.internal":
                socket.getaddrinfo(host, 80)
        except socket.gaierror:
            text = "there are no credentials here: no file, and this machine is none of Google's"
            raise Failed(text, _HINT) from None
        headers = {"metadata-flavor": "Google"}
        # A new pod is not known there for some seconds: what does not answer is asked again.
        url = f"http://{host}{path}"
        what = "there are no credentials here: the metadata server"
        answer = self.web.ask("GET", url, headers, what=what, wait=5.0, inside=True)
        return _token_of(answer, f"there are no credentials here: {host}", _HINT)


def _token_of(answer: Answer, what: str, hint: str) -> Mapping[str, Any]:
    found = answer.data()
    if answer.status == 200 and found.get("access_token"):
        return found
    passing = answer.status == 429 or answer.status >= 500
    raise Failed(f"{what} answers {answer.said()}", hint, passing)


# --- signatures -----------------------------------------------------------------------------------


def rsa_signature(text: bytes, pem: str, path: str) -> bytes:
    """Return the signature of a text by a private key (RSA, PKCS #1 version 1.5, SHA-256).

    The library has none: the arithmetic is short, and a key of 2048 bits takes some milliseconds.
    """
    try:
        modulus, exponent = _private_key(pem)
    except (ValueError, IndexError):
        raise Failed(f"the private key in {path} cannot be read", "make a new one") from None
    size = (modulus.bit_length() + 7) // 8
    digest = _SHA256 + hashlib.sha256(text).digest()
    padded = b"\0\1" + b"\xff" * (size - len(digest) - 3) + b"\0" + digest
    return pow(int.from_bytes(padded, "big"), exponent, modulus).to_bytes(size, "big")


def _private_key(pem: str) -> tuple[int, int]:
    """Return modulus and exponent of a key in PEM: PKCS #8, or PKCS #1 itself."""
    lines = [line for line in pem.splitlines() if line and not line.startswith("-")]
    numbers = _parts(_parts(base64.b64decode("".join(lines)))[0])
    if len(numbers) < 9:  # version, algorithm, and the key as it is without these
        numbers = _parts(_parts(numbers[2])[0])
    return int.from_bytes(numbers[1], "big"), int.from_bytes(numbers[3], "big")


def _parts(data: bytes) -> list[bytes]:
    """Return the contents of the elements of ``data`` (DER): kind, length, content."""
    found, at = [], 0
    while at < len(data):
        size, at = data[at + 1], at + 2
        if size > 127:
            more = size - 128
            size, at = int.from_bytes(data[at : at + more], "big"), at + more
        if at + size > len(data):
            raise ValueError("it ends too early")
        found.append(data[at : at + size])
        at += size
    return found


def _base64(content: bytes) -> bytes:
    return base64.urlsafe_b64encode(content).rstrip(b"=")
