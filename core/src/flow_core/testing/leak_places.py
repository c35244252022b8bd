"""Where things were done that may turn out to be leaks: see `flow_core.testing.leaks`."""

from __future__ import annotations

import atexit
import functools
import logging
import os
import sys
import sysconfig
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any


class Tracer:
    """Remembers the places of what may become a leak, while it is begun.

    It hears of most by the audit events of Python, of others by standing before their functions.
    """

    _active: Tracer | None = None
    _hooked = False

    def __init__(self, root: str) -> None:
        self._root = root
        self._places: dict[tuple[str, Any], str] = {}
        self._registered: list[tuple[Any, str]] = []
        self._sockets: list[tuple[weakref.ref[Any], str]] = []
        self._undo: list[Callable[[], None]] = []

    def begin(self) -> None:
        """Listen from now on."""
        if not Tracer._hooked:
            Tracer._hooked = True
            sys.addaudithook(_heard)  # which cannot be removed: it does nothing without a tracer
        Tracer._active = self
        register, unregister = atexit.register, atexit.unregister
        add, start = logging.Logger.addHandler, threading.Thread.start

        def registering(function: Any, *args: Any, **kwargs: Any) -> Any:
            if not _in_import():
                self._registered.append((function, _place(self._root)))
            return register(function, *args, **kwargs)

        def unregistering(function: Any) -> None:
            self._registered = [e for e in self._registered if e[0] != function]
            unregister(function)

        def adding(logger: logging.Logger, handler: logging.Handler) -> None:
            self._places["handler", id(handler)] = _place(self._root)
            add(logger, handler)

        def starting(thread: threading.Thread) -> None:
            self._places["thread", id(thread)] = _place(self._root)
            start(thread)

        self._stand_before(atexit, "register", registering)
        self._stand_before(atexit, "unregister", unregistering)
        self._stand_before(logging.Logger, "addHandler", adding)
        self._stand_before(threading.Thread, "start", starting)

    def _stand_before(self, owner: Any, name: str, function: Any) -> None:
        behind = getattr(owner, name)
        setattr(owner, name, function)
        self._undo.append(lambda: setattr(owner, name, behind))

    def end(self) -> None:
        """Listen no longer."""
        if Tracer._active is self:
            Tracer._active = None
        while self._undo:
            self._undo.pop()()

    def note(self, event: str, key: Any) -> None:
        """Remember where something happened."""
        self._places[event, key] = _place(self._root)

    def place(self, event: str, *keys: Any) -> str:
        """Return where something happened last; ``''`` when nobody saw it."""
        wanted = keys or (None,)
        return next((p for k in wanted if (p := self._places.get((event, k)))), "")

    def note_socket(self, made: Any) -> None:
        """Remember where a socket was made: it gets its descriptor only after that."""
        self._sockets.append((weakref.ref(made), _place(self._root)))

    def place_of_socket(self, number: int) -> str:
        """Return where the socket with a descriptor was made; ``''`` when nobody saw it."""
        for ref, place in self._sockets:
            made = ref()
            if made is not None and made.fileno() == number:
                return place
        return ""

    def registered(self) -> list[tuple[str, str]]:
        """Return what was given to `atexit` and not taken back, and where."""
        foreign = (e for e in self._registered if not _is_python(getattr(e[0], "__module__", None)))
        return [(name_of(function), where) for function, where in foreign]


def _heard(event: str, args: tuple[Any, ...]) -> None:
    tracer = Tracer._active
    if tracer is None:
        return
    note = _EVENTS.get(event)
    if note is None:
        return
    Tracer._active = None  # what is done here is nobody's leak
    try:
        note(tracer, args)
    finally:
        Tracer._active = tracer


def _variable_event(tracer: Tracer, args: tuple[Any, ...]) -> None:
    name = args[0].decode(errors="replace") if isinstance(args[0], bytes) else str(args[0])
    tracer.note("variable", name)


def _folder_event(tracer: Tracer, args: tuple[Any, ...]) -> None:
    tracer.note("folder", None)


def _file_event(tracer: Tracer, args: tuple[Any, ...]) -> None:
    if isinstance(args[0], (str, bytes)) and not _in_import():
        # Descriptors are told by whole paths, which the caller need not have given.
        tracer.note("file", os.path.basename(os.fsdecode(args[0])))


def _socket_event(tracer: Tracer, args: tuple[Any, ...]) -> None:
    tracer.note_socket(args[0])


def _process_event(tracer: Tracer, args: tuple[Any, ...]) -> None:
    tracer.note("process", None)


_EVENTS: Mapping[str, Callable[[Tracer, tuple[Any, ...]], None]] = {
    "os.putenv": _variable_event,
    "os.unsetenv": _variable_event,
    "os.chdir": _folder_event,
    "os.fchdir": _folder_event,
    "open": _file_event,
    "sqlite3.connect": _file_event,
    "socket.__new__": _socket_event,
    "subprocess.Popen": _process_event,
    "os.fork": _process_event,
    "os.forkpty": _process_event,
    "os.posix_spawn": _process_event,
}

_PYTHON = tuple(
    os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "platstdlib")
)
_PACKAGES = ("site-packages", "dist-packages")


def _in_import() -> bool:
    """Whether a module is being imported: what that does, it does once for the process."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code.co_filename == "<frozen importlib._bootstrap>":
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _is_python(module: str | None) -> bool:
    return module is not None and module.partition(".")[0] in sys.stdlib_module_names


def _place(root: str) -> str:
    """Return the innermost line that is not Python's own, and the nearest one of no package."""
    frames = [f for f in _frames() if not _is_library(f[0])]
    if not frames:
        return ""
    first = frames[0]
    text = f"by {short(first[0], root)}:{first[1]} in {first[2]}"
    own = next((f for f in frames if not _is_package(f[0])), None)
    if own is None or own == first:
        return text
    return f"{text}, called from {short(own[0], root)}:{own[1]} in {own[2]}"


def _frames() -> Iterator[tuple[str, int, str]]:
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if code.co_filename != __file__:
            yield code.co_filename, frame.f_lineno, code.co_name
        frame = frame.f_back  # type: ignore[assignment]


@functools.cache
def _is_library(file: str) -> bool:
    if file.startswith("<"):
        return True
    path = os.path.realpath(file)
    return path.startswith(_PYTHON) and not _is_package(path)


def _is_package(file: str) -> bool:
    return any(f"{os.sep}{name}{os.sep}" in file for name in _PACKAGES)


def short(file: str, root: str) -> str:
    """Return a path below a folder as a relative one."""
    return os.path.relpath(file, root) if file.startswith(root + os.sep) else file


def name_of(function: Any) -> str:
    name = getattr(function, "__qualname__", None) or type(function).__qualname__
    return f"{getattr(function, '__module__', None) or type(function).__module__}.{name}"


def defined(function: Any, root: str) -> str:
    code = getattr(function, "__code__", None)
    return f"defined in {short(code.co_filename, root)}:{code.co_firstlineno}" if code else ""
