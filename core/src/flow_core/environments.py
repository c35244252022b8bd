"""Environments on this machine: locks, and interpreters that are built from them once.

All that is the same for every provider is done here: a request is not resolved twice, of several
processes that want one environment one builds it, and what is half built is never used.

    ROOT/PROVIDER/KEY/           the environment: a provider's own business
    ROOT/PROVIDER/KEY.json       written last: without it, the folder is half built
    ROOT/PROVIDER/KEY.lock       held by who builds, and by the programs that it runs
    ROOT/PROVIDER/resolved/…     request → lock
    ROOT/PROVIDER/resolving-….lock   held by who resolves a request, and by the programs that it runs
    ROOT/PROVIDER/locks/KEY.json the lock itself; it stays when the environment goes
    ROOT/PROVIDER/cache/         the provider's downloads
"""

from __future__ import annotations

import errno
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, TypeGuard

from flow_core.errors import FlowError, NoEnvironment, PluginError
from flow_core.interfaces import (
    Environment,
    EnvironmentRequest,
    Interpreter,
    PackageMirror,
)

FORMAT = 1
_KEY = 16  # characters of a hash in paths: interpreters have a limit for the length of theirs
_WAIT = 0.05  # seconds between looks at a lock that somebody else holds
_OLDEST = (3, 10)  # Python that flow-core runs in

# What it imports is imported anyway: the library that knows distributions would take longer than the
# interpreter itself. Installers name the folders of metadata ``NAME-VERSION.dist-info``.
_PROBE = """
import os, sys

def version_in(folder):
    for name in ("METADATA", "PKG-INFO"):
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            with open(path, encoding="utf-8", errors="replace") as file:
                for line in file:
                    if line.startswith("Version:"):
                        return line[8:].strip()
    return ""

found = {}
for folder in sys.path:
    if not os.path.isdir(folder):
        continue
    for name in sorted(os.listdir(folder)):
        stem, _, end = name.rpartition(".")
        if end in ("dist-info", "egg-info"):
            name, _, rest = stem.partition("-")
            version = rest.partition("-")[0] or version_in(os.path.join(folder, stem + "." + end))
            found.setdefault(name.lower().replace("_", "-").replace(".", "-"), version)
facts = [".".join(map(str, sys.version_info[:3])), sys.implementation.name]
facts += [text for pair in found.items() for text in pair]
sys.stdout.write("\\n" + "\\t".join(facts))
"""


class EnvironmentLock(NamedTuple):
    """A lock, with its name.

    Attributes:
        provider: name of the environment provider.
        hash: BLAKE3 of `text`, 64 hex digits: the key of the blob in the store, too.
        text: the lock in its one canonical form as JSON.

    Since 0.1.
    """

    provider: str
    hash: str
    text: str

    @property
    def data(self) -> dict[str, Any]:
        """The lock as the provider made it; a new copy each time."""
        data: dict[str, Any] = json.loads(self.text)
        return data

    @property
    def name(self) -> str:
        """``venv 1a2b3c4d``, for people."""
        return f"{self.provider} {self.hash[:8]}"

    @classmethod
    def of(cls, provider: str, data: Mapping[str, Any]) -> EnvironmentLock:
        """Return the lock for what a provider made.

        Raises:
            TypeError, ValueError: it is no JSON data.
        """
        return cls.read(provider, canonical(data))

    @classmethod
    def read(cls, provider: str, text: str) -> EnvironmentLock:
        """Return the lock whose canonical form is ``text``."""
        from blake3 import blake3

        return cls(provider, blake3(text.encode()).hexdigest(), text)


class ReadyEnvironment(NamedTuple):
    """An environment on this machine.

    Attributes:
        provider: name of its provider.
        lock: hash of its lock.
        folder: its home.
        interpreter: path of its Python.
        variables: environment variables for processes of that Python.
        python: version of it, ``3.12.4``.
        implementation: ``cpython``, ``pypy``.
        packages: distributions that it has: normalised name → version.
        made_at: when it was built, seconds since the epoch.

    Since 0.1.
    """

    provider: str
    lock: str
    folder: str
    interpreter: str
    variables: Mapping[str, str]
    python: str
    implementation: str
    packages: Mapping[str, str]
    made_at: float

    @property
    def name(self) -> str:
        """``venv 1a2b3c4d``, for people."""
        return f"{self.provider} {self.lock[:8]}"

    @property
    def python_minor(self) -> str:
        """``3.12``."""
        return minor(self.python)


