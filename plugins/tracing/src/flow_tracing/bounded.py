"""Calls that are given up after a while: the SDK's own may wait much longer than they are told."""

from __future__ import annotations

import threading
from collections.abc import Callable


def trouble_of(action: Callable[[], object], seconds: float) -> str:
    """Call ``action`` in a thread; return what went wrong, or ``""``.

    One that has not ended after ``seconds`` goes on, and ends with the process.
    """
    trouble = f"no answer within {seconds:g} s"

    def call() -> None:
        nonlocal trouble
        try:
            action()
            trouble = ""
        except Exception as error:  # of an exporter, which may be anybody's
            trouble = f"{type(error).__name__}: {error}"

    thread = threading.Thread(target=call, name="flow-tracing", daemon=True)
    thread.start()
    thread.join(seconds)
    return trouble
