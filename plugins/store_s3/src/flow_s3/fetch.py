"""Reads objects of S3 with nothing but Python: how a task begins on another machine.

This file travels as text: it imports nothing of ours, and an old Python must understand it. It finds
credentials where the store itself will find them: variables, a profile, the token of a workload, then
what the container or the machine is given.
"""

from __future__ import annotations

import builtins
import hashlib
import hmac
import http.client
import json
import os
import random
import re
import socket
import threading
import time
from calendar import timegm
from email.utils import parsedate_tz
from urllib.parse import quote, urlencode, urlsplit

TYPE_CHECKING = False  # that of `typing` would have to be imported
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

_FIRST_REST = 0.1
_LONGEST_REST = 5.0
_CONNECT = 5.0
_SILENCE = 30.0
"""Seconds within which some of an answer has to come."""
_UNREACHED = 20.0
"""Seconds for which a service is tried that has never answered: its address may be wrong."""
_AHEAD = 300.0
"""Seconds before they expire that credentials are replaced."""
_EMPTY = hashlib.sha256(b"").hexdigest()
_ODD = re.compile(r"[\x00-\x1f\x7f\\]|%(?=25|5C|7F|[01][0-9A-F])")
_PASSING = ("SlowDown", "RequestTimeout", "InternalError", "ServiceUnavailable", "OperationAborted")
_KEYS_GONE = ("ExpiredToken", "TokenRefreshRequired", "ExpiredTokenException", "RequestExpired")
_INSIDE = ("127.0.0.1", "::1", "localhost", "169.254.170.2", "169.254.170.23", "fd00:ec2::23")
"""Hosts that may get the token of a container without TLS."""
_WHO = "who you are there: aws sts get-caller-identity"


class Failed(OSError):
    """An object cannot be read.

    Attributes:
        hint: what to do next.
        passing: whether the same may succeed later.
        reached: whether the service has answered.
    """

    def __init__(
        self, text: str, hint: str = "", passing: bool = False, reached: bool = True
    ) -> None:
        super().__init__(" ".join(text.split())[:500])
        self.hint = hint
        self.passing = passing
        self.reached = reached


def open(config: dict[str, Any]) -> Callable[[str], bytes | None]:
    """Return what reads objects.

    Args:
        config: ``bucket``; ``prefix`` before all keys, as the service knows it; ``region``; and
            what is not as usual: ``endpoint``, ``path_style``, ``anonymous``, ``requester_pays``,
            ``profile``, ``role``, ``verify``, ``ca`` (certificates in PEM), ``patience`` in seconds.
    """
    return Reader(config).read


class Reader:
    """Reads objects of one bucket; several threads may."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.region = config["region"]
        self.skew = 0.0
        self.reached = False
        self.web = Web(config)
        self.credentials = Credentials(config, self.web)
        self._lock = threading.Lock()

    def read(self, key: str) -> bytes | None:
        """Return the content of an object, or None."""
        name = self.config.get("prefix", "") + _escape(key)
        begun, rest, corrections = time.monotonic(), _FIRST_REST, 0
        while True:
            try:
                answer = self._get(name)
                self.reached = True
                if answer.status == 200:
                    return answer.body
                if answer.status == 404 and answer.code in ("", "NoSuchKey"):
                    return None
                if corrections < 3 and self._correct(answer):
                    corrections += 1
                    continue
                raise self._refused(answer)
            except Failed as error:
                self.reached = self.reached or error.reached
                patience = self.config.get("patience", 60.0)
                if not self.reached:
                    patience = min(patience, _UNREACHED)
                left = patience - (time.monotonic() - begun)
                if not error.passing or left <= 0:
                    raise
                # Anything between nothing and the bound: many that failed together come back apart.
                time.sleep(min(random.uniform(rest / 10, rest), left))
                rest = min(rest * 2, _LONGEST_REST)

    def close(self) -> None:
        """Close what is kept open for the next request."""
        self.web.close()

    def _get(self, name: str) -> Answer:
        url = self._base() + "/" + quote(name, safe="/~")
        headers = {"x-amz-content-sha256": _EMPTY}
        if self.config.get("requester_pays"):
            headers["x-amz-request-payer"] = "requester"
        if not self.config.get("anonymous"):
            with self._lock:
                keys = self.credentials.keys(self.region)
            now = time.time() + self.skew
            headers = sign(keys, "GET", url, "s3", self.region, headers, _EMPTY, now)
        answer = self.web.ask("GET", url, headers, what="the service")
        if "content-length" not in answer.headers and "transfer-encoding" not in answer.headers:
            # Its size is missing: it ended among the headers, which the library does not mind.
            raise Failed(f"half an answer came from {url}", "try again later", passing=True)
        return answer

    def _base(self) -> str:
        config, bucket = self.config, self.config["bucket"]
        endpoint = config.get("endpoint")
        base = endpoint or f"https://s3.{self.region}.{_domain(self.region)}"
        if config.get("path_style"):
            return f"{base}/{bucket}"
        scheme, _, host = base.partition("://")
        return f"{scheme}://{bucket}.{host}"

    def _correct(self, answer: Answer) -> bool:
        """Whether the same request, made in another way, may succeed."""
        if answer.code == "RequestTimeTooSkewed":
            told = parsedate_tz(answer.headers.get("date", ""))
            if told is None:
                return False
            self.skew = timegm((*told[:6], 0, 0, 0)) - (told[9] or 0) - time.time()
            return True
        if answer.code in _KEYS_GONE:
            with self._lock:
                return self.credentials.forget()
        found = re.search(r"<Region>([\w-]+)</Region>|expecting '([\w-]+)'", answer.text)
        region = answer.headers.get("x-amz-bucket-region", "")
        region = region or (found.group(1) or found.group(2) if found else "")
        moved = answer.status in (301, 307) or answer.code == "AuthorizationHeaderMalformed"
        if moved and region and region != self.region:
            self.region = region
            return True
        return False

    def _refused(self, answer: Answer) -> Failed:
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
            return Failed(said, "set the clock of this machine")
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
        if kept is None or (kept.expires is not None and kept.expires - time.time() < _AHEAD):
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
            text = f"the token {path} of role {role} cannot be read: {_words(error)}"
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
            _element(answer.text, name)
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
                text = f"the token {path} of this container cannot be read: {_words(error)}"
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


# --- requests -------------------------------------------------------------------------------------


class Answer:
    """What a service answered."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def text(self) -> str:
        """The content."""
        return self.body.decode("utf-8", "replace")

    @property
    def code(self) -> str:
        """The service's name for an error, or ``""``."""
        return _element(self.text, "Code") if self.status >= 300 else ""

    def said(self) -> str:
        """Return status, code and words, in one line."""
        words = _element(self.text, "Message")
        code = f" {self.code}" if self.code else ""
        return f"{self.status}{code}" + (f": {words}" if words else "")

    def data(self, name: str = "") -> dict[str, Any]:
        """Return JSON data, or a part of them; nothing if there are none."""
        try:
            found = json.loads(self.body)
            found = found[name] if name else found
        except (ValueError, KeyError, TypeError):
            return {}
        return found if isinstance(found, dict) else {}


