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

import contextlib
import errno
import hmac
import ipaddress
import json
import re
import secrets
import socket
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import parse_qs, urlencode, urlsplit

from flow_cards import pages
from flow_cards.children import line_of
from flow_cards.live import View
from flow_cards.live_link import LiveLink
from flow_cards.storage import parse_key, read_html
from flow_cards.watching import CardWatch, Overview, RunWatch, Seen
from flow_core.api import FlowError, NotFound, UsageError

if TYPE_CHECKING:
    from flow_core.api import Session

T = TypeVar("T")

_HEARTBEAT = 5.0
_FIRST = 1.5
_REMEMBERED = 50
_WATCHED = 200
_RETRY = 500
_HOSTS = "--host 127.0.0.1 for this machine alone, --host 0.0.0.0 for others, too"
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_RUN = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_RUN_PATH = re.compile(rf"/run/({_NAME})/({_RUN})")
_CARD_PATH = re.compile(rf"/card/({_NAME})/({_RUN})/({_NAME})/(\d{{1,12}})/(\d{{1,4}})")
_STATE = re.compile(r"[A-Za-z0-9-]{1,50}")
_SCRIPT_PATH = re.compile(r"/script/([a-z_]{1,30})\.js")

_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
_NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
# A card's file has its own policy in it, which is stricter: by hashes. This one holds where somebody has
# changed the file: nothing is fetched from the server or elsewhere.
_FILE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; media-src data: blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


class Refused(Exception):
    """A request that is not answered: status and text."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


class State(NamedTuple):
    """How a page stands.

    Attributes:
        id: another one whenever something changes; ``""`` while nothing is known.
        event: the event that tells it.
        told: returns its data, for a browser that knows parts with these hashes.
        hashes: of its parts.
        sign: how it stands, in a few words.
        over: whether nothing will change any more.
    """

    id: str
    event: str
    told: Callable[[set[str]], dict[str, Any]]
    hashes: tuple[str, ...]
    sign: str
    over: bool


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
            super().__init__((host, port), _Handler)
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


def is_loopback(host: str) -> bool:
    """Whether only programs of this machine reach an address."""
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def is_unspecified(host: str) -> bool:
    """Whether an address means all of this machine's."""
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_unspecified
    return host == ""


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(24)


# --- requests -----------------------------------------------------------------------------------


