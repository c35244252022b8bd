"""What a test leaves behind in its process: found by looking at the process before and after.

`look` takes a picture of the process, `found` compares two, and `Tracer` remembers who did what, so
that a leak is told with its place. `LeakCheck` puts them together; the pytest plugin calls it.
"""

from __future__ import annotations

import gc
import importlib.machinery
import itertools
import logging
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from flow_core.testing.leak_places import Tracer, defined, name_of

GRACE = 1.0
"""Seconds that threads, processes and files get to end by themselves after a test."""

KINDS = {
    "variables": "environment variables",
    "folder": "the current folder",
    "signals": "signal handlers, blocked signals, running timers",
    "threads": "threads that still run",
    "processes": "child processes that still run, or were not waited for",
    "files": "open files, pipes and sockets",
    "logging": "handlers, filters and levels of loggers",
    "path": "sys.path, sys.meta_path and sys.path_hooks",
    "modules": "modules that took the place of others, came from no file or from a temporary one",
    "gc": "settings of the garbage collector",
    "atexit": "functions that run at the end of the process",
    "interpreter": "sys.argv, the standard streams, hooks for exceptions, the recursion limit",
}
"""What is looked at: kind → what it is."""

_LATE = ("threads", "processes", "files")
"""Kinds that may go by themselves shortly after a test."""

Picture = dict[str, dict[Any, Any]]
"""kind → key → value, both comparable: two pictures of a process that did nothing are equal."""


class Leak(NamedTuple):
    """Something that a test left behind.

    Attributes:
        kind: one of `KINDS`.
        what: one sentence for people.
        where: the line that did it, and who called that; ``''`` when nobody saw it.
    """

    kind: str
    what: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.what}\n      {self.where}" if self.where else self.what


class LeakCheck:
    """Watches one test.

    Args:
        temporary: a folder of temporary files: modules from there are leaks.
        allowed: kinds that are not looked at.
        root: the folder to which places are told relatively; None = the current one.

    Since 0.1.
    """

    def __init__(
        self,
        temporary: Path | None = None,
        allowed: Iterable[str] = (),
        root: Path | None = None,
    ) -> None:
        self.root = str(root or Path.cwd())
        self._temporary = str(temporary.resolve()) + os.sep if temporary is not None else ""
        self._allowed = frozenset(allowed)
        self._tracer = Tracer(self.root)
        self._before: Picture = {}

    def begin(self) -> None:
        """Take the picture to which `leaks` compares."""
        self._tracer.begin()
        self._before = look()

    @contextmanager
    def forgiven(self) -> Iterator[None]:
        """What changes in the body is no leak: it belongs to others as well."""
        before = look()
        try:
            yield
        finally:
            _adopt(self._before, before, look())

    def leaks(self, release: Callable[[], object] = gc.collect) -> list[Leak]:
        """Return what was left behind since `begin`.

        Args:
            release: called before something counts as a leak: it lets go of what holds objects
                which close themselves when nobody has them any more.
        """
        found = self._found()
        if any(leak.kind in _LATE for leak in found):
            release()
            found = self._found()
        deadline = time.monotonic() + GRACE
        while any(leak.kind in _LATE for leak in found) and time.monotonic() < deadline:
            time.sleep(0.02)
            found = self._found()
        return found

    def end(self) -> None:
        """Stop watching."""
        self._tracer.end()

    def _found(self) -> list[Leak]:
        now = look()
        return [
            leak
            for kind in KINDS
            if kind not in self._allowed
            for leak in _DIFFERENCES[kind](self._before[kind], now[kind], self)
        ]

    # --- for the differences ----------------------------------------------------------------

    def place(self, event: str, *keys: Any) -> str:
        """Return where the last ``event`` with one of ``keys`` happened; ``''`` = nobody saw it."""
        return self._tracer.place(event, *keys)

    def place_of_socket(self, number: int) -> str:
        """Return where the socket with this descriptor was made; ``''`` = nobody saw it."""
        return self._tracer.place_of_socket(number)

    def registered(self) -> list[tuple[str, str]]:
        """Return the functions given to `atexit` since `begin`, by description, and where."""
        return self._tracer.registered()

    def came_with_a_module(self, finder: Any) -> bool:
        """Whether the module that an object is from was imported meanwhile.

        Some libraries put a finder of theirs to the others when they are imported, for good.
        """
        home = getattr(finder, "__module__", None) or type(finder).__module__
        return home in sys.modules and home not in self._before["modules"]

    def is_temporary(self, file: str) -> bool:
        """Whether a file is among the temporary ones."""
        path = os.path.realpath(file)
        return bool(self._temporary) and path.startswith(self._temporary)


def look() -> Picture:
    """Return a picture of this process. It takes about a millisecond."""
    return {kind: reader() for kind, reader in _READERS.items()}


