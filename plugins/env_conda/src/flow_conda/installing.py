"""Fetching packages and making environments of them: in the process of `flow_conda.worker`.

Packages are kept in a cache as they were fetched, under their SHA-256::

    CACHE/archives/<sha256>/<file>   whole and verified
    CACHE/pkgs/…                     unpacked: environments have hard links to it
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import rattler
from rattler import (
    BuildString,
    Channel,
    Client,
    InstallerReporter,
    PackageRecord,
    RepoDataRecord,
    Subdir,
)
from rattler.package_streaming import download_to_writer

from flow_conda import trouble
from flow_conda.archives import archive_path, digest_of, public_url
from flow_core.api import NoEnvironment

_AT_ONCE = 8  # downloads
_CHUNK = 1 << 20
_OFTEN = 0.1  # seconds between news
_LONG_AGO = 3600.0  # seconds after which nobody writes a file any more
_FETCHED = 0.6  # how much of the work is done when all packages are there

Tell = Callable[[str, float], None]


async def install(job: Mapping[str, Any]) -> dict[str, Any]:
    """Fetch what the cache lacks; make the environment, if nothing is missing.

    Args:
        job: ``packages`` (of the lock), ``prefix``, ``cache``, ``offline``, ``channels`` with their
            passwords, ``platform``, and ``news``, a file.

    Returns:
        ``fetched``: the SHA-256 of what was fetched; ``failed``: SHA-256 → the error.
    """
    packages: Sequence[Mapping[str, Any]] = job["packages"]
    tell = _teller(job["news"])
    missing = [p for p in packages if not _is_here(job["cache"], p)]
    failed: dict[str, Any] = {}
    if missing and job["offline"]:
        names = [f"{p['name']} {p['version']}" for p in missing]
        error = trouble.parts(trouble.missing_offline(names, job["cache"]))
        failed = {p["sha256"]: error for p in missing}
    elif missing:
        failed = await _Fetching(job, tell).all(missing)
    if not failed:
        await _link(job, packages, tell)
    done = [p["sha256"] for p in missing if p["sha256"] not in failed]
    return {"fetched": done, "failed": failed}


def _is_here(cache: str, package: Mapping[str, Any]) -> bool:
    """Whether a package is in the cache; one that is damaged is removed."""
    path = archive_path(cache, package)
    if not os.path.isfile(path):
        return False
    if digest_of(path) == package["sha256"]:
        return True
    os.unlink(path)
    return False


class _Fetching:
    """Fetches packages into the cache.

    Args:
        job: see `install`.
        tell: told of what was done.
    """

    def __init__(self, job: Mapping[str, Any], tell: Tell) -> None:
        self._cache: str = job["cache"]
        self._tell = tell
        self._client = Client.default_client()
        secret = [Channel(name).base_url for name in job["channels"]]
        self._secret = {public_url(url): url for url in secret if public_url(url) != url}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._bytes = self._total = 0
        self._names: list[str] = []

    async def all(self, packages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Fetch packages; return the errors of those that could not be."""
        self._total = sum(p.get("size") or 0 for p in packages) or 1
        errors = await asyncio.gather(*map(self._one, packages))
        pairs = zip(packages, errors, strict=True)
        return {p["sha256"]: trouble.parts(e) for p, e in pairs if e is not None}

    async def _one(self, package: Mapping[str, Any]) -> NoEnvironment | None:
        path = archive_path(self._cache, package)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        _remove_leftovers(path)
        temporary = f"{path}.{os.getpid()}"
        async with self._slots:
            self._names.append(package["name"])
            try:
                with open(temporary, "wb") as file:
                    writer = _Writer(file, self._count)
                    await self._get(package["url"], writer)
                if writer.full is not None:
                    raise writer.full
                found = writer.digest.hexdigest()
                if found != package["sha256"]:
                    return trouble.changed(
                        package["name"], package["url"], package["sha256"], found
                    )
                os.replace(temporary, path)
            except Exception as error:  # rattler has no class for it, only a text
                if trouble.is_full(str(error)):
                    return trouble.disk_full(self._cache)
                return trouble.not_fetched(package["name"], package["url"], str(error))
            finally:
                self._names.remove(package["name"])
                with suppress(OSError):
                    os.unlink(temporary)
        return None

    async def _get(self, url: str, writer: _Writer) -> None:
        parts = urlsplit(url)
        if parts.scheme == "file":
            with open(unquote(parts.path), "rb") as file:
                while chunk := file.read(_CHUNK):
                    writer.write(chunk)
                    await asyncio.sleep(0)
            return
        for plain, secret in self._secret.items():
            if url.startswith(plain):
                url = secret + url.removeprefix(plain)
        await download_to_writer(self._client, url, writer)

    def _count(self, size: int) -> None:
        self._bytes += size
        part = min(1.0, self._bytes / self._total)
        done, total = self._bytes / 1e6, self._total / 1e6
        names = ", ".join(self._names[:2]) + (", …" if len(self._names) > 2 else "")
        self._tell(f"fetching {names}: {done:.1f} of {total:.1f} MB", part * _FETCHED)