class Web:
    """Requests over kept connections."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._config = config
        self._context: Any = None
        self._idle: list[tuple[str, http.client.HTTPConnection]] = []

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        what: str = "",
        wait: float = 0.0,
        inside: bool = False,
    ) -> Answer:
        """Make one request.

        Args:
            method, url, headers, body: the request.
            what: who is asked, for people; ``""`` = the host.
            wait: seconds; 0 = the usual ones.
            inside: whether it stays on this machine, so that no proxy is asked.

        Raises:
            Failed: no answer came.
        """
        parts = urlsplit(url)
        place = f"{parts.scheme}://{parts.netloc}"
        target = (parts.path or "/") + ("?" + parts.query if parts.query else "")
        proxy = "" if inside else _proxy(parts.scheme, parts.hostname or "")
        if proxy and parts.scheme == "http":
            target = place + target
        connection = self._take(place, proxy, wait)
        connected = connection.sock is not None
        try:
            if not connected:
                connection.connect()
            connection.sock.settimeout(wait or _SILENCE)
            sent = {"host": parts.netloc, "user-agent": "flow-s3", **headers}
            connection.request(method, target, body or None, sent)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise _unanswered(error, what or place, place, connection.sock is not None) from None
        if answer.will_close:
            connection.close()
        else:
            self._idle.append((place, connection))
        named = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, named, content)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop()[1].close()

    def _take(self, place: str, proxy: str, wait: float) -> http.client.HTTPConnection:
        for at in range(len(self._idle) - 1, -1, -1):
            try:
                kept = self._idle.pop(at)
            except IndexError:
                break  # another thread has taken it
            if kept[0] == place:
                return kept[1]
            self._idle.insert(0, kept)
        secure, _, host = place.partition("://")
        through = urlsplit(proxy).netloc.rpartition("@")[2] if proxy else host
        if secure == "http":
            return http.client.HTTPConnection(through, timeout=wait or _CONNECT)
        made = http.client.HTTPSConnection(through, timeout=wait or _CONNECT, context=self._trust())
        if proxy:
            made.set_tunnel(host)
        return made

    def _trust(self) -> Any:
        import ssl

        if self._context is None:
            context = ssl.create_default_context()
            if self._config.get("verify") is False:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            elif os.environ.get("AWS_CA_BUNDLE"):
                context.load_verify_locations(os.environ["AWS_CA_BUNDLE"])
            elif self._config.get("ca"):
                context.load_verify_locations(cadata=self._config["ca"])
            self._context = context
        return self._context


def _proxy(scheme: str, host: str) -> str:
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return ""
    from urllib.request import getproxies, proxy_bypass  # which takes its time

    found = "" if proxy_bypass(host) else getproxies().get(scheme, "")
    return found if "://" in found or not found else "http://" + found


def _unanswered(error: BaseException, what: str, place: str, connected: bool) -> Failed:
    import ssl

    said = _words(error)
    if isinstance(error, ssl.SSLCertVerificationError) or (
        isinstance(error, ssl.SSLError) and not connected
    ):
        text = f"there is no secure connection to {place}: {said}"
        return Failed(text, "name its CA certificates there: AWS_CA_BUNDLE=file.pem")
    hint = f"check that {place} can be reached from there"
    if isinstance(error, socket.gaierror):
        said = f"there is no such host: {said}"
    return Failed(f"{what} does not answer at {place}: {said}", hint, True, connected)


def _words(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


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


def _escape(key: str) -> str:
    """Return the key under which the store keeps ``key`` in the bucket."""
    return _ODD.sub(lambda found: f"%{ord(found.group()):02X}", key)


def _element(text: str, name: str) -> str:
    found = re.search(f"<{name}>(.*?)</{name}>", text, re.DOTALL)
    return found.group(1).strip() if found else ""


def _seconds(text: str) -> float:
    """``2030-01-02T03:04:05Z`` → seconds since the epoch."""
    return float(timegm(time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S")))


def _domain(region: str) -> str:
    return "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
