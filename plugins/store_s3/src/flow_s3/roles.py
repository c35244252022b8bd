"""Credentials of roles, from the service that gives them (STS)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import NamedTuple

from flow_core.api import StoreError
from flow_s3.asking import asked
from flow_s3.signing import Keys, form, sign

_FORM = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}


class Giver(NamedTuple):
    """The service that gives credentials of roles.

    Attributes:
        url: where it is.
        region: what requests to it are signed for.
        ca_bundle: file of certificates to trust as well, or None.
    """

    url: str
    region: str
    ca_bundle: str | None = None


def assume_role(keys: Keys, role: str, giver: Giver, options: Mapping[str, str | None]) -> Keys:
    """Return credentials of a role.

    Args:
        keys: of who assumes it.
        role: its ARN.
        giver: the service.
        options: further arguments of the request, by their names there; None = left out.
    """
    body = _arguments("AssumeRole", role, options)
    signed = sign(keys, "POST", giver.url, "sts", giver.region, headers=_FORM, body=body)
    hint = "check role, and keys: aws sts get-caller-identity"
    return _credentials(giver, signed, body, role, hint)


def assume_role_with_token(
    path: str, role: str, giver: Giver, options: Mapping[str, str | None]
) -> Keys:
    """Return credentials of a role, for a token that stands in a file (web identity)."""
    try:
        with open(path, encoding="utf-8") as file:
            token = file.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StoreError(
            f"Cannot assume the role {role}",
            where=path,
            why=f"its token cannot be read: {getattr(error, 'strerror', None) or error}",
            hint="check AWS_WEB_IDENTITY_TOKEN_FILE",
        ) from error
    values = {**options, "WebIdentityToken": token}
    body = _arguments("AssumeRoleWithWebIdentity", role, values)
    return _credentials(giver, _FORM, body, role, f"check the role, and the token in {path}")


def _arguments(action: str, role: str, options: Mapping[str, str | None]) -> bytes:
    given = {name: value for name, value in options.items() if value}
    values = {"Action": action, "Version": "2011-06-15", "RoleArn": role}
    return form({**values, "RoleSessionName": "flow", **given})


def _credentials(
    giver: Giver, headers: Mapping[str, str], body: bytes, role: str, hint: str
) -> Keys:
    what = f"Cannot assume the role {role}"
    text = asked(giver.url, headers, what, hint, body=body, ca_bundle=giver.ca_bundle)
    key, secret, token, expires = (
        _element(text, name)
        for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
    )
    if not (key and secret and expires):
        raise StoreError(what, where=giver.url, why="it answers without credentials", hint=hint)
    return Keys(key, secret, token or None, time_of(expires), f"the role {role}")


def _element(text: str, name: str) -> str:
    found = re.search(f"<{name}>(.*?)</{name}>", text, re.DOTALL)
    return found[1].strip() if found else ""


def time_of(text: str) -> datetime:
    """``2030-01-02T03:04:05Z`` as a time."""
    found = datetime.fromisoformat(re.sub(r"(?:\.\d+)?(?:[Zz]|UTC)$", "+00:00", text))
    return found if found.tzinfo else found.replace(tzinfo=timezone.utc)
