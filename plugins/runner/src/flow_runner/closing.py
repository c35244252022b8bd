"""What ends at the end of a ``with`` block."""

from __future__ import annotations

import asyncio
from typing import Any


class Closing:
    """A context manager, also with ``async with``, that cleans up at its end."""

    def cleanup(self) -> None:
        """End what still runs, and forget what it wrote."""
        raise NotImplementedError

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None:
        self.cleanup()

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.cleanup)
