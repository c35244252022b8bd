"""Pickle: how values become bytes that have no serializer of their own.

Only what a process with such values needs is here: most commands never import it, and a server of
tasks does so once for all of them.
"""

from __future__ import annotations

import functools
import io
import os
import pickle
import re
import sys
import weakref
from collections.abc import Callable, Iterator, Sequence
from types import CodeType, FunctionType
from typing import Any

from flow_core.errors import ArtifactError
from flow_core.interfaces import Buffer
from flow_core.package import path_anywhere
from flow_core.text import type_name

_LONGEST_PATH, _LONGEST_LABEL = 200, 60


class PickleSerializer:
    """Pickle protocol 5 with the buffers out of band: for every value that has no serializer.

    Functions, and classes of the flow's own file, are stored by value (cloudpickle), so that a
    reader in another script or notebook, which does not have them, gets them back. Inside the flow
    the file's own class is used.
    """

    tag = "pickle"
    safe = False

    def can(self, value: Any) -> bool:
        """Always True: whether it really can be stored shows when it is tried."""
        return True

    def dump(self, value: Any) -> Sequence[Buffer]:
        """Return the pickle stream and the buffers."""
        if type(value) in _PLAIN and len(value) >= _LONG:
            value = _Long(value)
        buffers: list[pickle.PickleBuffer] = []
        stream = _dump_stream(value, buffers.append)
        return [stream, *(_flat(b) for b in buffers)]

    def load(self, parts: Sequence[Buffer]) -> Any:
        """Undo `dump`."""
        if len(parts) == 2:
            for kind in _PLAIN:
                if bytes(parts[0]) == _stream_of_long(kind):
                    return _moved(memoryview(parts[1]), kind)
        return pickle.loads(parts[0], buffers=parts[1:])


class _Long:
    """Pickled as what makes `bytes` or a `bytearray` of a buffer: pickle itself would copy their
    content into its stream, and this is as much memory again."""

    def __init__(self, value: bytes | bytearray) -> None:
        self.value = value

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self.value), (pickle.PickleBuffer(self.value),)


_PLAIN = (bytes, bytearray)
_LONG = 8 << 20
_STEP = 8 << 20


@functools.cache
def _stream_of_long(kind: type[bytes] | type[bytearray]) -> bytes:
    return _dump_stream(_Long(kind()), lambda _: None)


def _moved(content: memoryview, kind: type[bytes] | type[bytearray]) -> bytes | bytearray:
    """Return a copy of ``content``, which nobody needs any more; where it is mapped memory, that is
    given back while it is copied."""
    give_back = _giver(content)
    stream, array = io.BytesIO(), bytearray()
    add: Callable[[Buffer], Any] = stream.write if kind is bytes else array.extend
    for at in range(0, content.nbytes, _STEP):
        piece = content[at : at + _STEP]
        add(piece)
        give_back(at + piece.nbytes)
    return stream.getvalue() if kind is bytes else array  # neither is copied once more


def _giver(content: memoryview) -> Callable[[int], None]:
    """Return what gives back the memory of the first so many bytes of ``content``."""
    import mmap

    mapped, free = content.obj, 0
    if not isinstance(mapped, mmap.mmap) or content.readonly or not hasattr(mmap, "MADV_DONTNEED"):
        return lambda length: None
    from ctypes import addressof, c_char

    start = addressof(c_char.from_buffer(content)) - addressof(c_char.from_buffer(mapped))

    def give_back(length: int) -> None:
        nonlocal free
        done = (start + length) // mmap.PAGESIZE * mmap.PAGESIZE
        if done > free:
            mapped.madvise(mmap.MADV_DONTNEED, free, done - free)
            free = done

    return give_back


def _flat(buffer: pickle.PickleBuffer) -> memoryview:
    """Return a view of the buffer's bytes; `raw` of it fails for arrays that are not contiguous,
    which pickle therefore never passes here."""
    return buffer.raw()


