"""Reads objects of S3 with nothing but Python: how a task begins on another machine.

This file travels as text behind `flow_objectstore.fetching`: it imports nothing else of ours, and an
old Python must understand it. It finds
credentials where the store itself will find them: variables, a profile, the token of a workload, then
what the container or the machine is given.
"""

from __future__ import annotations

import builtins
import hashlib
import hmac
import json
import os
import re
import time
from calendar import timegm
from urllib.parse import urlencode, urlsplit

from flow_objectstore.fetching import AHEAD, Answer, Failed, Reader, Web, element, quoted, words_of

TYPE_CHECKING = False  # that of `typing` would have to be imported
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

_EMPTY = hashlib.sha256(b"").hexdigest()
_PASSING = ("SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "OperationAborted")
_KEYS_GONE = ("ExpiredToken", "TokenRefreshRequired", "ExpiredTokenException", "RequestExpired")
_INSIDE = ("127.0.0.1", "::1", "localhost", "169.254.170.2", "169.254.170.23", "fd00:ec2::23")
"""Hosts that may get the token of a container without TLS."""
_WHO = "who you are there: aws sts get-caller-identity"


def open(config: dict[str, Any]) -> Callable[[str], bytes | None]:
    """Return what reads objects.

    Args:
        config: ``bucket``; ``prefix`` before all keys, as the service knows it; ``region``; and
            what is not as usual: ``endpoint``, ``path_style``, ``anonymous``, ``requester_pays``,
            ``profile``, ``role``, ``verify``, ``ca`` (certificates in PEM), ``patience`` in seconds.
    """
    return S3Reader(config, Web("flow-s3", "AWS_CA_BUNDLE", config)).read


class S3Reader(Reader):
    """Reads objects of one bucket."""

    def __init__(self, config: Mapping[str, Any], web: Web) -> None:
        super().__init__(config, web, ("NoSuchKey",))
        self.region = config["region"]
        self.credentials = Credentials(config, web)

    def get(self, name: str) -> Answer:
        """Ask for an object."""
        url = f"{self._base()}/{quoted(name)}"
        headers = {"x-amz-content-sha256": _EMPTY}
        if self.config.get("requester_pays"):
            headers["x-amz-request-payer"] = "requester"
        if not self.config.get("anonymous"):
            with self.lock:
                keys = self.credentials.keys(self.region)
            now = time.time()
            headers = sign(keys, "GET", url, "s3", self.region, headers, _EMPTY, now)
        return self.web.ask("GET", url, headers, what="the service")

    def _base(self) -> str:
        config, bucket = self.config, self.config["bucket"]
        endpoint = config.get("endpoint")
        base = endpoint or f"https://s3.{self.region}.{_domain(self.region)}"
        if config.get("path_style"):
            return f"{base}/{bucket}"
        scheme, _, host = base.partition("://")
        return f"{scheme}://{bucket}.{host}"

    def correct(self, answer: Answer) -> bool:
        """Whether the same request, made in another way, may succeed."""
        if answer.code in _KEYS_GONE:
            with self.lock:
                return self.credentials.forget()
        found = re.search(r"<Region>([\w-]+)</Region>|expecting '([\w-]+)'", answer.text)
        region = answer.headers.get("x-amz-bucket-region", "")
        region = region or (found.group(1) or found.group(2) if found else "")
        moved = answer.status in (301, 307) or answer.code == "AuthorizationHeaderMalformed"
        if moved and region and region != self.region:
            self.region = region
            return True
        return False

    def refused(self, answer: Answer) -> Failed:
        """Return the error for an answer."""
        config, code = self.config, answer.code
        bucket, where = config["bucket"], self.config.get("endpoint") or f"AWS, {self.region}"
        source = self.credentials.source
        source = f" (credentials of {source})" if source else ""
        said = f"{where} answers {answer.said()}"
        if answer.status in (429, 503) or answer.status >= 500 or code in _PASSING:
            return Failed(said, "try again later", passing=True)
        if code == "NoSuchBucket":
            hint = f"check its name: aws s3 ls; or make it: aws s3 mb s3://{bucket}"
            return Failed(f"there is no bucket '{bucket}' at {where}", hint)
        if code == "RequestTimeTooSkewed":
            # Not set right for these signatures: the store's own client could not go on here.
            wrong = answer.skew()
            which = "behind" if wrong > 0 else "ahead"
            told = (
                f"; this machine's clock is {abs(wrong):.0f} s {which}" if abs(wrong) > 60 else ""
            )
            return Failed(said + told, "set the clock of this machine")
        if answer.status in (401, 403) or code in _KEYS_GONE or "Token" in code:
            hint = f"let these credentials read objects of bucket '{bucket}'; {_WHO}"
            return Failed(said + source, hint)
        return Failed(said, "check the address, the region and the bucket")


# --- credentials --------------------------------------------------------------------------------


class Keys:
    """Credentials; ``expires`` in seconds since the epoch, or None; ``source`` is for people."""

    def __init__(
        self, key: str, secret: str, token: str | None, expires: float | None, source: str
    ) -> None:
        self.key = key
        self.secret = secret
        self.token = token
        self.expires = expires
        self.source = source
        for value in (key, secret, token or "-"):
            if not value or not value.isprintable() or not value.isascii() or " " in value:
                text = f"the credentials of {source} hold a character that none have"
                raise Failed(text, "copy them again, without spaces and line breaks around them")


class Credentials:
    """Finds credentials, and new ones before they expire."""

    def __init__(self, config: Mapping[str, Any], web: Web) -> None:
        self.config = config
        self.web = web
        self.source = ""
        self.region = config["region"]
        self._kept: Keys | None = None

    def keys(self, region: str) -> Keys:
        """Return credentials that hold for some minutes still."""
        kept = self._kept
        if kept is None or (kept.expires is not None and kept.expires - time.time() < AHEAD):
            self.region = region
            kept = self._find()
            role = self.config.get("role")
            if role:
                kept = self._assume(role, kept, {}, {})
            self._kept = kept
            self.source = kept.source
        return kept

    def forget(self) -> bool:
        """Whether the next credentials may be others than the last ones."""
        changing = self._kept is not None and self._kept.expires is not None
        self._kept = None
        return changing

    def _find(self) -> Keys:
        chosen = self.config.get("profile")
        profiles = Profiles()
        profile = profiles.get(chosen or os.environ.get("AWS_PROFILE") or "default")
        return (
            (None if chosen and profile else self._of_variables())
            or self._of_profile(profiles, profile, ())
            or self._of_token()
            or self._of_machine()
        )

    def _of_variables(self) -> Keys | None:
        get = os.environ.get
        key, secret = get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY")
        if not key or not secret:
            return None
        source = "the variable AWS_ACCESS_KEY_ID"
        return Keys(key, secret, get("AWS_SESSION_TOKEN"), None, source)

    def _of_token(self) -> Keys | None:
        """Return credentials for the token of a workload (web identity)."""
        path, role = os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE"), os.environ.get("AWS_ROLE_ARN")
        if not path or not role:
            return None
        name = os.environ.get("AWS_ROLE_SESSION_NAME")
        return self._by_token(path, role, {"RoleSessionName": name}, {})

    # --- profiles -----------------------------------------------------------------------------

    def _of_profile(
        self, profiles: Profiles, profile: Mapping[str, str], seen: tuple[str, ...]
    ) -> Keys | None:
        name = profile.get("", "")
        where = f"the profile '{name}'"
        role = profile.get("role_arn")
        if role and name not in seen:
            return self._of_role(profiles, profile, role, (*seen, name))
        if profile.get("aws_access_key_id") and profile.get("aws_secret_access_key"):
            key, secret = profile["aws_access_key_id"], profile["aws_secret_access_key"]
            return Keys(key, secret, profile.get("aws_session_token"), None, where)
        if profile.get("sso_account_id"):
            return self._of_login(profiles, profile, name)
        if profile.get("credential_process"):
            return _of_process(profile["credential_process"], where)
        return None

    def _of_role(
        self, profiles: Profiles, profile: Mapping[str, str], role: str, seen: tuple[str, ...]
    ) -> Keys:
        options = {
            "RoleSessionName": profile.get("role_session_name"),
            "ExternalId": profile.get("external_id"),
            "DurationSeconds": profile.get("duration_seconds"),
        }
        path = profile.get("web_identity_token_file")
        if path:
            return self._by_token(path, role, options, profile)
        named, base = profile.get("credential_source"), None
        if profile.get("source_profile"):
            base = self._of_profile(profiles, profiles.get(profile["source_profile"]), seen)
        elif named == "Environment":
            base = self._of_variables()
        elif named in ("Ec2InstanceMetadata", "EcsContainer"):
            base = self._of_machine()
        if base is None or profile.get("mfa_serial"):
            text = f"the profile '{seen[-1]}' has a role, and nothing here to assume it with"
            hint = f"aws configure export-credentials --profile {seen[-1]} --format env"
            raise Failed(text, hint)
        return self._assume(role, base, options, profile)

    def _of_login(self, profiles: Profiles, profile: Mapping[str, str], name: str) -> Keys:
        """Return credentials of a person who logged in with ``aws sso login``, on a shared home."""
        session = profile.get("sso_session", "")
        values = {**profiles.section(f"sso-session {session}"), **profile}
        about = (session or values.get("sso_start_url", "")).encode()
        login = f"aws sso login --profile {name}"
        path = _home(".aws", "sso", "cache", hashlib.sha1(about).hexdigest() + ".json")
        try:
            with builtins.open(path, encoding="utf-8") as file:
                found = json.load(file)
            token, ends = found["accessToken"], _seconds(found["expiresAt"])
        except (OSError, ValueError, KeyError):
            raise Failed(f"there is no login of the profile '{name}' here", login) from None
        if ends < time.time():
            raise Failed(f"the login of the profile '{name}' has expired", login)
        region = values.get("sso_region", "us-east-1")
        base = (
            os.environ.get("AWS_ENDPOINT_URL_SSO") or f"https://portal.sso.{region}.amazonaws.com"
        )
        query = {"role_name": values.get("sso_role_name", "")}
        query["account_id"] = values["sso_account_id"]
        url = f"{base}/federation/credentials?{urlencode(query)}"
        headers = {"x-amz-sso_bearer_token": token}
        answer = self._answer("the login service", "GET", url, headers, hint=login)
        found = answer.data("roleCredentials")
        return Keys(
            found.get("accessKeyId", ""),
            found.get("secretAccessKey", ""),
            found.get("sessionToken"),
            float(found.get("expiration", 0)) / 1000,
            f"the profile '{name}' (SSO)",
        )

    # --- roles ----------------------------------------------------------------------------------

    def _by_token(
        self,
        path: str,
        role: str,
        options: Mapping[str, str | None],
        profile: Mapping[str, str],
    ) -> Keys:
        try:
            with builtins.open(path, encoding="utf-8") as file:
                token = file.read().strip()
        except (OSError, ValueError) as error:
            text = f"the token {path} of role {role} cannot be read: {words_of(error)}"
            raise Failed(
                text, "check AWS_WEB_IDENTITY_TOKEN_FILE, and the service account"
            ) from None
        values = {"WebIdentityToken": token, **options}
        body = _form("AssumeRoleWithWebIdentity", role, values)
        url = self._roles_url(profile)
        hint = f"check the trust policy of {role}, and that the service account is the one in it"
        return self._role(url, {}, body, role, hint)

    def _assume(
        self,
        role: str,
        base: Keys,
        options: Mapping[str, str | None],
        profile: Mapping[str, str],
    ) -> Keys:
        body, url = _form("AssumeRole", role, options), self._roles_url(profile)
        digest = hashlib.sha256(body).hexdigest()
        form = {"content-type": _FORM_TYPE}
        signed = sign(base, "POST", url, "sts", self.region, form, digest, time.time())
        hint = f"check the trust policy of {role}; {_WHO}"
        return self._role(url, signed, body, role, hint)

    def _role(
        self, url: str, headers: Mapping[str, str], body: bytes, role: str, hint: str
    ) -> Keys:
        what = f"role {role} cannot be assumed: {urlsplit(url).netloc}"
        sent = {"content-type": _FORM_TYPE, **headers}
        answer = self._answer(what, "POST", url, sent, body=body, hint=hint)
        key, secret, token, expires = (
            element(answer.text, name)
            for name in ("AccessKeyId", "SecretAccessKey", "SessionToken", "Expiration")
        )
        if not (key and secret and expires):
            raise Failed(f"{what} answers without credentials", hint)
        return Keys(key, secret, token or None, _seconds(expires), f"the role {role}")

    def _roles_url(self, profile: Mapping[str, str]) -> str:
        get = os.environ.get
        given = get("AWS_ENDPOINT_URL_STS") or get("AWS_ENDPOINT_URL")
        given = given or profile.get("endpoint_url")
        if get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
            given = None
        return (given or f"https://sts.{self.region}.{_domain(self.region)}").rstrip("/") + "/"

    # --- container and machine --------------------------------------------------------------

    def _of_machine(self) -> Keys:
        get = os.environ.get
        relative = get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
        full = get("AWS_CONTAINER_CREDENTIALS_FULL_URI")
        if relative or full:
            return self._of_container("http://169.254.170.2" + relative if relative else full or "")
        if get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
            raise _no_credentials("the metadata of the machine may not be asked")
        return self._of_instance()

    def _of_container(self, url: str) -> Keys:
        parts = urlsplit(url)
        if parts.scheme != "https" and parts.hostname not in _INSIDE:
            text = f"{parts.netloc} gets no token without TLS"
            raise Failed(text, "correct AWS_CONTAINER_CREDENTIALS_FULL_URI")
        token = os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
        path = os.environ.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
        if path:
            try:
                with builtins.open(path, encoding="utf-8") as file:
                    token = file.read().strip()
            except (OSError, ValueError) as error:
                text = f"the token {path} of this container cannot be read: {words_of(error)}"
                hint = "check AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
                raise Failed(text, hint) from None
        what = f"this container gets no credentials: {parts.netloc}"
        headers = {"authorization": token} if token else {}
        answer = self._answer(what, "GET", url, headers, hint="check its role", inside=True)
        return _given(answer, "the role of this container")

    def _of_instance(self) -> Keys:
        """Return the credentials of the role of this machine (instance metadata, version 2)."""
        get = os.environ.get
        ipv6 = get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "").lower() == "ipv6"
        base = get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "").rstrip("/")
        base = base or ("http://[fd00:ec2::254]" if ipv6 else "http://169.254.169.254")
        roles = base + "/latest/meta-data/iam/security-credentials/"

        def ask(method: str, url: str, headers: dict[str, str]) -> Answer:
            for attempt in range(2):
                try:
                    return self.web.ask(method, url, headers, wait=1.0 + attempt, inside=True)
                except Failed as error:
                    failure = error
            raise _no_credentials(str(failure))

        life = {"x-aws-ec2-metadata-token-ttl-seconds": "21600"}
        answer = ask("PUT", base + "/latest/api/token", life)
        headers = {}
        if answer.status == 200:
            headers = {"x-aws-ec2-metadata-token": answer.text.strip()}
        elif answer.status not in (403, 404, 405):
            raise _no_credentials(f"{base} answers {answer.said()}", answer.status >= 500)
        answer = ask("GET", roles, headers)
        role = answer.text.strip().partition("\n")[0]
        if answer.status == 200 and role:
            answer = ask("GET", roles + role, headers)
        if answer.status != 200 or not role:
            raise _no_credentials(f"{base} answers {answer.said()}", answer.status >= 500)
        return _given(answer, f"the role {role} of this machine")

    def _answer(
        self,
        what: str,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        hint: str = "",
        inside: bool = False,
    ) -> Answer:
        answer = self.web.ask(method, url, headers, body, what=what, inside=inside)
        if answer.status == 200:
            return answer
        passing = answer.status >= 500 or answer.status == 429
        # A new service account is known everywhere only after some seconds.
        passing = passing or answer.code in ("IDPCommunicationError", "Throttling")
        raise Failed(f"{what} answers {answer.said()}", hint, passing)