def _adopt(picture: Picture, before: Picture, after: Picture) -> None:
    """Let what changed from ``before`` to ``after`` have been there in ``picture`` already."""
    for kind, entries in picture.items():
        old, new = before[kind], after[kind]
        for key in [k for k in {*old, *new} if old.get(k, _NOTHING) != new.get(k, _NOTHING)]:
            if key in new:
                entries[key] = new[key]
            else:
                entries.pop(key, None)


_NOTHING = object()


# --- reading ------------------------------------------------------------------------------------


def _variables() -> dict[Any, Any]:
    # pytest itself says here which test runs.
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def _folder() -> dict[Any, Any]:
    try:
        return {"folder": os.getcwd()}
    except FileNotFoundError:
        return {"folder": None}


def _signals() -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for number in signal.valid_signals():
        found[number] = signal.getsignal(number)
    if hasattr(signal, "pthread_sigmask"):
        found["blocked"] = frozenset(signal.pthread_sigmask(signal.SIG_BLOCK, []))
    for name in ("ITIMER_REAL", "ITIMER_VIRTUAL", "ITIMER_PROF"):
        if hasattr(signal, name):
            found[name] = any(signal.getitimer(getattr(signal, name)))
    return found


def _threads() -> dict[Any, Any]:
    # What another language started has a stand-in here, which nobody takes away.
    kept = (t for t in threading.enumerate() if not isinstance(t, threading._DummyThread))
    return {thread.ident: thread for thread in kept}


def _processes() -> dict[Any, Any]:
    return {pid: _command_of(pid) for pid in _children()}


def _children() -> list[int]:
    """Return the ids of this process's children, ended ones that nobody waited for included."""
    me = os.getpid()
    try:
        found: list[int] = []
        for thread in os.listdir(f"/proc/{me}/task"):
            with open(f"/proc/{me}/task/{thread}/children", encoding="ascii") as file:
                found += map(int, file.read().split())
    except OSError:
        return _children_by_ps(me)
    return found


def _children_by_ps(parent: int) -> list[int]:
    import subprocess

    if os.name != "posix":
        return []
    with subprocess.Popen(
        ["ps", "-A", "-o", "pid=,ppid="], stdout=subprocess.PIPE, text=True
    ) as process:
        lines = process.communicate()[0].splitlines()
        pairs = [tuple(map(int, line.split())) for line in lines]
    return [pid for pid, above in pairs if above == parent and pid != process.pid]


