"""The bodies of ``async def`` steps: each runs in an event loop of its own."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import threading
from types import CoroutineType
from typing import Any


class CoroutineBody:
    """Runs a coroutine to its end, and lets somebody outside of the loop interrupt it.

    Args:
        body: the coroutine.
    """

    def __init__(self, body: CoroutineType[Any, Any, Any]) -> None:
        self._body = body
        self._task: asyncio.Task[Any] | None = None
        self._error: BaseException | None = None

    def run(self) -> Any:
        """Return the result of the coroutine; raise what it raises, or what interrupted it."""
        try:
            return self._run_beside_loop() if _loop_runs() else asyncio.run(self._main())
        except asyncio.CancelledError as cancelled:
            if self._error is None:
                raise
            # Where the coroutine waited, which is what a person wants to see. Python 3.10 tells it
            # of the error behind the one that the loop raises.
            waited: BaseException = cancelled
            if sys.version_info < (3, 11) and cancelled.__context__ is not None:
                waited = cancelled.__context__
            raise self._error.with_traceback(waited.__traceback__) from None

    def interrupt(self, error: BaseException) -> None:
        """Have the coroutine end by ``error``. For a handler of signals, which runs between any two
        lines of the thread that it interrupts.

        Code that runs gets the error at once, as code that is no coroutine does. A task that waits
        cannot get it from here: it is cancelled, and `run` raises the error in its stead.
        """
        task = self._task
        if task is None or task.done():
            raise error
        loop = task.get_loop()
        running = asyncio.current_task(loop)
        if running is not task:
            self._error = error
            loop.call_soon_threadsafe(task.cancel)  # it wakes a loop that sleeps, too
        if running is not None:
            raise error

    async def _main(self) -> Any:
        self._task = asyncio.current_task()
        return await self._body

    def _run_beside_loop(self) -> Any:
        """Run it where a loop runs already: in a notebook whose cell runs a flow in-process."""
        raised: list[BaseException] = []
        results: list[Any] = []
        context = contextvars.copy_context()

        def target() -> None:
            try:
                results.append(context.run(asyncio.run, self._main()))
            except BaseException as error:  # raised again where the step was called
                raised.append(error)

        thread = threading.Thread(target=target, name="flow-step")
        thread.start()
        thread.join()
        if raised:
            raise raised[0]
        return results[0]


def _loop_runs() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