class _Pickler(pickle.Pickler):
    """Stores what only this process knows by value: the flow file's classes, and functions."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, (type, FunctionType)) and _only_here(value):
            payload = payload_of(value)
            place = (main_place(), value.__module__, value.__qualname__)
            return restore_local, (*place, payload, _python())
        return NotImplemented


def _main_file() -> str:
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.realpath(file) if file else ""


def main_place() -> str:
    """Return what tells the flow's file from all others, wherever it lies: its path in a snapshot of
    the code, and the flow that runs, else those of the file: ``movies_flow.py:MoviesFlow``.

    Of a script without flows it is the path, of a notebook ``""``.
    """
    from flow_core.context import current

    file, flows = _main_file(), _flows_of_main()
    if not file or not flows:
        return file
    return f"{path_anywhere(file)}:{current.flow_name or ','.join(flows)}"


def _is_main(place: str) -> bool:
    """Whether ``place``, as from `main_place` or as older ones were, is the file that runs here."""
    file = _main_file()
    if place == file:
        return True
    inside, _, flows = place.rpartition(":")
    if not file or not inside or inside != path_anywhere(file):
        return False
    return not {*flows.split(",")}.isdisjoint(_flows_of_main())


def _flows_of_main() -> list[str]:
    from flow_core.flowspec import flows_in

    main = sys.modules.get("__main__")
    return sorted(cls.__name__ for cls in flows_in(vars(main), "__main__")) if main else []


SENT = "__flow_sent__"
"""Mark of a ``__main__`` that was made of what another process sent: see `flow_core.byvalue`."""


def dump_by_value(value: Any, *, anywhere: bool = False) -> bytes:
    """Return a class or function of ``__main__``, with all that it uses of it, as bytes that are
    equal for equal code.

    Args:
        value: the class or function.
        anywhere: whether they are equal in another folder, too: of paths of files only that part is
            kept which is the same there. Else the source can be found by them.
    """
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            if anywhere and isinstance(obj, CodeType):
                code = obj.replace(co_filename=path_anywhere(obj.co_filename))
                return self.dispatch_table[CodeType](code)
            reduced = super().reducer_override(obj)
            if anywhere and isinstance(obj, FunctionType):
                _without_place(reduced)
            if isinstance(obj, type) and isinstance(reduced, tuple):
                # cloudpickle gives each class a random number, so that a process that reads it
                # twice gets one class. Our payloads must be equal for equal code; `_restored`
                # does the same by the payload.
                make, arguments, *rest = reduced
                plain = tuple(None if _is_tracker(a) else a for a in arguments)
                reduced = (make, _with_slots(obj, make, plain), *rest)
                if rest and isinstance(rest[0], tuple) and isinstance(rest[0][0], dict):
                    # What pickle notes in a class when it first stores an instance of it.
                    rest[0][0].pop("__slotnames__", None)
            return reduced

    buffer = io.BytesIO()
    Pickler(buffer, protocol=5).dump(value)
    return buffer.getvalue()


def _without_place(reduced: Any) -> None:
    """Change what cloudpickle stores of the globals of a function: see `dump_by_value`."""
    arguments: Any = reduced[1] if isinstance(reduced, tuple) else ()
    shared = arguments[1] if len(arguments) > 1 else None
    if isinstance(shared, dict) and shared.get("__file__"):
        shared["__file__"] = path_anywhere(shared["__file__"])


def _with_slots(cls: type, make: Any, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """Let the class get its ``__slots__``, which cloudpickle leaves out: instances would be stored
    in another form there, which the class itself cannot read."""
    if "__slots__" not in vars(cls) or make.__name__ != "_make_skeleton_class":
        return arguments
    kind, name, bases, given, *rest = arguments
    return (kind, name, bases, {**given, "__slots__": vars(cls)["__slots__"]}, *rest)


def _is_tracker(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{32}", value) is not None


_PAYLOADS: weakref.WeakKeyDictionary[Any, bytes] = weakref.WeakKeyDictionary()
"""The bytes from which classes and functions were made. What is made of bytes is as good as equal,
but cloudpickle would write it in other ones; and equal values should have equal hashes."""


@functools.lru_cache(maxsize=256)
def _restored(payload: bytes) -> Any:
    value = pickle.loads(payload)
    keep_payload(value, payload)
    return value


def keep_payload(value: Any, payload: bytes) -> None:
    """Let ``payload``, from which ``value`` was made, be what it is stored as."""
    _PAYLOADS[value] = payload


def payload_of(value: Any) -> bytes:
    """Return a class or function by value: `dump_by_value`, or what it was made from."""
    return _PAYLOADS.get(value) or dump_by_value(value, anywhere=True)


def _only_here(value: Any) -> bool:
    module = getattr(value, "__module__", None)
    return module == "__main__" or "<" in getattr(value, "__qualname__", "")


def _python() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def restore_local(
    file: str, module: str, qualname: str, payload: bytes, python: str | None = None
) -> Any:
    """Return a class or function that was stored by value. Its name is part of the stored format.

    In the flow's own process this is the object of the flow file, so that ``isinstance`` holds. In
    a notebook, which has no file, it is the notebook's, if that is (still) the same.

    Args:
        file: of ``__main__``, where it was stored: `main_place`, of older ones its path.
        module, qualname: its name there.
        payload: see `dump_by_value`.
        python: version of the Python that wrote the payload, ``3.12``; None = not known.

    Raises:
        ArtifactError: another version of Python wrote it, and it is not defined here either.
    """
    if module == "__main__" and _is_main(file):
        main: Any = sys.modules.get("__main__")
        found = main
        for part in qualname.split("."):
            found = getattr(found, part, None)
        if found is not None and (file or hasattr(main, SENT) or _is_same(found, payload)):
            return found
    if python is not None and python != _python():
        # Not a matter of taste: the machine code of one version crashes another one.
        raise ArtifactError(
            f"'{qualname}' was stored by Python {python}; this is Python {_python()}",
            why="it is defined in the script, or in a function, so its code is stored with it, and "
            "no other version of Python can run that",
            hint=f"define '{qualname}' in a module of its own that both import, or use Python "
            f"{python} here",
        )
    return _restored(payload)


def _is_same(value: Any, payload: bytes) -> bool:
    try:
        return isinstance(value, (type, FunctionType)) and payload_of(value) == payload
    except Exception:  # it uses what cannot be stored now: then it is not what was stored
        return False


def _dump_stream(value: Any, take: Callable[[pickle.PickleBuffer], Any] | None) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=5, buffer_callback=take).dump(value)
    return buffer.getvalue()


def dump_in_band(name: str, value: Any) -> bytes:
    """Return ``value`` as one pickle; `ArtifactError` when that cannot be."""
    try:
        return _dump_stream(value, None)
    except Exception as error:
        raise unstorable(name, value, error) from error


def unstorable(name: str, value: Any, error: Exception) -> ArtifactError:
    """Return the error for an artifact that could not be dumped; it names the part at fault."""
    path, culprit = find_unpicklable(f"self.{name}", value)
    what = f"Artifact '{name}' cannot be stored: {path} is a {type_name(culprit)}"
    private = f"give it a name that is not kept: self.__{name.partition('[')[0].lstrip('_')}"
    why = f"{type(error).__name__}: {error}"
    if isinstance(error, RecursionError):
        return ArtifactError(
            f"{what} with too many levels below it",
            why=why,
            hint="store it flat, such as a list of nodes that refer to each other by number, "
            f"or {private}",
        )
    return ArtifactError(
        what,
        why=why,
        hint="keep what can be stored (data, not connections, locks, files or generators), "
        f"or {private}",
    )


def find_unpicklable(path: str, value: Any) -> tuple[str, Any]:
    """Return the path to, and the value of, the innermost part of ``value`` that pickle refuses.

    Of a long path the middle is left out.
    """
    seen: set[int] = set()
    labels = [path]
    while id(value) not in seen:
        seen.add(id(value))
        for label, child in _children(value):
            if not picklable(child):
                labels.append(_shorten(label, _LONGEST_LABEL))
                value = child
                break
        else:
            break
    return _shorten("".join(labels), _LONGEST_PATH), value


def _shorten(text: str, most: int) -> str:
    """Return ``text`` with at most ``most`` characters, of which ``…`` stands for the middle."""
    half = (most - 1) // 2
    return text if len(text) <= most else f"{text[:half]}…{text[-half:]}"


def picklable(value: Any) -> bool:
    """Whether ``value`` can be stored."""
    try:
        _dump_stream(value, None)
    except Exception:  # of any type: it cannot be stored
        return False
    return True


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield f"[{_repr(key)}]", item
    elif isinstance(value, (list, tuple)):
        for number, item in enumerate(value):
            yield f"[{number}]", item
    elif isinstance(value, (set, frozenset)):
        for item in value:
            yield "{…}", item
    elif not isinstance(value, type):
        for name, item in _state(value).items():
            yield f".{name}", item


def _repr(key: Any) -> str:
    try:
        return repr(key)
    except Exception:  # of the user's class, or nested too deeply
        return f"<{type_name(key)}>"


def _state(value: Any) -> dict[str, Any]:
    """Return the attributes that pickle would store; none when the class sees to that itself."""
    kind: Any = type(value)
    if kind.__reduce__ is not object.__reduce__ or kind.__reduce_ex__ is not object.__reduce_ex__:
        return {}
    try:
        # Objects have __getstate__ from Python 3.11 on.
        state = value.__getstate__() if hasattr(value, "__getstate__") else value.__dict__
    except Exception:
        return {}  # the class refuses: the object itself is what cannot be stored
    parts = state if isinstance(state, tuple) else (state,)
    return {k: v for part in parts if isinstance(part, dict) for k, v in part.items()}