_FORM_TYPE = "application/x-www-form-urlencoded; charset=utf-8"


def _form(action: str, role: str, options: Mapping[str, str | None]) -> bytes:
    given = {name: value for name, value in options.items() if value}
    values = {"Action": action, "Version": "2011-06-15", "RoleArn": role}
    return urlencode({**values, "RoleSessionName": "flow", **given}).encode()


def _given(answer: Answer, source: str) -> Keys:
    found = answer.data()
    expires = found.get("Expiration")
    return Keys(
        found.get("AccessKeyId", ""),
        found.get("SecretAccessKey", ""),
        found.get("Token"),
        _seconds(expires) if expires else None,
        source,
    )


def _of_process(command: str, where: str) -> Keys:
    import shlex
    import subprocess

    try:
        done = subprocess.run(shlex.split(command), capture_output=True, timeout=60, check=True)
        found = json.loads(done.stdout)
        expires = found.get("Expiration")
        return Keys(
            found["AccessKeyId"],
            found["SecretAccessKey"],
            found.get("SessionToken"),
            _seconds(expires) if expires else None,
            where,
        )
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, Failed):
            raise
        name = type(error).__name__
        text = f"the credential_process of {where} gives no credentials here: {name}"
        raise Failed(text, "run it by hand there") from None


