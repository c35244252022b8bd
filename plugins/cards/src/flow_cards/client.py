"""`get_cards`: the cards of a task, from Python; a notebook shows them."""

from __future__ import annotations

import os
import tempfile
import webbrowser
from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from flow_cards.finding import Found, follow, select
from flow_cards.storage import read_added, read_html, run_cards
from flow_cards.wording import count_text
from flow_core.api import NotFound, UsageError, installed

if TYPE_CHECKING:
    from flow_core.api import Store


class Card:
    """A card in a store. Since 0.1.

    Attributes:
        type: its type; ``error`` for one that says why another could not be made.
        id: its id, or None.
        hash: the first 20 digits of the SHA-256 of the page.
        pathspec: the task that left it; of a card of a run, the run.
    """

    def __init__(self, store: Store, found: Found) -> None:
        self._store = store
        self._found = found
        self.type = found.card.type
        self.id = found.card.id or None
        self.hash = found.card.hash
        self.pathspec = found.card.pathspec

    @property
    def path(self) -> str | None:
        """The file, where the store keeps plain files of this machine; else None."""
        return self._store.local_path(self._found.card.key)

    def get(self) -> str:
        """Return the page, a document of HTML.

        Raises:
            NotFound: it is gone.
        """
        html = read_html(self._store, self._found.card)
        if html is None:
            raise NotFound(
                f"A card of {self.pathspec} is gone",
                where=f"{self._store.url}, key {self._found.card.key}",
                why="its run was removed, or it was made anew",
                hint="ask for the cards again: get_cards(task)",
            )
        return html

    def get_data(self) -> Any:
        """Return what the step gave to ``current.card.refresh``; None when it gave nothing."""
        if not self._found.card.step:
            return None  # of a run
        return read_added(self._store, self._found.card.place, [self._found.card.number])[0].data

    def view(self) -> str:
        """Open it in the browser; return the path of the file.

        Where the store has no plain files, it is a file for the time being.
        """
        return open_in_browser(self._store, self._found)

    def _repr_html_(self) -> str:
        return frame(self.get())

    def __repr__(self) -> str:
        name = f" '{self.id}'" if self.id else ""
        return f"<Card {self.type}{name} of {self.pathspec}>"


class CardContainer(Sequence[Card]):
    """The cards of a task, in the order of their ``@card``. Since 0.1.

    Attributes:
        from_resumed: whether the task was reused, and the cards are those of the one that ran.
        origin_pathspec: that task, or None.
    """

    def __init__(self, cards: Sequence[Card], origin: str | None) -> None:
        self._cards = list(cards)
        self.origin_pathspec = origin
        self.from_resumed = origin is not None

    def __len__(self) -> int:
        return len(self._cards)

    def __getitem__(self, number: Any) -> Any:
        return self._cards[number]

    def __iter__(self) -> Iterator[Card]:
        return iter(self._cards)

    def _repr_html_(self) -> str:
        return "".join(card._repr_html_() for card in self) or "<p>no cards</p>"

    def __repr__(self) -> str:
        return f"<{count_text(len(self), 'card')}>"


def get_cards(
    task: Any, id: str | None = None, type: str | None = None, follow_resumed: bool = True
) -> CardContainer:
    """Return the cards of a task, or those of a run as a whole.

    Args:
        task: a `Task` of the client, or its pathspec, ``Flow/run/step/task``; or a `Run`, ``Flow/run``.
        id, type: only those with this id, of this type.
        follow_resumed: of a task that was reused, whether to return the cards of the one that ran.

    Raises:
        UsageError: it is neither.
        ObjectNotFound: there is no such task, or run.

    Since 0.1.
    """
    if isinstance(task, str):
        from flow_core import Run, Task  # of the client, which the kernel finds

        task = Run(task) if task.count("/") == 1 else Task(task)
    try:
        place = task.pathspec.split("/")
        if len(place) != 2:
            flow, run, step, number = place
            of_task = (flow, run, step, int(number), int(task.attempt))
        datastore, _ = task.stored_in
    except (AttributeError, ValueError):
        raise UsageError(
            f"Cards are those of a task, not of {task!r:.80}",
            where="get_cards",
            hint="get_cards('MyFlow/3/train/7'), get_cards(Task('MyFlow/3/train/7'))",
        ) from None
    store: Store = installed().open("flow.stores", datastore)
    if len(place) == 2:
        found = [Found(task.pathspec, card) for card in run_cards(store, *place)]
    else:
        found = follow(store, of_task, follow_resumed=follow_resumed)
    chosen = select(found, id=id, type=type)
    origin = next((one.origin for one in found), None)
    return CardContainer([Card(store, one) for one in chosen], origin)


def frame(html: str) -> str:
    """Return a page as a part of another one: its scripts, if it has any, see nothing of that."""
    return (
        '<iframe sandbox="allow-scripts" style="width:100%;height:600px;border:1px solid #8885" '
        f'srcdoc="{escape(html)}"></iframe>'
    )


def open_in_browser(store: Store, found: Found) -> str:
    """Open a card in the browser; return the path of its file."""
    path = store.local_path(found.card.key)
    if path is None or not os.path.exists(path):
        html = read_html(store, found.card) or ""
        name = found.card.key.rpartition("/")[2].removesuffix(".html")
        with tempfile.NamedTemporaryFile(
            "w", prefix=f"{name}-", suffix=".html", delete=False, encoding="utf-8"
        ) as file:
            file.write(html)
        path = file.name
    webbrowser.open(f"file://{path}")
    return path
