"""`S3`: objects in buckets, in the way that flows elsewhere know; `flow_files.Files` underneath."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_core.api import Settings, files_prefix, near_misses
from flow_files import (
    FileObject,
    FileRange,
    Files,
    FilesAccessDenied,
    FilesError,
    FilesInsufficientDiskSpace,
    FilesInvalidObject,
    FilesInvalidRange,
    FilesNotFound,
    FilesURLError,
    FileUpload,
    Place,
    run_of,
)
from flow_s3.settings import declare
from flow_s3.store import S3Store

if TYPE_CHECKING:
    from flow_core.api import Store
    from flow_files import Target

S3GetObject = FileRange
S3PutObject = FileUpload
S3Error = FilesError
S3URLError = FilesURLError
S3NotFound = FilesNotFound
S3AccessDenied = FilesAccessDenied
S3InvalidRange = FilesInvalidRange
S3InvalidObject = FilesInvalidObject
S3InsufficientDiskSpace = FilesInsufficientDiskSpace

_SCHEME = "s3://"
_OF_METAFLOW = "metaflow-user-attributes"


class S3Object(FileObject):
    """An object in a bucket, or a key below which there are some, or nothing. Since 0.1."""

    __slots__ = ()

    @property
    def metadata(self) -> dict[str, str] | None:
        """The texts that were put with it, by name; also those that Metaflow put. None: there are none."""
        found = super().metadata
        if found is None or _OF_METAFLOW not in found:
            return found
        kept = dict(found)
        try:
            return {**json.loads(kept.pop(_OF_METAFLOW)), **kept}
        except (ValueError, TypeError):
            return found  # another program uses the name


class S3(Files):
    """Reads and writes objects in buckets of S3, and of services that speak its language.

    ::

        with S3(run=self) as s3:
            url = s3.put("report.csv", "title,year\\n")

        with S3(s3root="s3://bucket/folder") as s3:
            tables = s3.get_many(["a.csv", "b.csv"])

    It is `Files` for S3 alone, with the arguments that flows elsewhere use. Of ``run``, ``bucket``
    and ``s3root`` at most one is given; without them each key is a full URL.

    Args:
        tmproot: folder for temporary files; None = the system's.
        bucket: name of a bucket, below which keys lie.
        prefix: what keys lie below in the bucket.
        run: keys lie beside this run; see `Files`. Its datastore is a bucket; or the setting
            ``s3_root`` names one, below which files then lie in the same way.
        s3root: keys lie below this URL, ``s3://bucket/folder``.
        encryption: how the service is to encrypt what is put: ``AES256``, ``aws:kms``.
        role: ARN of a role to assume.
        session_vars: what a session of boto3 would be given: ``region_name``, ``profile_name``.
        client_params: what a client of boto3 would be given: ``endpoint_url``, ``region_name``,
            ``verify``.
        external_client: not offered: no client of boto3 is used.
        progress: see `Files`.

    Raises:
        S3URLError: the arguments contradict each other, or one is not known.
        S3NotFound: there is no run of this name.

    Since 0.1.
    """

    _object = S3Object

    def __init__(
        self,
        tmproot: str | None = None,
        bucket: str | None = None,
        prefix: str | None = None,
        run: Any = None,
        s3root: str | None = None,
        encryption: str | None = None,
        role: str | None = None,
        session_vars: Mapping[str, Any] | None = None,
        client_params: Mapping[str, Any] | None = None,
        external_client: Any = None,
        *,
        progress: bool | None = None,
    ) -> None:
        self._check_roots(run, s3root, bucket, prefix)
        if external_client is not None:
            raise _refused(
                "external_client cannot be given",
                "no client of boto3 is used",
                "leave it out; client_params={'endpoint_url': …} names another service",
            )
        self._chosen: dict[str, Any] = {
            **_settings_of("session_vars", session_vars, _SESSION),
            **_settings_of("client_params", client_params, _CLIENT),
        }
        if role is not None:
            self._chosen["s3_role"] = role
        if encryption is not None:
            self._chosen["s3_encryption"] = _encryption(encryption)
        self._with_encryption: dict[tuple[str, str], S3Store] = {}
        if run is not None:
            place: Place | None = self._beside(run)
        elif s3root is not None or bucket is not None:
            place = Place(self._open_store(s3root or _url(str(bucket), prefix)))
        else:
            place = None
        self._begin(place, tmproot, progress)

    @staticmethod
    def _check_roots(run: Any, s3root: str | None, bucket: str | None, prefix: str | None) -> None:
        given = {"run": run, "s3root": s3root, "bucket": bucket}
        names = [name for name, value in given.items() if value is not None]
        if len(names) > 1:
            raise _refused(
                f"{' and '.join(names)} are given together",
                "keys lie below one of them",
                "S3(run=self), S3(s3root='s3://bucket/folder') or S3(bucket='bucket')",
            )
        if prefix is not None and bucket is None:
            raise _refused(
                "A prefix is given without a bucket",
                "it is a folder in a bucket",
                f"S3(bucket='bucket', prefix={prefix!r}), or S3(s3root='s3://bucket/{prefix}')",
            )

    def _beside(self, run: Any) -> Place:
        """Return where the files of a run lie: in its datastore, or below the setting ``s3_root``."""
        store, flow, number = run_of(run)
        if store.url.startswith(_SCHEME):
            here: Store = self._open_store(store.url) if self._chosen else store
            return Place(here, files_prefix(flow, number))
        settings = Settings()
        declare(settings)
        root = settings["s3_root"]
        if not root:
            raise _refused(
                f"The run {flow}/{number} has no bucket",
                f"its datastore is {store.url}",
                "Files(run=self) works with any datastore; or say below which bucket files of runs "
                "lie: FLOW_S3_ROOT=s3://bucket/folder",
                where=store.url,
            )
        return Place(self._open_store(_with_scheme(root)), files_prefix(flow, number))

    def _open_store(self, url: str) -> Store:
        if not isinstance(url, str) or not url.startswith(_SCHEME) or url == _SCHEME:
            raise _refused(
                f"{url!r} is no URL of S3",
                "it names a bucket, and a folder or an object in it",
                "'s3://bucket/folder'; Files takes the URLs of other stores",
            )
        return open_bucket(url.removeprefix(_SCHEME), self._chosen)

    def _encrypted(self, target: Target, encryption: str) -> Target:
        """Return a target whose store encrypts as is said."""
        if self._chosen.get("s3_encryption") == _encryption(encryption):
            return target
        url = target.store.url
        if (url, encryption) not in self._with_encryption:
            chosen = {**self._chosen, "s3_encryption": encryption}
            store = open_bucket(url.removeprefix(_SCHEME), chosen)
            self._with_encryption[url, encryption] = store
        return target._replace(store=self._with_encryption[url, encryption])


# --- stores that are open -----------------------------------------------------------------------

_MOST = 8
_AGE = 60.0
_open: dict[Any, tuple[float, S3Store]] = {}
_lock = threading.Lock()


def open_bucket(root: str, chosen: Mapping[str, Any]) -> S3Store:
    """Return a store of a bucket, which objects made within a minute share with its connections.

    After that it is made anew, since files with settings and credentials may have changed. Variables
    that have changed count at once.
    """
    variables = Settings().script_environment().items()
    named = frozenset(item for item in variables if item[0].startswith(("AWS_", "FLOW_")))
    key = root, frozenset(chosen.items()), named, os.getcwd()
    now = time.monotonic()
    with _lock:
        found = _open.get(key)
        if found is not None and now - found[0] < _AGE:
            return found[1]
    store = S3Store(root, settings=chosen)
    with _lock:
        while len(_open) >= _MOST:
            del _open[next(iter(_open))]
        _open[key] = now, store
    return store


# --- arguments ----------------------------------------------------------------------------------


class _Meaning(NamedTuple):
    """What an argument for boto3 means here: a setting, or why it means nothing."""

    setting: Callable[[Any], tuple[str, Any]] | None
    why: str = ""
    hint: str = ""


def _as(name: str) -> _Meaning:
    return _Meaning(lambda value: (name, value))


def _verify(value: Any) -> tuple[str, Any]:
    return ("s3_verify", value) if isinstance(value, bool) else ("s3_ca_bundle", str(value))


_CREDENTIALS = _Meaning(
    None,
    "credentials are not written into the source of flows",
    "export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a profile: "
    "session_vars={'profile_name': …}",
)
_KEYS = dict.fromkeys(
    ("aws_access_key_id", "aws_secret_access_key", "aws_session_token"), _CREDENTIALS
)
_SESSION: dict[str, _Meaning] = {
    "region_name": _as("s3_region"),
    "profile_name": _as("s3_profile"),
    **_KEYS,
}
_CLIENT: dict[str, _Meaning] = {
    "endpoint_url": _as("s3_endpoint_url"),
    "region_name": _as("s3_region"),
    "verify": _Meaning(_verify),
    "config": _Meaning(
        None,
        "it is an object of botocore, which is not used",
        "use settings: FLOW_S3_PATH_STYLE, FLOW_S3_RETRY_TIME",
    ),
    "use_ssl": _Meaning(
        None, "the URL of the service says it", "client_params={'endpoint_url': 'http://…'}"
    ),
    **_KEYS,
}


def _settings_of(
    argument: str, given: Mapping[str, Any] | None, known: Mapping[str, _Meaning]
) -> dict[str, Any]:
    """Return the settings that say what was given for boto3."""
    found = {}
    for name, value in (given or {}).items():
        meaning = known.get(name)
        if meaning is None:
            usable = [n for n, m in known.items() if m.setting is not None]
            close = near_misses(str(name), known)
            raise _refused(
                f"{argument} has an unknown entry '{name}'",
                "only what has a meaning here is taken",
                f"did you mean '{close[0]}'?" if close else "known: " + ", ".join(usable),
            )
        if meaning.setting is None:
            raise _refused(f"{argument} cannot have '{name}'", meaning.why, meaning.hint)
        setting, translated = meaning.setting(value)
        found[setting] = translated
    return found


def _encryption(name: str) -> str:
    settings = Settings()
    declare(settings)
    choices = next(s.choices for s in settings.declared() if s.name == "s3_encryption")
    if name not in choices or not name:
        raise _refused(
            f"There is no encryption {name!r}",
            "a service of this kind has a few, by name",
            "one of: " + ", ".join(filter(None, choices)),
        )
    return name


def _url(bucket: str, prefix: str | None) -> str:
    if "/" in bucket or not bucket:
        raise _refused(
            f"{bucket!r} is no name of a bucket",
            "it has no '/' in it",
            "S3(bucket='name', prefix='folder'), or S3(s3root='s3://name/folder')",
        )
    folder = (prefix or "").strip("/")
    return f"{_SCHEME}{bucket}/{folder}" if folder else f"{_SCHEME}{bucket}"


def _with_scheme(root: str) -> str:
    return root if root.startswith(_SCHEME) else f"{_SCHEME}{root}"


def _refused(what: str, why: str, hint: str, where: str | None = None) -> FilesURLError:
    return FilesURLError(what, where=where, why=why, hint=hint)
