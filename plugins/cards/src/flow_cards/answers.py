"""Answers to requests that browsers make of the server of cards: who may ask, and what comes back."""

from __future__ import annotations

import contextlib
import hmac
import json
import re
import time
from collections.abc import Callable
from http import HTTPStatus
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode, urlsplit

from flow_cards import pages, policy
from flow_cards.children import line_of
from flow_cards.hosts import is_loopback
from flow_cards.states import State, card_facts, card_state, run_facts, run_state
from flow_cards.storage import parse_key, read_html
from flow_core.api import FlowError, NotFound

if TYPE_CHECKING:
    from flow_cards.live import View
    from flow_cards.server import CardServer
    from flow_cards.watching import CardWatch, Overview, RunWatch

_HEARTBEAT = 5.0
_FIRST = 1.5
_RETRY = 500
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


class Refused(Exception):
    """A request that is not answered: status and text."""

    def __init__(self, status: HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status, self.text = status, text


class Answer(BaseHTTPRequestHandler):
    """Answers requests of one connection."""

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
            self._stream(lambda: card_state(watch), watch.wait)
            return
        if kind == "api":
            self._send_json(card_facts(watch))
            return
        seen = watch.first_view(_FIRST)
        if seen.card is not None:
            html = read_html(self.server.session.store, seen.card)
            if html is not None:
                self._send_html(html, policy.OF_FILES)
                return
        view = pages.card_view(seen, "/".join(map(str, watch.place)))
        self._send_view(view, f"/events{urlsplit(self.path).path}?v=1")

    def _file(self, key: str) -> None:
        card = parse_key(key)
        html = read_html(self.server.session.store, card) if card is not None else None
        if html is None:
            raise NotFound("There is no such card", hint="go to the list of cards: /")
        self._send_html(html, policy.OF_FILES)

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
            self._stream(lambda: run_state(view(watch.look())), self.server.ending.wait)
            return
        overview = watch.look()
        if overview.run is None and watch.run is not None:
            raise NotFound(f"There is no run {watch.flow}/{watch.run}", hint="the latest one: /")
        if kind == "api":
            self._send_json(run_facts(overview))
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
        self._send_html(html, policy.OF_FILES, HTTPStatus.NOT_FOUND)

    def _send_html(self, html: str, rules: str | None, status: HTTPStatus = HTTPStatus.OK) -> None:
        headers = {"Content-Security-Policy": rules or "frame-ancestors 'none'"}
        self._send(status, html.encode("utf-8", "replace"), "text/html; charset=utf-8", headers)

    def _send_json(self, data: Any) -> None:
        headers = {"Content-Security-Policy": policy.NOTHING}
        content = json.dumps(data, indent=2).encode() + b"\n"
        self._send(HTTPStatus.OK, content, "application/json", headers)

    def _send_text(self, status: HTTPStatus, text: str) -> None:
        headers = {"Content-Security-Policy": policy.NOTHING}
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
