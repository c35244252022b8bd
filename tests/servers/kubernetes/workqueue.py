"""Keys that wait to be looked at: each once, however often it changed, now or after a while."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class WorkQueue(Generic[Key]):
    """Calls a function for each key that has changed.

    Args:
        look: is called with one key at a time, soon after it was added.
    """

    def __init__(self, look: Callable[[Key], None]) -> None:
        self._look = look
        self._waiting: dict[Key, None] = {}
        self._planned: dict[Key, asyncio.TimerHandle] = {}
        self._is_planned = False

    def add(self, key: Key) -> None:
        """Look at a key soon."""
        self._waiting[key] = None
        if not self._is_planned:
            self._is_planned = True
            asyncio.get_running_loop().call_soon(self._go_on)

    def add_later(self, key: Key, seconds: float) -> None:
        """Look at a key after a while, unless that is planned for an earlier time: who looks then
        plans anew."""
        loop = asyncio.get_running_loop()
        planned = self._planned.get(key)
        if planned is not None:
            if planned.when() <= loop.time() + seconds:
                return
            planned.cancel()
        self._planned[key] = loop.call_later(max(seconds, 0), self._add_planned, key)

    def _add_planned(self, key: Key) -> None:
        del self._planned[key]
        self.add(key)

    def _go_on(self) -> None:
        self._is_planned = False
        waiting, self._waiting = self._waiting, {}
        for key in waiting:
            try:
                self._look(key)
            except Exception:  # one object that is strange must not stop all others
                traceback.print_exc(file=sys.stderr)
