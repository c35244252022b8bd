"""Where credentials come from, in the order of the AWS tools."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from flow_core.api import FlowError, StoreError, UsageError
from flow_s3.checks import check_keys
from flow_s3.profiles import Profile, Profiles
from flow_s3.signing import Keys

# What asks a service is imported when it is asked: few runs do.

_PROCESS_WAIT = 60.0
_AHEAD = timedelta(minutes=5)
"""How long before they expire credentials are replaced."""

Source = Callable[[], Keys]


class Fixed:
    """A source that always gives the same."""

    __slots__ = ("keys",)

    def __init__(self, keys: Keys) -> None:
        check_keys(keys.key, keys.secret, keys.token, keys.source)
        self.keys = keys

    def __call__(self) -> Keys:
        """Return them."""
        return self.keys


class Provider:
    """Gives credentials, new ones before they expire; obstore calls it.

    Attributes:
        error: what the last attempt raised: obstore keeps only its text.
        source: where the last ones came from, for people.
        fixed: the credentials, where these never change: obstore takes them 20 ms faster so.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._kept: Keys | None = None
        self._lock = threading.Lock()
        self.error: FlowError | None = None
        self.fixed = source.keys if isinstance(source, Fixed) else None
        self.source = self.fixed.source if self.fixed else ""

    def keys(self) -> Keys:
        """Return credentials that hold for some minutes still."""
        with self._lock:
            if self._kept is None or _ends_soon(self._kept):
                try:
                    self._kept = self._source()
                except FlowError as error:
                    self.error = error
                    raise
                self.error, self.source = None, self._kept.source
            return self._kept

    def __call__(self) -> dict[str, Any]:
        keys = self.keys()
        return {
            "access_key_id": keys.key,
            "secret_access_key": keys.secret,
            "token": keys.token,
            "expires_at": keys.expires,
        }


def _ends_soon(keys: Keys) -> bool:
    return keys.expires is not None and keys.expires - datetime.now(timezone.utc) < _AHEAD


