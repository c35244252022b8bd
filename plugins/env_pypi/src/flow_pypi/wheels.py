"""Wheels by their hash: in the cache of this machine, in the mirror, in folders, at their URL."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler

from flow_core.api import EnvironmentWork, NoEnvironment
from flow_pypi.pylock import Package
from flow_pypi.sources import Sources, hide
from flow_pypi.trouble import changed

_CHUNK = 1 << 18  # bytes
_AT_ONCE = 8  # downloads
_PATIENCE = 60.0  # seconds without a byte
_LOOK = 0.1  # seconds between words on the progress


class Wheels:
    """The wheels that are at hand. What is in its folder is whole, and has the hash of its folder.

    Args:
        work: see `EnvironmentWork`.
        sources: where packages come from.
    """

    def __init__(self, work: EnvironmentWork, sources: Sources) -> None:
        self._work = work
        self._sources = sources
        self._folder = os.path.join(work.cache, "wheels")

    def path(self, package: Package) -> str:
        """Return where the wheel is, or would be."""
        return os.path.join(self._folder, package.sha256, package.file)

    def has(self, package: Package) -> bool:
        """Whether the wheel is at hand."""
        return os.path.isfile(self.path(package))

    def take(self, package: Package, path: str) -> None:
        """Copy the wheel of a package into the cache.

        Raises:
            NoEnvironment: it is not what its lock says.
        """
        with self._new(package) as new:
            shutil.copyfile(path, new)

    def keep(self, packages: Sequence[Package]) -> None:
        """Put wheels that are at hand into the mirror, if there is one."""
        mirror = self._work.mirror
        if mirror is None:
            return
        for package in packages:
            self._work.tell(f"mirroring {package.name} {package.version}")
            mirror.keep(package.sha256, self.path(package))

    def find(self, packages: Sequence[Package]) -> list[Package]:
        """Get wheels without an index: from the cache, folders and the mirror; return the others.

        The mirror goes before the folders, which count as an index, where it is to be used anyway.
        """
        mirror_first = self._work.offline or bool(self._work.setting("mirror_packages"))
        ways = (
            [self._mirrored, self._in_folder] if mirror_first else [self._in_folder, self._mirrored]
        )
        return [p for p in packages if not (self.has(p) or any(way(p) for way in ways))]

    def _in_folder(self, package: Package) -> bool:
        for folder in self._sources.folders():
            path = os.path.join(folder, package.file)
            if os.path.isfile(path) and sha256_of(path) == package.sha256:
                self.take(package, path)
                return True
        return False

    def _mirrored(self, package: Package) -> bool:
        mirror = self._work.mirror
        if mirror is None:
            return False
        place = self.path(package)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        new = f"{place}.{os.getpid()}.{threading.get_ident()}"
        try:
            if not mirror.fetch(package.sha256, new):
                return False
            os.replace(new, place)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(new)
        return True

    def fetch(self, packages: Sequence[Package]) -> None:
        """Download wheels from their URLs, several at once.

        Raises:
            NoEnvironment: one is not there, or is another one.
        """
        from concurrent.futures import ThreadPoolExecutor, as_completed

        total = sum(p.size for p in packages)
        done = _Counter()
        stop = threading.Event()
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="fetch") as pool:
            jobs = [pool.submit(self._download, p, done, stop) for p in packages]
            try:
                while not all(job.done() for job in jobs):
                    part = min(1.0, done.bytes / total) * 0.8 if total else None
                    what = f"fetching {len(packages)} packages"
                    self._work.tell(f"{what}, {amount(total)}" if total else what, part)
                    stop.wait(_LOOK)
                    for job in jobs:
                        if job.done():
                            job.result()
                for job in as_completed(jobs):
                    job.result()
            finally:
                stop.set()

    def _download(self, package: Package, done: _Counter, stop: threading.Event) -> None:
        with self._new(package) as new:
            download(package.url, new, self._sources, stop, done.add)

    @contextmanager
    def _new(self, package: Package) -> Iterator[str]:
        """Give a path for the wheel, which appears in its place when it is whole."""
        place = self.path(package)
        os.makedirs(os.path.dirname(place), exist_ok=True)
        new = f"{place}.{os.getpid()}.{threading.get_ident()}"
        try:
            yield new
            found = sha256_of(new)
            if found != package.sha256:
                raise changed(
                    f"{package.name} {package.version}", package.sha256, found, package.url
                )
            os.replace(new, place)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(new)


class _Counter:
    """Counts bytes for several threads."""

    def __init__(self) -> None:
        self.bytes = 0
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        with self._lock:
            self.bytes += count


def amount(size: int) -> str:
    """Return a number of bytes for people: ``12.3 MB``."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{size / 1e3:.1f} kB"


