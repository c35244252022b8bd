"""Where credentials come from, in the order of the AWS tools."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from flow_core.api import FlowError, StoreError, UsageError
from flow_s3.profiles import Profile, Profiles
from flow_s3.signing import Keys, form, sign

_WAIT = 4.0
"""Seconds that a service which gives credentials may take."""
_PROCESS_WAIT = 60.0

Source = Callable[[], Keys]


class Fixed:
    """A source that always gives the same."""

    __slots__ = ("keys",)

    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    def __call__(self) -> Keys:
        """Return them."""
        return self.keys


class Provider:
    """Gives obstore credentials, again before they expire.

    Attributes:
        error: what the last attempt raised: obstore keeps only its text.
        source: where the last ones came from, for people.
        fixed: the credentials, where these never change: obstore takes them 20 ms faster so.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self.error: FlowError | None = None
        self.fixed = source.keys if isinstance(source, Fixed) else None
        self.source = self.fixed.source if self.fixed else ""

    def __call__(self) -> dict[str, Any]:
        try:
            keys = self._source()
        except FlowError as error:
            self.error = error
            raise
        self.error, self.source = None, keys.source
        return {
            "access_key_id": keys.key,
            "secret_access_key": keys.secret,
            "token": keys.token,
            "expires_at": keys.expires,
        }


def find(
    profiles: Profiles,
    profile: Profile,
    environment: Mapping[str, str],
    *,
    region: str,
    role: str = "",
    chosen: bool = False,
) -> Source | None:
    """Return what gives credentials; None = those of the machine or container, which obstore finds.

    Args:
        profiles, profile: the files, and the profile in use.
        environment: variables of the process.
        region: where a role is asked for.
        role: ARN of a role to assume with what is found; ``""`` = none.
        chosen: whether a person named the profile: then variables do not come first.
    """
    source = None if chosen else _of_variables(environment)
    source = source or _of_profile(profiles, profile, environment, region)
    if not role:
        return source
    if source is None:
        raise UsageError(
            "There are no credentials with which to assume a role",
            where=role,
            why="the setting s3_role needs keys in the environment or in a profile",
            hint="export AWS_PROFILE=name, or give the machine this role itself",
        )
    return lambda: assume_role(source(), role, region, environment)


def _of_variables(environment: Mapping[str, str]) -> Source | None:
    key, secret = environment.get("AWS_ACCESS_KEY_ID"), environment.get("AWS_SECRET_ACCESS_KEY")
    if not key or not secret:
        return None
    keys = Keys(
        key, secret, environment.get("AWS_SESSION_TOKEN"), None, "the variable AWS_ACCESS_KEY_ID"
    )
    return Fixed(keys)


def _of_profile(
    profiles: Profiles,
    profile: Profile,
    environment: Mapping[str, str],
    region: str,
    seen: tuple[str, ...] = (),
) -> Source | None:
    where = f"the profile '{profile.name}'"
    role = profile.get("role_arn")
    if role and profile.name not in seen:
        base = _base_of(profiles, profile, environment, region, (*seen, profile.name))
        options = {"ExternalId": profile.get("external_id"), "SerialNumber": None}
        session = profile.get("role_session_name", "flow")
        return lambda: assume_role(base(), role, region, environment, session, options)
    if "aws_access_key_id" in profile and "aws_secret_access_key" in profile:
        keys = Keys(
            profile["aws_access_key_id"],
            profile["aws_secret_access_key"],
            profile.get("aws_session_token"),
            None,
            where,
        )
        return Fixed(keys)
    if "sso_account_id" in profile:
        return lambda: _sso(profiles, profile, environment)
    if "credential_process" in profile:
        command = profile["credential_process"]
        return lambda: _of_process(command, where)
    return None


def _base_of(
    profiles: Profiles,
    profile: Profile,
    environment: Mapping[str, str],
    region: str,
    seen: tuple[str, ...],
) -> Source:
    """Return what gives the credentials with which the role of a profile is assumed."""
    found: Source | None = None
    if "source_profile" in profile:
        other = profiles.get(profile["source_profile"], needed=True)
        found = _of_profile(profiles, other, environment, region, seen)
    elif profile.get("credential_source") == "Environment":
        found = _of_variables(environment)
    if found is None:
        raise UsageError(
            f"The AWS profile '{profile.name}' has a role, and nothing to assume it with",
            where=profiles.config,
            why="flow-s3 takes source_profile = NAME with keys, or credential_source = Environment",
            hint="add source_profile, or: aws configure export-credentials --format env",
        )
    return found