class Finder(NamedTuple):
    """Finds what gives credentials.

    Attributes:
        profiles: the files of the AWS tools.
        environment: variables of the process.
        region: where a role is asked for.
        ca_bundle: file of certificates to trust as well, or None.
    """

    profiles: Profiles
    environment: Mapping[str, str]
    region: str
    ca_bundle: str | None = None

    def find(self, profile: Profile, *, role: str = "", chosen: bool = False) -> Source | None:
        """Return what gives credentials; None = there is nothing that could be asked.

        Args:
            profile: the one in use.
            role: ARN of a role to assume with what is found; ``""`` = none.
            chosen: whether a person named the profile: then variables do not come first.
        """
        source = None if chosen else self._of_variables()
        source = source or self._of_profile(profile) or self._of_token() or self._of_machine()
        if not role:
            return source
        if source is None:
            raise UsageError(
                "There are no credentials with which to assume a role",
                where=role,
                why="the setting s3_role needs keys in the environment or in a profile",
                hint="export AWS_PROFILE=name, or give the machine this role itself",
            )
        return self._assuming(source, role, {}, profile)

    def _of_variables(self) -> Source | None:
        key = self.environment.get("AWS_ACCESS_KEY_ID")
        secret = self.environment.get("AWS_SECRET_ACCESS_KEY")
        if not key or not secret:
            return None
        token = self.environment.get("AWS_SESSION_TOKEN")
        return Fixed(Keys(key, secret, token, None, "the variable AWS_ACCESS_KEY_ID"))

    def _of_profile(self, profile: Profile, seen: tuple[str, ...] = ()) -> Source | None:
        where = f"the profile '{profile.name}'"
        if profile.get("role_arn") and profile.name not in seen:
            return self._of_role(profile, (*seen, profile.name))
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
            return lambda: self._of_login(profile)
        if "credential_process" in profile:
            command = profile["credential_process"]
            return lambda: _of_process(command, where)
        return None

    def _of_role(self, profile: Profile, seen: tuple[str, ...]) -> Source:
        """Return what gives credentials of the role of a profile."""
        role = profile["role_arn"]
        options = {
            "RoleSessionName": profile.get("role_session_name"),
            "ExternalId": profile.get("external_id"),
            "DurationSeconds": profile.get("duration_seconds"),
        }
        if "web_identity_token_file" in profile:
            return self._by_token(profile["web_identity_token_file"], role, options, profile)
        if "mfa_serial" in profile:
            raise UsageError(
                f"The role of the AWS profile '{profile.name}' asks for a second factor",
                where=self.profiles.config,
                why="nobody can be asked for its code while a flow runs",
                hint="get credentials for some hours: "
                f"eval $(aws configure export-credentials --profile {profile.name} --format env)",
            )
        return self._assuming(self._base_of(profile, seen), role, options, profile)

    def _base_of(self, profile: Profile, seen: tuple[str, ...]) -> Source:
        """Return what gives the credentials with which the role of a profile is assumed."""
        found: Source | None = None
        named = profile.get("credential_source")
        if "source_profile" in profile:
            other = self.profiles.get(profile["source_profile"], needed=True)
            found = self._of_profile(other, seen)
        elif named == "Environment":
            found = self._of_variables()
        elif named in ("Ec2InstanceMetadata", "EcsContainer"):
            found = self._of_machine()
        if found is None:
            raise UsageError(
                f"The AWS profile '{profile.name}' has a role, and nothing to assume it with",
                where=self.profiles.config,
                why="it needs source_profile = NAME of one with keys, or credential_source = "
                "Environment, Ec2InstanceMetadata or EcsContainer",
                hint="add one of them, or: aws configure export-credentials --format env",
            )
        return found

    def _of_token(self) -> Source | None:
        """Return what gives credentials for the token of a workload (web identity)."""
        path = self.environment.get("AWS_WEB_IDENTITY_TOKEN_FILE")
        role = self.environment.get("AWS_ROLE_ARN")
        if not path or not role:
            return None
        options = {"RoleSessionName": self.environment.get("AWS_ROLE_SESSION_NAME")}
        return self._by_token(path, role, options, None)

    def _of_machine(self) -> Source | None:
        from flow_s3 import machine

        environment = self.environment
        if machine.is_container(environment):
            return lambda: machine.of_container(environment)
        if environment.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
            return None
        return lambda: machine.of_instance(environment)

    def _of_login(self, profile: Profile) -> Keys:
        from flow_s3.sso import of_login

        return of_login(self.profiles, profile, self.environment, self.ca_bundle)

    def _assuming(
        self, base: Source, role: str, options: Mapping[str, str | None], profile: Profile
    ) -> Source:
        def assume() -> Keys:
            from flow_s3.roles import Giver, assume_role

            giver = Giver(self._roles_url(profile), self.region, self.ca_bundle)
            return assume_role(base(), role, giver, options)

        return assume

    def _by_token(
        self, path: str, role: str, options: Mapping[str, str | None], profile: Profile | None
    ) -> Source:
        def assume() -> Keys:
            from flow_s3.roles import Giver, assume_role_with_token

            giver = Giver(self._roles_url(profile), self.region, self.ca_bundle)
            return assume_role_with_token(path, role, giver, options)

        return assume

    def _roles_url(self, profile: Profile | None) -> str:
        """Return where roles are given: ``AWS_ENDPOINT_URL`` is meant for all services."""
        given = self.profiles.endpoint("sts", profile, self.environment)
        return (given or f"https://sts.{self.region}.amazonaws.com").rstrip("/") + "/"


def _of_process(command: str, where: str) -> Keys:
    import shlex

    from flow_s3.roles import time_of

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
    return Keys(
        key, secret, found.get("SessionToken"), time_of(expires) if expires else None, where
    )
