"""Makes cards of tasks that have ended, in a process of its own: ``python -m flow_cards.creating``.

`flow card create` starts it, and tells it all on standard input. It forks a child for each card, with a
limit of time, and answers with a line of JSON when one is made, or cannot be.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_cards.children import Children, Outcome, can_fork, finish
from flow_cards.decorator import CardOptions
from flow_cards.workshop import facts_of, make_session, own_output

if TYPE_CHECKING:
    from flow_cards.storage import Place
    from flow_core.api import Session


class Made(NamedTuple):
    """What became of a card.

    Attributes:
        place: of which attempt.
        key: where it lies in the store; ``""`` = it could not be made.
        error: why not, in one line.
        text: the traceback.
    """

    place: Place
    key: str = ""
    error: str = ""
    text: str = ""


def create(session: Session, places: Sequence[Place], card: CardOptions) -> Iterator[Made]:
    """Make a card of each of these attempts; yield what became of it, in the order in which they end.

    Args:
        session: where the attempts lie, with or without the flow.
        places: the attempts.
        card: which card: ``type``, ``id``, ``options``, ``timeout``.
    """
    given = {
        "first": facts_of(session),
        "places": places,
        "card": {n: getattr(card, n) for n in ("type", "id", "options", "timeout")},
        "workers": min(4, os.cpu_count() or 1),
    }
    left = {tuple(place): place for place in places}
    with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as said:
        told.write(json.dumps(given).encode())
        told.seek(0)
        with subprocess.Popen(
            [sys.executable, "-m", "flow_cards.creating"],
            stdin=told,
            stdout=subprocess.PIPE,
            stderr=said,
            env=session.settings.script_environment(),
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                place, *rest = json.loads(line)
                yield Made(left.pop(tuple(place)), *rest)
        said.seek(0)
        text = said.read().decode("utf-8", "replace").strip()
    how = f"the process that makes cards ended with status {process.returncode}"
    yield from (Made(place, error=how, text=text) for place in left.values())


class _Creator:
    """Makes cards, some at a time. What is given: see `create`."""

    def __init__(self, given: Mapping[str, Any], end: int) -> None:
        self._given = given
        self._session = make_session(given["first"])
        self._end = end
        self._selector = selectors.DefaultSelector()
        self._children = Children(self._selector)

    def serve(self) -> None:
        """Make all of them."""
        waiting = deque(self._given["places"])
        try:
            while waiting or len(self._children):
                while waiting and len(self._children) < self._given["workers"]:
                    self._start(waiting.popleft())
                for key, _ in self._selector.select(self._children.wait_time()):
                    key.data.readable(key.fd)
                self._children.end_overdue()
        finally:
            self._children.kill()

    def _start(self, place: Any) -> None:
        work: Any = partial(self.make, place)
        if not can_fork():  # the code of the flow has started threads
            given = json.dumps({**self._given, "places": [place]}).encode()
            work = ([sys.executable, "-m", "flow_cards.creating", "one"], given)
        timeout = self._given["card"]["timeout"]
        self._children.start(work, timeout, partial(self._ended, place))

    def make(self, place: Any) -> str:
        """Make the card of an attempt; return its key."""
        from flow_cards.making import create_card

        return create_card(self._session, tuple(place), CardOptions(**self._given["card"]))

    def _ended(self, place: Any, outcome: Outcome) -> None:
        answer = [place, "", *outcome] if outcome.error else [place, outcome.text]
        view = memoryview(json.dumps(answer).encode() + b"\n")
        while view:
            view = view[os.write(self._end, view) :]


def main() -> None:
    """Make the cards that standard input names."""
    from flow_cards.drawing import get_ready

    given = json.load(sys.stdin)
    end = own_output()
    creator = _Creator(given, end)
    if sys.argv[1:] == ["one"]:
        finish(partial(creator.make, given["places"][0]), end)
    get_ready()
    gc.freeze()  # children need not copy what is there now
    creator.serve()


if __name__ == "__main__":
    main()