def assume_role(
    keys: Keys,
    role: str,
    region: str,
    environment: Mapping[str, str],
    session: str = "flow",
    options: Mapping[str, str | None] | None = None,
) -> Keys:
    """Return credentials of a role, for an hour."""
    endpoint = environment.get("AWS_ENDPOINT_URL_STS") or f"https://sts.{region}.amazonaws.com"
    values = {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": role,
        "RoleSessionName": session,
        **{name: value for name, value in (options or {}).items() if value},
    }
    body = form(values)
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}
    url = endpoint.rstrip("/") + "/"
    signed = sign(keys, "POST", url, service="sts", region=region, headers=headers, body=body)
    what = f"Cannot assume the role {role}"
    text = _request(url, signed, body, what, "check role, and keys: aws sts get-caller-identity")
    found = {
        name: _element(text, name)
        for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
    }
    return Keys(
        found["AccessKeyId"],
        found["SecretAccessKey"],
        found["SessionToken"],
        _time(found["Expiration"]),
        f"the role {role}",
    )


def _sso(profiles: Profiles, profile: Profile, environment: Mapping[str, str]) -> Keys:
    session = profile.get("sso_session", "")
    values = {**profiles.session(session), **profile}
    login = f"aws sso login --profile {profile.name}"
    token = _sso_token(session or values.get("sso_start_url", ""), environment, login)
    query = form(
        {"role_name": values.get("sso_role_name", ""), "account_id": values["sso_account_id"]}
    ).decode()
    region = values.get("sso_region", "us-east-1")
    base = environment.get("AWS_ENDPOINT_URL_SSO") or f"https://portal.sso.{region}.amazonaws.com"
    text = _request(
        f"{base}/federation/credentials?{query}",
        {"x-amz-sso_bearer_token": token},
        None,
        f"Cannot get credentials of the profile '{profile.name}'",
        login,
    )
    found = json.loads(text)["roleCredentials"]
    return Keys(
        found["accessKeyId"],
        found["secretAccessKey"],
        found["sessionToken"],
        datetime.fromtimestamp(found["expiration"] / 1000, timezone.utc),
        f"the profile '{profile.name}' (SSO)",
    )


def _sso_token(name: str, environment: Mapping[str, str], login: str) -> str:
    import hashlib

    home = environment.get("HOME") or os.path.expanduser("~")
    digest = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
    path = os.path.join(home, ".aws", "sso", "cache", f"{digest}.json")
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        if _time(found["expiresAt"]) > datetime.now(timezone.utc):
            return str(found["accessToken"])
        why = "the login has expired"
    except FileNotFoundError:
        why = "nobody has logged in"
    except (OSError, ValueError, KeyError) as error:
        why = f"the file of the login cannot be read: {error}"
    raise StoreError("There is no SSO login", where=path, why=why, hint=login)


def _of_process(command: str, where: str) -> Keys:
    import shlex

    what = f"The credential_process of {where} gives no credentials"
    try:
        done = subprocess.run(
            shlex.split(command), capture_output=True, timeout=_PROCESS_WAIT, check=True
        )
        found = json.loads(done.stdout)
        key, secret = found["AccessKeyId"], found["SecretAccessKey"]
    except (OSError, subprocess.SubprocessError, ValueError, KeyError) as error:
        said = getattr(error, "stderr", None) or b""
        raise StoreError(
            what,
            where=command,
            why=said.decode(errors="replace").strip() or f"{type(error).__name__}: {error}",
            hint=f"run it by hand: {command}",
        ) from error
    expires = found.get("Expiration")
    return Keys(key, secret, found.get("SessionToken"), _time(expires) if expires else None, where)


def _request(url: str, headers: Mapping[str, str], body: bytes | None, what: str, hint: str) -> str:
    from urllib.error import HTTPError, URLError
    from urllib.request import Request, urlopen

    from flow_objectstore.faults import response_fault

    request = Request(url, data=body, headers=dict(headers))
    where = url.partition("?")[0]
    try:
        with urlopen(request, timeout=_WAIT) as response:
            text: str = response.read().decode()
            return text
    except HTTPError as error:
        fault = response_fault(error.code, error.read().decode(errors="replace"))
        why = f"{fault.code}: {fault.text}" if fault.text else f"HTTP status {error.code}"
    except (URLError, OSError) as error:
        why = str(getattr(error, "reason", error))
    raise StoreError(what, where=where, why=why, hint=hint)


def _element(text: str, name: str) -> str:
    found = re.search(f"<{name}>(.*?)</{name}>", text, re.DOTALL)
    return found[1].strip() if found else ""


def _time(text: str) -> datetime:
    return datetime.fromisoformat(re.sub("(?:[Zz]|UTC)$", "+00:00", text))