def _remove_leftovers(path: str) -> None:
    """Remove what processes that were killed have left of a package, when nobody can write it now."""
    for name in os.listdir(os.path.dirname(path)):
        other = os.path.join(os.path.dirname(path), name)
        with suppress(FileNotFoundError):
            if other.startswith(f"{path}.") and time.time() - os.stat(other).st_mtime > _LONG_AGO:
                os.unlink(other)


class _Writer:
    """A file that is being fetched; it is hashed and counted on the way."""

    def __init__(self, file: Any, count: Callable[[int], None]) -> None:
        self.digest = hashlib.sha256()
        self.full: OSError | None = None
        self._file = file
        self._count = count

    def write(self, data: bytes) -> int:
        """Take the next bytes."""
        try:
            self._file.write(data)
        except OSError as error:
            self.full = error  # rattler would tell something else of it
            raise
        self.digest.update(data)
        self._count(len(data))
        return len(data)


# --- installing ---------------------------------------------------------------------------------


async def _link(job: Mapping[str, Any], packages: Sequence[Mapping[str, Any]], tell: Tell) -> None:
    cache = job["cache"]
    records = [record_of(p, archive_path(cache, p)) for p in packages]
    await rattler.install(
        records,
        job["prefix"],
        cache_dir=os.path.join(cache, "pkgs"),  # type: ignore[arg-type]
        installed_packages=[],
        platform=Subdir(job["platform"]),
        execute_link_scripts=False,  # they may do anything, on the machine of whoever builds
        show_progress=False,
        reporter=_Reporter(tell, len(records)),  # type: ignore[abstract]
    )


def record_of(package: Mapping[str, Any], path: str) -> RepoDataRecord:
    """Return the record of a package of a lock, which lies in the file ``path``."""
    record = PackageRecord(
        package["name"],
        package["version"],
        BuildString(package["build"]),
        package["build_number"],
        package["subdir"],
        noarch=package.get("noarch"),
        depends=package.get("depends", []),
        constrains=package.get("constrains", []),
        sha256=bytes.fromhex(package["sha256"]),
        md5=bytes.fromhex(package["md5"]) if "md5" in package else None,
        size=package.get("size"),
        license=package.get("license"),
        python_site_packages_path=package.get("python_site_packages_path"),
    )
    return RepoDataRecord(record, package["fn"], Path(path).as_uri(), package["channel"])


class _Reporter(InstallerReporter):
    """Tells how far rattler is.

    Args:
        tell: told of it.
        count: packages that are installed.
    """

    def __init__(self, tell: Tell, count: int) -> None:
        self._tell = tell
        self._count = count
        self._done = 0

    def on_populate_cache_start(self, operation: int, package_name: str) -> int:
        """A package is unpacked."""
        self._say(f"unpacking {package_name}")
        return 0

    def on_link_start(self, operation: int, package_name: str) -> int:
        """Its files are linked."""
        self._say(f"installing {package_name}")
        return 0

    def on_link_complete(self, index: int) -> None:
        """It is installed."""
        self._done += 1

    def _say(self, what: str) -> None:
        part = _FETCHED + (0.95 - _FETCHED) * self._done / self._count
        self._tell(f"{what} ({self._done} of {self._count})", part)


def _teller(path: str) -> Tell:
    last = 0.0

    def tell(text: str, part: float) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _OFTEN:
            last = now
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps([text, round(part, 3)]) + "\n")

    return tell