def _no_credentials(why: str, passing: bool = False) -> Failed:
    return Failed(
        "there are no credentials here: neither variables, nor a profile, nor the token of a "
        f"service account, nor a role of this container or machine ({why})",
        "give the task a role (a service account with one; for the role of the machine, a hop limit "
        "of 2), or let AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY through to it",
        passing,
    )


class Profiles:
    """The files of the AWS tools."""

    def __init__(self) -> None:
        self._config = _sections(os.environ.get("AWS_CONFIG_FILE"), "config")
        self._keys = _sections(os.environ.get("AWS_SHARED_CREDENTIALS_FILE"), "credentials")

    def get(self, name: str) -> dict[str, str]:
        """Return what they say of a profile, with its name under ``""``; nothing if none has it."""
        found = dict(self.section(name if name == "default" else f"profile {name}"))
        found.update(self._keys.get(name, {}))
        return {"": name, **found} if found else {}

    def section(self, name: str) -> Mapping[str, str]:
        """Return a section of the file ``config``."""
        return self._config.get(name, {})


def _sections(given: str | None, name: str) -> dict[str, dict[str, str]]:
    path = os.path.expanduser(given) if given else _home(".aws", name)
    if not os.path.isfile(path):
        return {}
    import configparser

    parser = configparser.RawConfigParser(default_section="\0", strict=False)
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, OSError, ValueError) as error:
        # What stands there is not repeated: it may be a secret.
        text = f"{path}, a file of the AWS tools, cannot be read: {type(error).__name__}"
        raise Failed(text, "put it right, or name another: AWS_CONFIG_FILE") from None
    return {section: dict(parser[section]) for section in parser.sections()}