def sha256_of(path: str) -> str:
    """Return the SHA-256 of a file, as hex digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextmanager
def temporary(work: EnvironmentWork) -> Iterator[str]:
    """A folder on the disk of the cache, which is removed."""
    with tempfile.TemporaryDirectory(dir=work.cache, prefix="tmp-") as folder:
        yield folder


# --- one file from the network ----------------------------------------------------------------------


def download(
    url: str,
    path: str,
    sources: Sources,
    stop: threading.Event,
    count: Callable[[int], object] = lambda _: None,
) -> None:
    """Write what is at a URL into a file.

    Raises:
        NoEnvironment: it cannot be had.
        KeyboardInterrupt: nobody wants it any more.
    """
    import urllib.error
    import urllib.request

    request = urllib.request.Request(
        url, headers={"User-Agent": "flow-pypi", **_login(url, sources)}
    )
    handlers: list[Any] = [_Redirects()]
    if url.startswith("https:"):
        handlers.append(urllib.request.HTTPSHandler(context=_tls(url, sources)))
    opener = urllib.request.build_opener(*handlers)
    try:
        with (
            opener.open(request, timeout=_PATIENCE) as answer,
            open(path, "wb") as file,
        ):
            while chunk := answer.read(_CHUNK):
                if stop.is_set():
                    raise KeyboardInterrupt
                file.write(chunk)
                count(len(chunk))
    except urllib.error.HTTPError as error:
        raise _unreachable(url, f"HTTP {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise _unreachable(url, str(error.reason)) from None
    except (TimeoutError, ConnectionError) as error:
        raise _unreachable(url, str(error) or type(error).__name__) from None


class _Redirects(HTTPRedirectHandler):
    """Follows redirects; another server does not get the password of the first."""

    def redirect_request(
        self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: Any
    ) -> Any:
        following = super().redirect_request(req, fp, code, msg, headers, newurl)
        before, after = urlsplit(req.full_url), urlsplit(newurl)
        if following is not None and (before.scheme, before.netloc) != (after.scheme, after.netloc):
            following.remove_header("Authorization")
        return following


def _unreachable(url: str, why: str) -> NoEnvironment:
    return NoEnvironment(
        f"'{os.path.basename(urlsplit(url).path)}' cannot be fetched",
        where=hide(url),
        why=why,
        hint="check the network and the index; a mirror in the datastore needs neither: "
        "FLOW_MIRROR_PACKAGES=1 while there is one",
    )


def _login(url: str, sources: Sources) -> dict[str, str]:
    """Return the header with user and password: of an index on the same host, of ~/.netrc, or of
    the keyring, as uv finds them."""
    import base64

    parts = urlsplit(url)
    found: tuple[str, str] | None = None
    for index in sources.urls():
        other = urlsplit(index)
        same = (other.scheme, other.netloc.rpartition("@")[2])
        if other.username and same == (parts.scheme, parts.netloc.rpartition("@")[2]):
            user, word = unquote(other.username), unquote(other.password or "")
            found = (user, word or _from_keyring(index, user))
    found = found or _from_netrc(parts.hostname or "")
    if found is None:
        return {}
    text = base64.b64encode(":".join(found).encode()).decode()
    return {"Authorization": f"Basic {text}"}


def _from_netrc(host: str) -> tuple[str, str] | None:
    import netrc

    try:
        known = netrc.netrc(os.environ.get("NETRC") or None).authenticators(host)
    except (OSError, netrc.NetrcParseError):
        return None
    return (known[0], known[2] or "") if known else None


def _from_keyring(url: str, user: str) -> str:
    import subprocess

    if os.environ.get("UV_KEYRING_PROVIDER") != "subprocess":
        return ""
    try:
        words = ["keyring", "get", urlsplit(url).hostname or url, user]
        done = subprocess.run(words, capture_output=True, text=True, timeout=_PATIENCE, check=False)
    except OSError:
        return ""
    return done.stdout.strip()


def _tls(url: str, sources: Sources) -> Any:
    import ssl

    if not url.startswith("https:"):
        return None
    context = ssl.create_default_context(cafile=sources.certificates or None)
    parts = urlsplit(url)
    if {parts.hostname, parts.netloc} & {*sources.insecure}:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