class _Handler(BaseHTTPRequestHandler):
    server: CardServer
    protocol_version = "HTTP/1.1"
    timeout = 60
    _begun = False

    def do_GET(self) -> None:
        """Answer."""
        self._begun = False
        try:
            self._answer()
        except Refused as refused:
            self._send_text(refused.status, refused.text)
        except NotFound as missing:
            self._send_error_page(missing)
        except FlowError as error:  # of the store or the index, which may be back soon
            self._send_text(HTTPStatus.SERVICE_UNAVAILABLE, str(error))
        except (ConnectionError, TimeoutError):
            self.close_connection = True  # the client went away
        except Exception as error:  # a mistake of ours, or of a provider: the server lives on
            self.server.tell(error)
            self.close_connection = True
            if not self._begun:
                self._send_text(HTTPStatus.INTERNAL_SERVER_ERROR, f"Sorry: {line_of(error)}")

    def version_string(self) -> str:
        """Say no versions."""
        return "flow-cards"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: the terminal is for people."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no GET, or no HTTP."""
        status = HTTPStatus.METHOD_NOT_ALLOWED if code == HTTPStatus.NOT_IMPLEMENTED else code
        self.close_connection = True
        with contextlib.suppress(OSError):
            self._send_text(HTTPStatus(status), message or HTTPStatus(status).phrase)

    def _answer(self) -> None:
        try:
            parts = urlsplit(self.path)
        except ValueError:
            raise Refused(HTTPStatus.BAD_REQUEST, "This is no address") from None
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self._check_host()
        if self._take_token(parts.path, query):
            return
        path = parts.path
        if path.startswith(("/events/", "/api/")):
            self._check_site()
            kind, path = path[1:].split("/", 1)
            path = "/" + path
        else:
            kind = "page"
        if found := _CARD_PATH.fullmatch(path):
            flow, run, step, task, number = found.groups()
            watch = self.server.card_watch((flow, run, step, int(task)), int(number))
            self._card(kind, watch)
        elif path in ("/", "/latest") or _RUN_PATH.fullmatch(path):
            named = _RUN_PATH.fullmatch(path)
            flow_run = named.groups() if named else self.server.followed
            self._run(kind, self.server.run_watch(*flow_run), query)
        elif kind == "page" and (found := _SCRIPT_PATH.fullmatch(path)):
            self._script(found[1])
        elif kind == "page" and path.startswith("/runs/"):
            self._file(path[1:])
        else:
            raise Refused(HTTPStatus.NOT_FOUND, "There is nothing at this address: try /")

    # --- who may ask ---

    def _check_host(self) -> None:
        """Refuse names that lead here though they are another's: DNS rebinding."""
        if self.server.token is not None:
            return  # which no page of another can know
        try:
            name = urlsplit("//" + (self.headers.get("Host") or "")).hostname or ""
        except ValueError:
            name = ""
        if not is_loopback(name):
            raise Refused(
                HTTPStatus.FORBIDDEN,
                f"This server is http://127.0.0.1:{self.server.server_port}/, "
                "and answers under no other name",
            )

    def _check_site(self) -> None:
        """Let no other site read along, where the browser says who asks."""
        if self.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            raise Refused(HTTPStatus.FORBIDDEN, "Another site asks for this")

    def _take_token(self, path: str, query: dict[str, str]) -> bool:
        """Check the token; one in the address becomes a cookie, and vanishes from the address."""
        token = self.server.token
        if token is None:
            return False
        if "token" in query:
            if not _same(query.pop("token"), token):
                raise self._no_token()
            rest = f"?{urlencode(query)}" if query else ""
            cookie = f"{self.server.cookie}={token}; Path=/; HttpOnly; SameSite=Lax"
            self._send(
                HTTPStatus.SEE_OTHER,
                b"",
                "text/plain",
                {"Location": _own_path(path) + rest, "Set-Cookie": cookie},
            )
            return True
        if not _same(self._given_token(), token):
            raise self._no_token()
        return False

    def _given_token(self) -> str:
        given = self.headers.get("Authorization", "")
        if given.startswith("Bearer "):
            return given.removeprefix("Bearer ")
        try:
            cookies = SimpleCookie(self.headers.get("Cookie", ""))
        except CookieError:
            return ""
        found = cookies.get(self.server.cookie)
        return found.value if found is not None else ""

    def _no_token(self) -> Refused:
        return Refused(
            HTTPStatus.FORBIDDEN,
            "This needs the token: open the address that 'flow card server' has printed",
        )

    # --- a card ---

    def _card(self, kind: str, watch: CardWatch) -> None:
        if kind == "events":
            self._stream(lambda: _card_state(watch), watch.wait)
            return
        if kind == "api":
            self._send_json(_card_facts(watch))
            return
        seen = watch.first_view(_FIRST)
        if seen.card is not None:
            html = read_html(self.server.session.store, seen.card)
            if html is not None:
                self._send_html(html, _FILE_POLICY)
                return
        view = pages.card_view(seen, "/".join(map(str, watch.place)))
        self._send_view(view, f"/events{urlsplit(self.path).path}?v=1")

    def _file(self, key: str) -> None:
        card = parse_key(key)
        html = read_html(self.server.session.store, card) if card is not None else None
        if html is None:
            raise NotFound("There is no such card", hint="go to the list of cards: /")
        self._send_html(html, _FILE_POLICY)

    def _script(self, name: str) -> None:
        from flow_cards.drawing import script, script_names

        if name not in script_names():
            raise Refused(HTTPStatus.NOT_FOUND, "There is no such script")
        self._send(HTTPStatus.OK, script(name).encode(), "text/javascript; charset=utf-8")

    # --- a run ---

    def _run(self, kind: str, watch: RunWatch, query: dict[str, str]) -> None:
        step = query.get("step", "")
        page = int(query["page"]) if query.get("page", "").isdecimal() else 1
        flow = self.server.followed[0]

        def view(overview: Overview) -> View:
            return pages.run_view(
                overview,
                flow,
                self.server.most,
                step,
                min(page, 10**9),
                follows=watch.run is None,
            )

        if kind == "events":
            self._stream(lambda: _run_state(view(watch.look())), self.server.ending.wait)
            return
        overview = watch.look()
        if overview.run is None and watch.run is not None:
            raise NotFound(f"There is no run {watch.flow}/{watch.run}", hint="the latest one: /")
        if kind == "api":
            self._send_json(_run_facts(overview))
            return
        path = urlsplit(self.path).path
        path = "/latest" if path == "/" else path
        more = urlencode({"v": 1, **({"step": step, "page": page} if step else {})})
        self._send_view(view(overview), f"/events{path}?{more}")

    # --- events ---

    def _stream(self, look: Callable[[], State], wait: Callable[[float], Any]) -> None:
        """Send events until nothing changes any more, the client has gone, or the server ends."""
        query = parse_qs(urlsplit(self.path).query)
        given = self.headers.get("Last-Event-ID") or query.get("state", [""])[-1]
        last = given if _STATE.fullmatch(given) else ""
        state = look()  # a card that there is not is an error, and no stream
        self.close_connection = self._begun = True
        self.send_response(HTTPStatus.OK)
        self._send_headers({"Content-Type": "text/event-stream", "Connection": "close"})
        self.end_headers()
        known = self.server.known(last)
        if state.id in ("", last):
            self._event("same", last, {"sign": state.sign})
        said = time.monotonic()
        sign = state.sign
        while not self.server.ending.is_set():
            if state.id and state.id != last:
                self._event(state.event, state.id, state.told(known))
                last, sign, said = state.id, state.sign, time.monotonic()
                known = set(state.hashes)
                self.server.remember(state.id, state.hashes)
            elif sign != state.sign:
                self._event("same", last, {"sign": state.sign})
                sign, said = state.sign, time.monotonic()
            elif time.monotonic() - said > _HEARTBEAT:
                self._write("event: beat\ndata: all is well\n\n")
                said = time.monotonic()
            if state.event == "made" and state.over:
                return
            wait(self.server.poll)
            try:
                state = look()
            except FlowError:
                return  # the client comes back, and sees what is wrong

    def _event(self, name: str, id: str, data: Any) -> None:
        self._write(f"event: {name}\nid: {id}\nretry: {_RETRY}\ndata: {json.dumps(data)}\n\n")

    def _write(self, text: str) -> None:
        self.wfile.write(text.encode())
        self.wfile.flush()

    # --- answers ---

    def _send_view(self, view: View, events: str, status: HTTPStatus = HTTPStatus.OK) -> None:
        self.server.remember(view.digest, view.hashes)
        self._send_html(pages.page_of(view, events), None, status)

    def _send_error_page(self, error: FlowError) -> None:
        from flow_cards.drawing import page

        view = pages.error_view(error)
        html = page(view.title, view.header, view.parts)
        self._send_html(html, _FILE_POLICY, HTTPStatus.NOT_FOUND)

    def _send_html(self, html: str, policy: str | None, status: HTTPStatus = HTTPStatus.OK) -> None:
        headers = {"Content-Security-Policy": policy or "frame-ancestors 'none'"}
        self._send(status, html.encode("utf-8", "replace"), "text/html; charset=utf-8", headers)

    def _send_json(self, data: Any) -> None:
        headers = {"Content-Security-Policy": _NOTHING}
        content = json.dumps(data, indent=2).encode() + b"\n"
        self._send(HTTPStatus.OK, content, "application/json", headers)

    def _send_text(self, status: HTTPStatus, text: str) -> None:
        headers = {"Content-Security-Policy": _NOTHING}
        self._send(status, f"{text}\n".encode(), "text/plain; charset=utf-8", headers)

    def _send(
        self, status: HTTPStatus, content: bytes, kind: str, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        self._send_headers(
            {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}
        )
        self.end_headers()
        self.wfile.write(content)

    def _send_headers(self, more: dict[str, str]) -> None:
        for name, value in {**_HEADERS, **more}.items():
            self.send_header(name, value)


def _same(given: str, token: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())


def _own_path(path: str) -> str:
    """Return a path that leads to no other host."""
    return "/" + path.lstrip("/\\")


# --- states and facts ---------------------------------------------------------------------------


def _card_state(watch: CardWatch) -> State:
    seen = watch.look()
    sign = pages.card_sign(seen)
    if seen.card is not None:
        told = {"hash": seen.card.hash, "over": seen.over, "sign": sign}
        made = f"made-{seen.card.hash}{'' if seen.over else '-again'}"
        return State(made, "made", lambda known: told, (), sign, seen.over)
    if seen.view is None:  # who has seen more keeps it until there is something new
        return State("", "same", lambda known: {}, (), sign, False)
    return _view_state(seen.view, sign)


def _run_state(view: View) -> State:
    return _view_state(view, "live")


def _view_state(view: View, sign: str) -> State:
    def told(known: set[str]) -> dict[str, Any]:
        return pages.changes(view, sign, known)

    return State(view.digest, "parts", told, view.hashes, sign, False)


def _card_facts(watch: CardWatch) -> dict[str, Any]:
    seen: Seen = watch.look()
    card = seen.card
    return {
        "pathspec": "/".join(map(str, watch.place)),
        "number": watch.number,
        "attempt": seen.attempt,
        "state": seen.state,
        "live": card is None and not seen.over,
        "type": card.type if card is not None else None,
        "id": (card.id or None) if card is not None else None,
        "hash": card.hash if card is not None else None,
        "file": f"/{card.key}" if card is not None else None,
        "data": watch.data(),
    }


def _run_facts(overview: Overview) -> dict[str, Any]:
    run = overview.run
    return {
        "run": None if run is None else run.pathspec,
        "state": overview.state or None,
        "created_at": None if run is None else run.created_at,
        "finished_at": None if run is None else run.finished_at,
        "cards": [
            {"type": card.type, "hash": card.hash, "url": f"/{card.key}"} for card in overview.whole
        ],
        "steps": [
            {"step": one.step, "states": one.states, "cards": [*_entries(run, one.entries)]}
            for one in overview.steps
        ],
    }


def _entries(run: Any, entries: Any) -> Iterator[dict[str, Any]]:
    for entry in entries:
        facts = entry._asdict()
        facts["type"] = None if entry.type == "?" else entry.type
        facts["id"] = entry.id or None
        yield {**facts, "url": f"/card/{run.pathspec}/{entry.path}"}