def _home(*parts: str) -> str:
    return os.path.join(os.path.expanduser("~"), *parts)


# --- signatures -----------------------------------------------------------------------------------


def sign(
    keys: Keys,
    method: str,
    url: str,
    service: str,
    region: str,
    headers: Mapping[str, str],
    digest: str,
    now: float,
) -> dict[str, str]:
    """Return the headers of a signed request (Signature Version 4).

    Args:
        keys: credentials.
        method, url, headers: the request, as it is sent.
        service, region: what it is signed for.
        digest: SHA-256 of the body, in hexadecimal.
        now: seconds since the epoch.
    """
    parts = urlsplit(url)
    at = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now))
    signed = {name: value.strip() for name, value in headers.items()}
    signed.update({"host": parts.netloc, "x-amz-date": at})
    if keys.token:
        signed["x-amz-security-token"] = keys.token
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    request = "\n".join((method, parts.path or "/", parts.query, lines, names, digest))
    scope = f"{at[:8]}/{region}/{service}/aws4_request"
    hashed = hashlib.sha256(request.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashed}"
    key = ("AWS4" + keys.secret).encode()
    for part in (at[:8], region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    signature = hmac.new(key, text.encode(), hashlib.sha256).hexdigest()
    signed["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys.key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return signed


def _seconds(text: str) -> float:
    """``2030-01-02T03:04:05Z`` → seconds since the epoch."""
    return float(timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")))


def _domain(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
