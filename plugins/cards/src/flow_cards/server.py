"""``flow card server``: shows the cards of a run in the browser, and keeps them up to date.

Addresses:

    /                                  the cards of the run that is followed
    /run/FLOW/RUN                      those of another run
    /card/FLOW/RUN/STEP/TASK/NUMBER    a card: while its task runs a live page, then the file as it is
    /runs/…/cards/….html               a card's file, by its key in the store
    /events/…                          server-sent events of the first three
    /api/…                             the same facts as JSON
    /script/NAME.js                    one of our scripts

It reads, and changes nothing. The facts come from `flow_cards.watching`.
"""

from __future__ import annotations

import errno
import secrets
import socket
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlencode

from flow_cards.answers import Answer
from flow_cards.children import line_of
from flow_cards.hosts import is_unspecified
from flow_cards.live_link import LiveLink
from flow_cards.watching import CardWatch, RunWatch
from flow_core.api import UsageError

if TYPE_CHECKING:
    from flow_core.api import Session

T = TypeVar("T")

_REMEMBERED = 50
_WATCHED = 200
_HOSTS = "--host 127.0.0.1 for this machine alone, --host 0.0.0.0 for others, too"


class CardServer(ThreadingHTTPServer):
    """Serves the cards of a store. Use it in ``with``, and call `serve_forever`.

    Args:
        session: the session, with a flow or without.
        flow, run: the run that is followed; None = the latest one, of any flow.
        host: address to listen at.
        port: 0 = any free one.
        token: what who wants to see cards must know; None = nothing.
        most: how many cards of a step are listed at a time.
        poll: seconds between two looks into the store, at least.

    Raises:
        UsageError: nobody can listen there.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        session: Session,
        *,
        flow: str | None = None,
        run: str | None = None,
        host: str = "127.0.0.1",
        port: int = 8324,
        token: str | None = None,
        most: int = 30,
        poll: float = 0.25,
    ) -> None:
        self.session = session
        self.token = token
        self.host = host
        self.most = most
        self.poll = poll
        self.followed = (flow, run)
        self.ending = threading.Event()
        self._lock = threading.Lock()
        self._runs: OrderedDict[Any, RunWatch] = OrderedDict()
        self._cards: OrderedDict[Any, CardWatch] = OrderedDict()
        self._states: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._told: set[str] = set()
        self._link = LiveLink(session)
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), Answer)
        except (OSError, OverflowError) as error:
            self._link.close()
            raise _cannot_listen(host, port, error) from None
        self._link.get_ready()

    def server_bind(self) -> None:
        """Listen, without asking the network for the name of this machine."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = self.host, self.socket.getsockname()[1]

    def server_close(self) -> None:
        """End: streams of events, and the process that draws."""
        self.ending.set()
        super().server_close()
        self._link.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Let clients go away; say what else goes wrong."""
        error = sys.exc_info()[1]
        if error is not None and not isinstance(error, OSError):
            self.tell(error)

    def tell(self, error: BaseException) -> None:
        """Say on standard error what went wrong, in one line, once."""
        line = f"card server: {line_of(error)}"
        with self._lock:
            known, self._told = line in self._told, {*self._told, line}
        if not known:
            sys.stderr.write(f"{line}\n")

    @property
    def url(self) -> str:
        """Where to look, with the token."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        if is_unspecified(self.host):
            host = socket.gethostname()
        query = f"?{urlencode({'token': self.token})}" if self.token else ""
        return f"http://{host}:{self.server_port}/{query}"

    @property
    def cookie(self) -> str:
        """Name of the cookie: cookies are shared by all ports of a host."""
        return f"flow_cards_{self.server_port}"

    def run_watch(self, flow: str | None, run: str | None) -> RunWatch:
        """Return what watches a run."""
        with self._lock:
            return _of(
                self._runs, (flow, run), lambda: RunWatch(self.session, flow, run, self.poll)
            )

    def card_watch(self, place: tuple[str, str, str, int], number: int) -> CardWatch:
        """Return what watches a card."""
        with self._lock:
            return _of(
                self._cards,
                (place, number),
                lambda: CardWatch(self.session, self._link, place, number, self.poll),
            )

    def remember(self, state: str, hashes: tuple[str, ...]) -> None:
        """Keep which parts a page has that is in this state: who comes back is told the rest."""
        with self._lock:
            self._states[state] = hashes
            self._states.move_to_end(state)
            while len(self._states) > _REMEMBERED:
                self._states.popitem(last=False)

    def known(self, state: str) -> set[str]:
        """Return the parts of a page in this state; empty when that is not known."""
        with self._lock:
            return set(self._states.get(state, ()))


def _of(kept: OrderedDict[Any, T], key: Any, make: Callable[[], T]) -> T:
    if key not in kept:
        kept[key] = make()
    kept.move_to_end(key)
    while len(kept) > _WATCHED:
        kept.popitem(last=False)
    return kept[key]


def _cannot_listen(host: str, port: int, error: Exception) -> UsageError:
    what = f"The server of cards cannot listen at {host}:{port}"
    why = getattr(error, "strerror", None) or str(error)
    another = f"--port {port + 1 if 0 < port < 65535 else 8324}, or --port 0 for any free one"
    if isinstance(error, socket.gaierror):
        why, where, hint = f"no address is known for '{host}': {why}", "--host", _HOSTS
    elif getattr(error, "errno", None) == errno.EADDRNOTAVAIL:
        why, where, hint = f"{why}: this machine does not have it", "--host", _HOSTS
    elif getattr(error, "errno", None) == errno.EADDRINUSE:
        why, where, hint = f"{why}: maybe another one runs there", "--host, --port", another
    else:
        where, hint = "--host, --port", another
    return UsageError(what, where=where, why=why, hint=hint)


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(24)