def _command_of(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().split(b"\0")
    except OSError:
        return ""
    return b" ".join(words).decode(errors="replace").strip()


def _files() -> dict[Any, Any]:
    """Return descriptor → what it is, so that another file under the same number is seen."""
    folder = next((f for f in ("/proc/self/fd", "/dev/fd") if os.path.isdir(f)), None)
    found: dict[Any, Any] = {}
    for name in os.listdir(folder) if folder else ():
        number = int(name)
        try:
            status = os.fstat(number)
        except OSError:
            continue  # it was that of the listing itself
        link = ""
        if folder == "/proc/self/fd":
            try:
                link = os.readlink(f"{folder}/{name}")
            except OSError:
                continue
        found[number] = (status.st_dev, status.st_ino, stat.S_IFMT(status.st_mode), link)
    return found


def _logging() -> dict[Any, Any]:
    found: dict[Any, Any] = {("", "disabled"): logging.root.manager.disable}
    loggers = logging.root.manager.loggerDict
    named = (
        (n, logger) for n, logger in list(loggers.items()) if isinstance(logger, logging.Logger)
    )
    for name, logger in itertools.chain([("root", logging.root)], named):
        for handler in logger.handlers:
            if not type(handler).__module__.startswith("_pytest."):
                found[name, "handler", id(handler)] = handler
        for entry in logger.filters:
            found[name, "filter", id(entry)] = entry
        found[name, "level"] = logger.level
        found[name, "propagate"] = logger.propagate
    return found


def _path() -> dict[Any, Any]:
    found: dict[Any, Any] = {("sys.path", entry): entry for entry in sys.path}
    found.update({("sys.meta_path", id(entry)): entry for entry in sys.meta_path})
    found.update({("sys.path_hooks", id(entry)): entry for entry in sys.path_hooks})
    return found


def _modules() -> dict[Any, Any]:
    return dict(sys.modules)


def _gc() -> dict[Any, Any]:
    return {
        "enabled": gc.isenabled(),
        "thresholds": gc.get_threshold(),
        "debug flags": gc.get_debug(),
        "frozen": gc.get_freeze_count() > 0,
        **{("callback", id(f)): f for f in gc.callbacks if not _of_hypothesis(f)},
    }


def _of_hypothesis(function: Any) -> bool:
    """Whether it measures the garbage collection of a property test, as long as the process lives."""
    return str(getattr(function, "__module__", "")).startswith("hypothesis.")


def _is_ours(hook: Any) -> bool:
    return hook is sys.__excepthook__ or getattr(hook, "__module__", "") == "flow_core.errors"


def _interpreter() -> dict[Any, Any]:
    return {
        "sys.argv": list(sys.argv),
        # Errors of ours show themselves where nobody else does: once for the process.
        "sys.excepthook": None if _is_ours(sys.excepthook) else sys.excepthook,
        "sys.unraisablehook": sys.unraisablehook,
        "threading.excepthook": threading.excepthook,
        "sys.stdin": sys.stdin,
        "sys.stdout": sys.stdout,
        "sys.stderr": sys.stderr,
        "sys.getrecursionlimit()": sys.getrecursionlimit(),
        "sys.getswitchinterval()": sys.getswitchinterval(),
    }


_READERS: Mapping[str, Callable[[], dict[Any, Any]]] = {
    "variables": _variables,
    "folder": _folder,
    "signals": _signals,
    "threads": _threads,
    "processes": _processes,
    "files": _files,
    "logging": _logging,
    "path": _path,
    "modules": _modules,
    "gc": _gc,
    "atexit": dict,
    "interpreter": _interpreter,
}


# --- comparing ----------------------------------------------------------------------------------

Entries = Mapping[Any, Any]


def _changed_variables(old: Entries, new: Entries, check: LeakCheck) -> Iterator[Leak]:
    # Values may be secret: they are not shown.
    for name in sorted({*old, *new}):
        if old.get(name) == new.get(name):
            continue
        word = "was removed" if name not in new else "was set" if name not in old else "was changed"
        where = check.place("variable", name)
        yield Leak("variables", f"the environment variable {name} {word}", where)


def _changed_folder(old: Entries, new: Entries, check: LeakCheck) -> Iterator[Leak]:
    if old["folder"] != new["folder"]:
        what = f"the current folder is {new['folder']}, and was {old['folder']}"
        yield Leak("folder", what, check.place("folder"))


def _changed_signals(old: Entries, new: Entries, check: LeakCheck) -> Iterator[Leak]:
    for key in new:
        if old.get(key) == new[key]:
            continue
        if key == "blocked":
            names = ", ".join(sorted(_signal_name(n) for n in new[key] ^ old[key]))
            yield Leak("signals", f"which signals are blocked has changed: {names}")
        elif isinstance(key, str):
            word = "still runs" if new[key] else "was stopped"
            yield Leak("signals", f"the timer signal.{key} {word}")
        else:
            what = f"the handler of {_signal_name(key)} is {_handler(new[key])}"
            yield Leak(
                "signals", f"{what}, and was {_handler(old[key])}", defined(new[key], check.root)
            )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _handler(handler: Any) -> str:
    if handler is None:
        return "one of C code"
    if isinstance(handler, signal.Handlers):
        return {"SIG_DFL": "the default", "SIG_IGN": "to ignore it"}[handler.name]
    if handler is signal.default_int_handler:
        return "KeyboardInterrupt"
    return name_of(handler)


def _left_threads(old: Entries, new: Entries, check: LeakCheck) -> Iterator[Leak]:
    for ident, thread in new.items():
        if old.get(ident) is thread or not thread.is_alive():
            continue
        kind = "daemon thread" if thread.daemon else "thread"
        runs = name_of(getattr(thread, "_target", None) or thread.run)
        where = check.place("thread", id(thread))
        yield Leak("threads", f"the {kind} '{thread.name}' still runs ({runs})", where)


_KEPT = "multiprocessing.resource_tracker"  # one for each process, from its first need to its end


def _left_processes(old: Entries, new: Entries, check: LeakCheck) -> Iterator[Leak]:
    for pid, command in new.items():
        if pid in old or _KEPT in command:
            continue
        if command:
            what = f"the child process {pid} still runs: {_cut(command)}"
        else:
            what = f"the child process {pid} has ended, but nobody waited for it"
        where = check.place("process", pid) or check.place("process", None)
        yield Leak("processes", what, where)


def _left_files(old: Entries, new: Entries, check: LeakCheck) -> Iterator[Leak]:
    for number, identity in sorted(new.items()):
        if old.get(number) == identity:
            continue
        *_, mode, link = identity
        shown = f"'{link}'" if link.startswith("/") else _file_kind(mode, link)
        if any(part in link for part in ("/dev/urandom", "/proc/")):
            continue  # held by libraries, once for each process
        if stat.S_ISSOCK(mode):
            where = check.place_of_socket(number)
        else:
            where = check.place("file", os.path.basename(link))
        yield Leak("files", f"{shown} is still open (descriptor {number})", where)


def _file_kind(mode: int, link: str) -> str:
    kinds = {stat.S_IFSOCK: "a socket", stat.S_IFIFO: "a pipe", stat.S_IFREG: "a file"}
    return kinds.get(mode) or link or "a file"


def _changed_logging(old: Entries, new: Entries, check: LeakCheck) -> Iterator[Leak]:
    for key in {**old, **new}:
        logger = f"the logger '{key[0]}'" if key[0] else "logging"
        if key not in new:
            if len(key) == 3:
                yield Leak("logging", f"{logger} lost the {key[1]} {old[key]!r}")
        elif key not in old:
            if len(key) == 3:
                what = f"{logger} has one more {key[1]}: {new[key]!r}"
                yield Leak("logging", what, check.place("handler", id(new[key])))
            # The level of a logger that is new is its library's own matter.
        elif old[key] != new[key]:
            yield Leak("logging", f"{logger}: {key[1]} was {old[key]} and is {new[key]}")


def _changed_path(old: Entries, new: Entries, check: LeakCheck) -> Iterator[Leak]:
    for key in {**old, **new}:
        shown = repr(new.get(key, old.get(key)))
        if key not in new:
            yield Leak("path", f"{key[0]} lost {shown}")
        elif key not in old and not check.came_with_a_module(new[key]):
            yield Leak("path", f"{key[0]} has one more entry: {shown}")


def _changed_modules(old: Entries, new: Entries, check: LeakCheck) -> Iterator[Leak]:
    for name in {**old, **new}:
        if name not in new:
            yield Leak("modules", f"the module '{name}' is gone from sys.modules")
        elif name not in old:
            why = _odd_module(name, new[name], check)
            if why:
                yield Leak("modules", f"sys.modules has a new entry '{name}': {why}")
        elif old[name] is not new[name]:
            yield Leak("modules", f"sys.modules['{name}'] is another object than before")


def _odd_module(name: str, module: Any, check: LeakCheck) -> str | None:
    """Return why a new module is no plain import of something installed."""
    if module is None:
        return "None, so that it cannot be imported"
    spec = getattr(module, "__spec__", None)
    file = getattr(module, "__file__", None)
    if isinstance(file, str) and check.is_temporary(file):
        return f"it comes from a temporary file, {file}"
    if isinstance(spec, importlib.machinery.ModuleSpec) or file:
        return None
    package, dot, _ = name.partition(".")
    # Packages make stand-ins for modules below their own name, and C extensions for themselves.
    library = (bool(dot) and _is_installed(package)) or name.startswith(_OF_EXTENSIONS)
    return None if library else "it was made by hand"


_OF_EXTENSIONS = ("cython_runtime", "_cython_", "_openssl")


def _is_installed(name: str) -> bool:
    return bool(getattr(sys.modules.get(name), "__file__", None))


def _changed_gc(old: Entries, new: Entries, check: LeakCheck) -> Iterator[Leak]:
    for key in {**old, **new}:
        if old.get(key) == new.get(key):
            continue
        if isinstance(key, tuple):
            word = "one more" if key in new else "lost the"
            callback = new.get(key, old.get(key))
            yield Leak(
                "gc", f"gc.callbacks: {word} {name_of(callback)}", defined(callback, check.root)
            )
        else:
            yield Leak("gc", f"the garbage collector: {key} was {old[key]} and is {new[key]}")


def _left_atexit(old: Entries, new: Entries, check: LeakCheck) -> Iterator[Leak]:
    for function, where in check.registered():
        yield Leak("atexit", f"{function} runs when this process ends", where)


def _changed_interpreter(old: Entries, new: Entries, check: LeakCheck) -> Iterator[Leak]:
    for key, value in new.items():
        if old[key] is not value and old[key] != value:
            what = f"{key} is {_shown(value)}, and was {_shown(old[key])}"
            yield Leak("interpreter", what, defined(value, check.root))


_DIFFERENCES: Mapping[str, Callable[[Entries, Entries, LeakCheck], Iterator[Leak]]] = {
    "variables": _changed_variables,
    "folder": _changed_folder,
    "signals": _changed_signals,
    "threads": _left_threads,
    "processes": _left_processes,
    "files": _left_files,
    "logging": _changed_logging,
    "path": _changed_path,
    "modules": _changed_modules,
    "gc": _changed_gc,
    "atexit": _left_atexit,
    "interpreter": _changed_interpreter,
}


def _shown(value: Any) -> str:
    if value is None:
        return "the usual one"
    return name_of(value) if callable(value) else _cut(repr(value))


def _cut(text: str) -> str:
    return text if len(text) <= 120 else f"{text[:117]}…"