def minor(version: str) -> str:
    """``3.12`` for ``3.12.4``."""
    return ".".join(version.split(".")[:2])


def canonical(data: Any) -> str:
    """Return the one JSON text of ``data``: sorted keys, no spaces.

    Raises:
        TypeError, ValueError: it is no JSON data.
    """
    text = json.dumps(
        data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    if json.loads(text) != data:
        raise ValueError("it has tuples, or keys that are no texts, which JSON does not keep")
    return text


def this_platform() -> str:
    """Return the platform of this process as requests have it: ``linux-x86_64``, ``macos-arm64``."""
    systems = {"darwin": "macos", "win32": "windows"}
    if hasattr(os, "uname"):
        machine = os.uname().machine
    else:  # to import it costs more than all the rest
        import platform

        machine = platform.machine()
    return f"{systems.get(sys.platform, sys.platform)}-{machine.lower()}"


def request_digest(request: EnvironmentRequest) -> str:
    """Return a hash of all that a request asks for."""
    from blake3 import blake3

    data = {**request._asdict(), "requirements": list(request.requirements)}
    return blake3(canonical(data).encode()).hexdigest()[:32]


Tell = Callable[[str, "float | None"], None]


class EnvironmentBuilder:
    """Resolves and builds the environments of one provider, below one folder of this machine.

    Args:
        name: name of the provider.
        provider: the provider.
        root: where environments of all providers lie; made when it is needed.
        setting: returns a setting's value; None = there are none.
        offline: whether no network may be used.
        tell: called with what the provider tells: a line, and how much is done, 0 to 1, or None.
        cancelled: set when nobody wants the work any more.
        version: of the provider's distribution: another one resolves anew.
        mirror: packages in the datastore; None = there is none.

    Since 0.1.
    """

    def __init__(
        self,
        name: str,
        provider: Environment,
        root: str,
        *,
        setting: Callable[[str], Any] | None = None,
        offline: bool = False,
        tell: Tell | None = None,
        cancelled: threading.Event | None = None,
        version: str = "",
        mirror: PackageMirror | None = None,
    ) -> None:
        self.name = name
        self._provider = provider
        self._root = os.path.abspath(root)
        self._folder = os.path.join(self._root, name)
        self._setting = setting or _no_settings
        self._offline = offline
        self._tell = tell or _tell_nobody
        self._cancelled = cancelled or threading.Event()
        self._version = version
        self._mirror = mirror

    # --- resolving ------------------------------------------------------------------------------

    def resolve(self, request: EnvironmentRequest, *, anew: bool = False) -> EnvironmentLock:
        """Return the lock for a request: the one that it got before, unless ``anew``.

        Raises:
            FlowError: nothing fits, or the provider is at fault.
            KeyboardInterrupt: nobody wants it any more.
        """
        known = None if anew else self.known(request)
        if known is not None:
            return known
        place = os.path.join(self._folder, f"resolving-{self._digest(request)[:_KEY]}")
        # Held, too, against who cleans up: downloads lie in the cache meanwhile.
        told = "waiting for another process, which resolves it"
        with needing_room(self._root), self._locked(place, told) as descriptor:
            known = None if anew else self.known(request)
            if known is not None:
                return known
            with self._blaming("resolve"):
                data = self._provider.resolve(request, self._work(descriptor))
                lock = self._lock(data)
            _write(self._resolved(request), lock.text)
        return lock

    def known(self, request: EnvironmentRequest) -> EnvironmentLock | None:
        """Return the lock that a request got before on this machine; None if there was none."""
        text = _read(self._resolved(request))
        return None if text is None else EnvironmentLock.read(self.name, text)

    def _digest(self, request: EnvironmentRequest) -> str:
        """Return a hash of all that a request asks for, and of where packages come from."""
        digest = request_digest(request)
        provider: Any = self._provider
        if not provider.capabilities.origins:
            return digest
        from blake3 import blake3

        with self._blaming("origins"):
            origins = canonical(provider.origins(request, self._work()))
        return blake3(f"{digest}{origins}".encode()).hexdigest()[:32]

    def _resolved(self, request: EnvironmentRequest) -> str:
        digest = self._digest(request)
        key = f"{digest}-{self._version}" if self._version else digest
        return os.path.join(self._folder, "resolved", f"{key}.json")

    def _lock(self, data: Any) -> EnvironmentLock:
        try:
            if not isinstance(data, Mapping):
                raise TypeError(f"it is a {type(data).__name__}, not a mapping")
            return EnvironmentLock.of(self.name, dict(data))
        except (TypeError, ValueError) as error:
            raise PluginError(
                f"The environment provider '{self.name}' made a lock that is no JSON data",
                where=f"{type(self._provider).__qualname__}.resolve",
                why=str(error),
                hint="return dicts with text keys, lists, texts, numbers, True, False and None",
            ) from None

    def export(self, lock: EnvironmentLock) -> dict[str, str]:
        """Return a lock as files that other tools take: file name → text.

        Raises:
            NoEnvironment: the provider has no such files.
            FlowError: the lock is none of this provider, or the provider is at fault.

        Since 0.1.
        """
        provider: Any = self._provider
        if not provider.capabilities.exports:
            raise NoEnvironment(
                f"The lock {lock.name} has no form that other tools take",
                where=f"environment provider '{self.name}'",
                why=f"'{self.name}' does not have the capability 'exports'",
                hint="the lock itself, as JSON, holds all that is installed",
            )
        with self._blaming("export"):
            return dict(provider.export(lock.data))

    # --- building -------------------------------------------------------------------------------

    def find(self, lock: EnvironmentLock) -> ReadyEnvironment | None:
        """Return the environment of a lock, if it is built; None if not."""
        ready = _read_mark(f"{self._place(lock)}.json")
        return ready if ready is not None and ready.lock == lock.hash else None

    def kept(self, key: str) -> EnvironmentLock | None:
        """Return the lock of an environment that was built on this machine; None if none was.

        Args:
            key: hash of the lock, or the first 16 digits of it.
        """
        text = _read(self._kept(key))
        return None if text is None else EnvironmentLock.read(self.name, text)

    def _kept(self, key: str) -> str:
        return os.path.join(self._folder, "locks", f"{key[:_KEY]}.json")

    def prepare(self, lock: EnvironmentLock) -> ReadyEnvironment:
        """Return the environment of a lock; build it, or wait for who builds it now.

        Raises:
            FlowError: it cannot be built, or the provider is at fault.
            KeyboardInterrupt: nobody wants it any more.
        """
        place = self._place(lock)
        ready = self.find(lock)
        if ready is None:
            with needing_room(self._root), self._locked(place) as descriptor:
                ready = self.find(lock) or self._build(lock, place, descriptor)
        return ready

    def try_out(self, lock: EnvironmentLock) -> None:
        """Build the environment of a lock once more, aside, and remove it: so that the provider has
        fetched, and kept, all of its packages.

        Raises:
            FlowError: it cannot be built, or the provider is at fault.
            KeyboardInterrupt: nobody wants it any more.
        """
        place = f"{self._place(lock)}.again"
        with needing_room(self._root), self._locked(place) as descriptor:
            try:
                self._build(lock, place, descriptor)
            finally:
                _remove(place)

    def remove(self, lock: EnvironmentLock) -> None:
        """Remove the environment of a lock from this machine, if it is there.

        Raises:
            NoEnvironment: a run uses it.
        """
        remove_environment(self._root, self.name, lock.hash)

    def _place(self, lock: EnvironmentLock) -> str:
        return os.path.join(self._folder, lock.hash[:_KEY])

    def _build(self, lock: EnvironmentLock, place: str, descriptor: int) -> ReadyEnvironment:
        self._check_network(lock)
        _remove(place)  # what an attempt that was killed has left
        _write(self._kept(lock.hash), lock.text)
        os.makedirs(place)
        try:
            work = self._work(descriptor)
            with self._blaming("prepare"):
                interpreter = self._provider.prepare(lock.data, place, work)
                self._check(interpreter)
            work.check()
            ready = self._probe(lock, place, interpreter, work)
            _write(f"{place}.json", json.dumps({"format": FORMAT, **ready._asdict()}))
        except BaseException:
            _remove(place)
            raise
        return ready

    def _check_network(self, lock: EnvironmentLock) -> None:
        if self._offline and not self._provider.capabilities.offline:
            raise NoEnvironment(
                f"The environment {lock.name} is not on this machine",
                where=f"environment provider '{self.name}'",
                why=f"the setting 'offline' is on, and '{self.name}' builds nothing without network",
                hint="build it once with network: FLOW_OFFLINE=0",
            )

    def _check(self, interpreter: Any) -> None:
        wrong = _what_is_wrong(interpreter)
        if wrong:
            raise PluginError(
                f"The environment provider '{self.name}' returned no interpreter",
                where=f"{type(self._provider).__qualname__}.prepare",
                why=wrong,
                hint="return flow_core.api.Interpreter(path)",
            )

    def _probe(
        self, lock: EnvironmentLock, place: str, interpreter: Interpreter, work: _Work
    ) -> ReadyEnvironment:
        """Let the new interpreter tell what it is."""
        # Not isolated from its variables (-I): they may be what makes it work.
        command = [interpreter.path, "-s", "-c", _PROBE]
        variables = {"PYTHONPATH": "", "PYTHONHOME": "", **interpreter.variables}
        try:
            answer = work.run(command, folder=place, variables=variables)
            facts = answer.rstrip("\n").rpartition("\n")[2]
            python, implementation, *found = facts.split("\t")
            number = tuple(map(int, python.split(".")[:2]))
        except (FlowError, ValueError) as error:
            raise NoEnvironment(
                f"The interpreter of the environment {lock.name} does not run",
                where=interpreter.path,
                why=getattr(error, "why", None) or str(error),
                hint=f"this is a defect of the environment provider '{self.name}', or its packages "
                "are damaged",
            ) from None
        if number < _OLDEST:
            raise NoEnvironment(
                f"The environment {lock.name} has Python {python}",
                where=interpreter.path,
                why="tasks need Python 3.10 or later",
                hint="ask for a newer Python: python='3.12'",
            )
        return ReadyEnvironment(
            self.name,
            lock.hash,
            place,
            interpreter.path,
            dict(interpreter.variables),
            python,
            implementation,
            dict(zip(found[::2], found[1::2], strict=True)),
            time.time(),
        )

    # --- around the provider --------------------------------------------------------------------

    def _work(self, descriptor: int | None = None) -> _Work:
        cache = os.path.join(self._folder, "cache")
        _make_folder(cache)
        return _Work(
            self._offline,
            cache,
            self._mirror,
            self._setting,
            self._tell,
            self._cancelled,
            descriptor,
        )

    @contextmanager
    def _blaming(self, method: str) -> Iterator[None]:
        """Turn what a provider raises, but does not explain, into an error that names it."""
        try:
            yield
        except (FlowError, KeyboardInterrupt):
            raise
        except Exception as error:
            if _is_full(error):  # nobody is to blame
                raise _no_room(error, self._root) from None
            full = isinstance(error, OSError) and error.errno is not None
            raise PluginError(
                f"The environment provider '{self.name}' failed",
                where=f"{type(self._provider).__qualname__}.{method}",
                why=f"{type(error).__name__}: {error}",
                hint="see the cause above"
                if full
                else "report it to the authors of the plugin; FLOW_DEBUG=1 shows the traceback",
            ) from error

    @contextmanager
    def _locked(
        self, place: str, told_once: str = "waiting for another process, which builds it"
    ) -> Iterator[int]:
        """Hold the lock of an environment, or of a request, which ends with this process and what it has started."""
        import fcntl

        _make_folder(self._folder)
        descriptor = os.open(f"{place}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            told = False
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if not told:
                        told = True
                        self._tell(told_once, None)
                self._work().check()
                time.sleep(_WAIT)
            yield descriptor
        finally:
            os.close(descriptor)


class _Work:
    """See `flow_core.interfaces.EnvironmentWork`."""

    def __init__(
        self,
        offline: bool,
        cache: str,
        mirror: PackageMirror | None,
        setting: Callable[[str], Any],
        tell: Tell,
        cancelled: threading.Event,
        descriptor: int | None,
    ) -> None:
        self.offline = offline
        self.cache = cache
        self.mirror = mirror
        self.setting = setting
        self._tell = tell
        self._cancelled = cancelled
        self._descriptor = descriptor

    def tell(self, text: str, part: float | None = None) -> None:
        self.check()
        self._tell(text, part)

    def check(self) -> None:
        if self._cancelled.is_set():
            raise KeyboardInterrupt

    def run(
        self,
        command: Sequence[str],
        *,
        folder: str | None = None,
        variables: Mapping[str, str] | None = None,
        heard: Callable[[str], None] | None = None,
    ) -> str:
        from flow_core.programs import run_program

        self.check()
        # The program holds the lock, too: should this process be killed, nobody else begins to
        # build in the same folder while the program still does.
        kept = () if self._descriptor is None else (self._descriptor,)
        return run_program(command, self._cancelled, folder, variables, kept, heard)


def _no_settings(name: str) -> Any:
    raise NoEnvironment(f"There is no setting '{name}' here")


def _tell_nobody(text: str, part: float | None) -> None:
    """Nobody listens."""


def _what_is_wrong(interpreter: Any) -> str:
    """Return why a provider's result is no interpreter; ``''`` for a good one."""
    if not isinstance(interpreter, Interpreter):
        return f"it is a {type(interpreter).__name__}"
    path = interpreter.path
    if not isinstance(path, str) or not os.path.isabs(path):
        return f"its path is not absolute: {path!r}"
    if not os.access(path, os.X_OK) or os.path.isdir(path):
        return f"there is no program '{path}'"
    pairs = [*interpreter.variables.items()]
    if not all(isinstance(text, str) for pair in pairs for text in pair):
        return "its variables are not all texts"
    return ""


# --- what is on this machine --------------------------------------------------------------------


class BuiltEnvironment(NamedTuple):
    """An environment that lies on this machine, or what is left of one that was never finished.

    Attributes:
        provider: name of its provider.
        key: name of its folder: the first 16 digits of the hash of its lock.
        folder: its home.
        ready: what it is; None = it is half built: somebody builds it now, or was killed doing so.
        used_at: when a run was last prepared with it, or when it was last changed, in seconds since
            the epoch.

    Since 0.1.
    """

    provider: str
    key: str
    folder: str
    ready: ReadyEnvironment | None
    used_at: float

    @property
    def name(self) -> str:
        """``venv 1a2b3c4d``, for people."""
        return f"{self.provider} {self.key[:8]}"

    def size(self) -> int:
        """Return the bytes that its files take on the disk; those that it shares with others by
        hard links count too. It looks at each file."""
        return sum(_sizes(self.folder).values())

    def is_used(self) -> bool:
        """Whether a run uses it now, or somebody builds it."""
        try:
            with _exclusive(self.folder):
                return False
        except BlockingIOError:
            return True


def built_environments(root: str) -> list[BuiltEnvironment]:
    """Return the environments below a folder, by provider and key; half-built ones, too.

    Args:
        root: where environments of all providers lie: `StepEnvironments.root`.

    Since 0.1.
    """
    found = []
    for provider in _folders(root):
        place = os.path.join(root, provider)
        for key in _folders(place):
            if len(key) != _KEY or not set(key) <= set("0123456789abcdef"):
                continue  # the provider's cache, and what was resolved
            folder = os.path.join(place, key)
            mark = f"{folder}.json"
            with suppress(FileNotFoundError):  # it is being removed
                used = os.stat(mark if os.path.exists(mark) else folder).st_mtime
                found.append(BuiltEnvironment(provider, key, folder, _read_mark(mark), used))
    return found


def remove_environment(root: str, provider: str, lock: str) -> bool:
    """Remove an environment from this machine; say whether there was one.

    Args:
        root: where environments of all providers lie.
        provider: name of the provider.
        lock: hash of its lock, or the first 16 digits of it.

    Raises:
        NoEnvironment: a run uses it, or somebody builds it.

    Since 0.1.
    """
    key = lock[:_KEY]
    place = os.path.join(os.path.abspath(root), provider, key)
    if not os.path.lexists(place):
        return False
    try:
        with _exclusive(place):
            _remove(place)
    except BlockingIOError:
        raise NoEnvironment(
            f"The environment {provider} {key[:8]} cannot be removed now",
            where=place,
            why="a run uses it, or somebody builds it",
            hint="wait until that has ended",
        ) from None
    return True


def hold_environment(ready: ReadyEnvironment) -> int | None:
    """Let nobody remove an environment as long as the descriptor is open that is returned, and note
    that it is used; None where it was removed just now.

    The programs that this process starts do not hold it, processes that are forked from it do.
    """
    import fcntl

    try:
        descriptor = os.open(f"{ready.folder}.json", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    with suppress(OSError):  # it may be another user's
        os.utime(descriptor)
    return descriptor


@contextmanager
def _exclusive(place: str) -> Iterator[None]:
    """Hold an environment against who builds it and who uses it.

    Raises:
        BlockingIOError: somebody does.
    """
    import fcntl

    held = []
    try:
        for path, create in ((f"{place}.lock", os.O_CREAT), (f"{place}.json", 0)):
            with suppress(FileNotFoundError):
                held.append(os.open(path, os.O_RDWR | os.O_CLOEXEC | create, 0o666))
                fcntl.flock(held[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)


def _folders(place: str) -> list[str]:
    try:
        with os.scandir(place) as entries:
            names = [e.name for e in entries if e.is_dir() and not e.name.startswith(".")]
    except FileNotFoundError:
        return []
    return sorted(names)


def _sizes(folder: str) -> dict[tuple[int, int], int]:
    """Return device and inode → bytes of all files below a folder."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            with suppress(FileNotFoundError):
                info = os.lstat(os.path.join(place, name))
                found[info.st_dev, info.st_ino] = info.st_blocks * 512
    return found


# --- files --------------------------------------------------------------------------------------


def _read_mark(path: str) -> ReadyEnvironment | None:
    """Return what was written last of an environment; None unless it can be used."""
    raw = _read(path)
    if raw is None:
        return None
    try:
        data = json.loads(raw)
        if data.pop("format") != FORMAT:
            return None
        ready = ReadyEnvironment(**data)
    except (ValueError, TypeError, KeyError):
        return None  # it is built again
    return ready if os.access(ready.interpreter, os.X_OK) else None


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _write(path: str, text: str) -> None:
    """Write a file whole, or not at all."""
    _make_folder(os.path.dirname(path))
    temporary = f"{path}.{os.getpid()}.{threading.get_ident()}"
    try:
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise


@contextmanager
def needing_room(folder: str) -> Iterator[None]:
    """Say it in words where a disk is full, or what one may have of it is used up.

    Args:
        folder: where environments lie, if the error itself names no file.

    Raises:
        NoEnvironment: so it is.
    """
    try:
        yield
    except OSError as error:
        if not _is_full(error):
            raise
        raise _no_room(error, folder) from None


def _is_full(error: BaseException) -> TypeGuard[OSError]:
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def _no_room(error: OSError, folder: str) -> NoEnvironment:
    return NoEnvironment(
        "The disk is full",
        where=str(error.filename or folder),
        why=error.strerror,
        hint="make room, or put environments elsewhere: FLOW_ENVIRONMENTS=FOLDER",
    )


def _make_folder(folder: str) -> None:
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise NoEnvironment(
            "The folder of environments cannot be made",
            where=folder,
            why=error.strerror,
            hint="choose another one: FLOW_ENVIRONMENTS=FOLDER",
        ) from None


def _remove(place: str) -> None:
    """Remove an environment, first of all the file that says that it is whole."""
    import shutil

    with suppress(FileNotFoundError):
        os.unlink(f"{place}.json")
    if os.path.lexists(place):
        shutil.rmtree(place)
