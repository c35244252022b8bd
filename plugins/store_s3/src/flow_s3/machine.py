"""Credentials of the machine: what containers and instances are given."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from flow_core.api import StoreError
from flow_s3.asking import Unanswered, asked
from flow_s3.roles import time_of
from flow_s3.signing import Keys

_INSTANCE = "http://169.254.169.254"
_INSTANCE_6 = "http://[fd00:ec2::254]"
_CONTAINER = "http://169.254.170.2"
_INSIDE = ("127.0.0.1", "::1", "localhost", "169.254.170.2", "169.254.170.23", "fd00:ec2::23")
"""Hosts that may get the container's token without TLS."""
_ROLES = "/latest/meta-data/iam/security-credentials/"
_HINT = "export AWS_PROFILE=name, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
_LIFE = 21600


def is_container(environment: Mapping[str, str]) -> bool:
    """Whether this process is in a container that is given credentials."""
    return bool(
        environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
        or environment.get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
    )


def of_container(environment: Mapping[str, str]) -> Keys:
    """Return the credentials of this container."""
    relative = environment.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
    url = _CONTAINER + relative if relative else environment["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    what, hint = "Cannot get the credentials of this container", "check its role"
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in _INSIDE:
        raise StoreError(
            what,
            where=url,
            why="a token is not sent to another host without TLS",
            hint="correct AWS_CONTAINER_CREDENTIALS_FULL_URI",
        )
    token = _container_token(environment, what)
    text = asked(url, {"Authorization": token} if token else {}, what, hint, proxies=False)
    return _keys(text, what, url, "the role of this container")


def _container_token(environment: Mapping[str, str], what: str) -> str:
    path = environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    if not path:
        return environment.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
    try:
        with open(path, encoding="utf-8") as file:
            return file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(
            what,
            where=path,
            why=f"its token cannot be read: {getattr(error, 'strerror', None) or error}",
            hint="check AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
        ) from error


def of_instance(environment: Mapping[str, str]) -> Keys:
    """Return the credentials of the role of this machine (instance metadata, version 2)."""
    base = _metadata_url(environment)
    wait = _number(environment.get("AWS_METADATA_SERVICE_TIMEOUT"), 1.0)
    what = "Cannot get the credentials of this machine"

    def ask(path: str, headers: Mapping[str, str], method: str = "GET") -> str:
        url = base + path
        return asked(url, headers, what, _HINT, method=method, wait=wait, proxies=False)

    try:
        headers = _session(ask, environment)
        role = ask(_ROLES, headers).strip().partition("\n")[0]
        text = ask(_ROLES + role, headers)
    except Unanswered as error:
        if error.status in (0, 404):
            raise StoreError(
                "There are no credentials",
                where=base,
                why="neither variables, nor a profile, nor a role of this machine",
                hint=_HINT,
            ) from error
        raise
    return _keys(text, what, base, f"the role {role} of this machine")


def _session(ask: Any, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the headers with which a machine is asked; of an old one, none."""
    life = {"X-aws-ec2-metadata-token-ttl-seconds": str(_LIFE)}
    try:
        token = ask("/latest/api/token", life, "PUT")
    except Unanswered as error:
        old = error.status in (403, 404, 405)
        if not old or environment.get("AWS_EC2_METADATA_V1_DISABLED", "").lower() == "true":
            raise
        return {}
    return {"X-aws-ec2-metadata-token": token.strip()}


def _metadata_url(environment: Mapping[str, str]) -> str:
    given = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "").rstrip("/")
    if given:
        return given
    mode = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "").lower()
    return _INSTANCE_6 if mode == "ipv6" else _INSTANCE


def _keys(text: str, what: str, where: str, source: str) -> Keys:
    try:
        found = json.loads(text)
        expires = found.get("Expiration")
        return Keys(
            found["AccessKeyId"],
            found["SecretAccessKey"],
            found.get("Token"),
            time_of(expires) if expires else None,
            source,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"it answers without credentials: {' '.join(text.split())[:200] or 'nothing'}"
        raise StoreError(what, where=where, why=why, hint=_HINT) from error


def _number(text: str | None, default: float) -> float:
    try:
        return float(text or default)
    except ValueError:
        return default
