"""What code some data brings to run: `code_made`, for tests of serializers that are called safe."""

from __future__ import annotations

import pickle
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

_EVENTS = ("compile", "exec", "marshal.loads", "pickle.find_class")

_listening: dict[int, list[str]] = {}
"""Thread → what it has heard. The hook that fills it cannot be removed, and does nothing without."""

_hooked: list[bool] = []


@contextmanager
def code_made() -> Iterator[list[str]]:
    """Hear of code that this thread makes or takes from data: ``eval``, ``exec``, pickle, marshal.

    Imports make code as well: let everything be imported before. What C code unpickles by itself is
    heard only if it asks for a class or a function.
    """
    if not _hooked:
        sys.addaudithook(_heard)
        _hooked.append(True)
    heard = _listening[threading.get_ident()] = []
    try:
        with mock.patch.multiple(pickle, loads=_telling("loads"), load=_telling("load")):
            yield heard
    finally:
        del _listening[threading.get_ident()]


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if _listening and event in _EVENTS and threading.get_ident() in _listening:
        _listening[threading.get_ident()].append(event)


def _telling(name: str) -> Any:
    function = getattr(pickle, name)

    def told(*arguments: Any, **options: Any) -> Any:
        _listening.get(threading.get_ident(), []).append(f"pickle.{name}")
        return function(*arguments, **options)

    return told
