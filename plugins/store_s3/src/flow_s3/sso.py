"""Credentials of people who logged in with ``aws sso login``."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from datetime import datetime, timezone

from flow_core.api import StoreError
from flow_s3.asking import asked
from flow_s3.profiles import Profile, Profiles
from flow_s3.roles import time_of
from flow_s3.signing import Keys, form


def of_login(
    profiles: Profiles, profile: Profile, environment: Mapping[str, str], ca_bundle: str | None
) -> Keys:
    """Return the credentials of a profile with the keys ``sso_…``."""
    session = profile.get("sso_session", "")
    values = {**profiles.session(session), **profile}
    login = f"aws sso login --profile {profile.name}"
    token = _token(session or values.get("sso_start_url", ""), environment, login)
    query = form(
        {"role_name": values.get("sso_role_name", ""), "account_id": values["sso_account_id"]}
    ).decode()
    region = values.get("sso_region", "us-east-1")
    base = environment.get("AWS_ENDPOINT_URL_SSO") or f"https://portal.sso.{region}.amazonaws.com"
    text = asked(
        f"{base}/federation/credentials?{query}",
        {"x-amz-sso_bearer_token": token},
        f"Cannot get credentials of the profile '{profile.name}'",
        login,
        ca_bundle=ca_bundle,
    )
    found = json.loads(text)["roleCredentials"]
    return Keys(
        found["accessKeyId"],
        found["secretAccessKey"],
        found["sessionToken"],
        datetime.fromtimestamp(found["expiration"] / 1000, timezone.utc),
        f"the profile '{profile.name}' (SSO)",
    )


def _token(name: str, environment: Mapping[str, str], login: str) -> str:
    import hashlib

    home = environment.get("HOME") or os.path.expanduser("~")
    digest = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
    path = os.path.join(home, ".aws", "sso", "cache", f"{digest}.json")
    try:
        with open(path, encoding="utf-8") as file:
            found = json.load(file)
        if time_of(found["expiresAt"]) > datetime.now(timezone.utc):
            return str(found["accessToken"])
        why = "the login has expired"
    except FileNotFoundError:
        why = "nobody has logged in"
    except (OSError, ValueError, KeyError) as error:
        why = f"the file of the login cannot be read: {error}"
    raise StoreError("There is no SSO login", where=path, why=why, hint=login)
