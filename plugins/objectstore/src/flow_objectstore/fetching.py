"""What the programs have in common that read objects with nothing but Python: `fetch` of each store.

The text of this file travels in front of theirs: it imports nothing of ours, and an old Python must
understand it. See `flow_objectstore.roots.fetch_source`.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import socket
import threading
import time
from calendar import timegm
from email.utils import parsedate_tz
from urllib.parse import quote, urlsplit

TYPE_CHECKING = False  # that of `typing` would have to be imported
if TYPE_CHECKING:
    from typing import Any, Callable, Mapping

FIRST_REST = 0.1
LONGEST_REST = 5.0
CONNECT = 5.0
SILENCE = 30.0
"""Seconds within which some of an answer has to come."""
UNREACHED = 20.0
"""Seconds for which a service is tried that has never answered: its address may be wrong."""
AHEAD = 300.0
"""Seconds before they expire that credentials are replaced."""
ODD = re.compile(r"[\x00-\x1f\x7f\\]|%(?=25|5C|7F|[01][0-9A-F])")


class Failed(OSError):
    """An object cannot be read.

    Attributes:
        hint: what to do next.
        passing: whether the same may succeed later.
        reached: whether the service has answered.
    """

    def __init__(
        self, text: str, hint: str = "", passing: bool = False, reached: bool = True
    ) -> None:
        super().__init__(" ".join(text.split())[:500])
        self.hint = hint
        self.passing = passing
        self.reached = reached


class Reader:
    """Reads objects of one bucket; several threads may.

    A subclass makes the request in `get`, may make it otherwise after an answer that tells how
    (`correct`), and says in `refused` what an answer means.

    Args:
        config: ``prefix`` before all keys, as the service knows it; ``patience`` in seconds.
        web: makes requests.
        missing: codes of answers for an object that is not there.
    """

    def __init__(self, config: Mapping[str, Any], web: Web, missing: tuple[str, ...]) -> None:
        self.config = config
        self.web = web
        self.skew = 0.0
        self.lock = threading.Lock()
        self._missing = ("", *missing)
        self._reached = False

    def get(self, name: str) -> Answer:
        """Ask for an object, by its key in the bucket."""
        raise NotImplementedError

    def correct(self, answer: Answer) -> bool:
        """Whether the same request, made in another way, may succeed."""
        return False

    def refused(self, answer: Answer) -> Failed:
        """Return the error for an answer."""
        raise NotImplementedError

    def read(self, key: str) -> bytes | None:
        """Return the content of an object, or None."""
        name = self.config.get("prefix", "") + escape(key)
        begun, rest, corrections = time.monotonic(), FIRST_REST, 0
        while True:
            try:
                answer = self.get(name)
                self._reached = True
                if answer.status == 200:
                    answer.check_length()
                    return answer.body
                if answer.status == 404 and answer.code in self._missing:
                    return None
                if corrections < 3 and self.correct(answer):
                    corrections += 1
                    continue
                raise self.refused(answer)
            except Failed as error:
                self._reached = self._reached or error.reached
                patience = self.config.get("patience", 60.0)
                if not self._reached:
                    patience = min(patience, UNREACHED)
                left = patience - (time.monotonic() - begun)
                if not error.passing or left <= 0:
                    raise
                # Anything between nothing and the bound: many that failed together come back apart.
                time.sleep(min(random.uniform(rest / 10, rest), left))
                rest = min(rest * 2, LONGEST_REST)

    def close(self) -> None:
        """Close what is kept open for the next request."""
        self.web.close()

    def set_clock(self, answer: Answer) -> bool:
        """Take the service's time from its answer; whether that is another one than before."""
        before, self.skew = self.skew, answer.skew(self.skew)
        return abs(self.skew - before) > 60


class Answer:
    """What a service answered."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    @property
    def text(self) -> str:
        """The content."""
        return self.body.decode("utf-8", "replace")

    @property
    def code(self) -> str:
        """The service's name for an error, or ``""``."""
        if self.status < 300:
            return ""
        return element(self.text, "Code") or str(self.data().get("error") or "")[:100]

    def said(self) -> str:
        """Return status, code and words, in one line."""
        words = element(self.text, "Message") or str(self.data().get("error_description") or "")
        code = f" {self.code}" if self.code else ""
        return f"{self.status}{code}" + (f": {words}" if words else "")

    def data(self, name: str = "") -> dict[str, Any]:
        """Return JSON data, or a part of them; nothing if there are none."""
        try:
            found = json.loads(self.body)
            found = found[name] if name else found
        except (ValueError, KeyError, TypeError):
            return {}
        return found if isinstance(found, dict) else {}

    def skew(self, default: float = 0.0) -> float:
        """Return how many seconds this machine's clock is behind the service's, if that tells."""
        told = parsedate_tz(self.headers.get("date", ""))
        if told is None:
            return default
        return timegm((*told[:6], 0, 0, 0)) - (told[9] or 0) - time.time()

    def check_length(self) -> None:
        """Refuse an answer that ended among its headers, which the library does not mind."""
        if "content-length" not in self.headers and "transfer-encoding" not in self.headers:
            raise Failed("half an answer came", "try again later", passing=True)


class Token:
    """A token of a service, kept until it is about to end."""

    def __init__(self) -> None:
        self._text = ""
        self._ends = 0.0

    def current(self, find: Callable[[], Mapping[str, Any]]) -> str:
        """Return one that holds for some minutes still.

        Args:
            find: asks for a new one: ``access_token``, and ``expires_in`` in seconds.
        """
        if not self._text or self._ends - time.time() < AHEAD:
            found = find()
            self._text = str(found["access_token"])
            self._ends = time.time() + float(found.get("expires_in") or 3600)
        return self._text

    def forget(self) -> bool:
        """Whether the next one may be another than the last."""
        had, self._text = bool(self._text), ""
        return had


class Web:
    """Requests over kept connections.

    Args:
        agent: who asks.
        certificates: variable that names a file of CA certificates to trust as well.
        config: ``verify``: False = certificates are not checked; ``ca``: more of them, in PEM.
    """

    def __init__(self, agent: str, certificates: str, config: Mapping[str, Any]) -> None:
        self._agent = agent
        self._certificates = certificates
        self._config = config
        self._context: Any = None
        self._idle: list[tuple[str, http.client.HTTPConnection]] = []

    def ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        what: str = "",
        wait: float = 0.0,
        inside: bool = False,
    ) -> Answer:
        """Make one request.

        Args:
            method, url, headers, body: the request.
            what: who is asked, for people; ``""`` = the host.
            wait: seconds; 0 = the usual ones.
            inside: whether it stays on this machine, so that no proxy is asked.

        Raises:
            Failed: no answer came.
        """
        parts = urlsplit(url)
        place = f"{parts.scheme}://{parts.netloc}"
        target = (parts.path or "/") + ("?" + parts.query if parts.query else "")
        proxy = "" if inside else find_proxy(parts.scheme, parts.hostname or "")
        if proxy and parts.scheme == "http":
            target = place + target
        connection = self._take(place, proxy, wait)
        try:
            if connection.sock is None:
                connection.connect()
            connection.sock.settimeout(wait or SILENCE)
            sent = {"host": parts.netloc, "user-agent": self._agent, **headers}
            connection.request(method, target, body or None, sent)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            connected = connection.sock is not None
            connection.close()
            raise unanswered(error, what or place, place, connected, self._certificates) from None
        if answer.will_close:
            connection.close()
        else:
            self._idle.append((place, connection))
        named = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, named, content)

    def close(self) -> None:
        """Close the connections that nobody uses."""
        while self._idle:
            self._idle.pop()[1].close()

    def _take(self, place: str, proxy: str, wait: float) -> http.client.HTTPConnection:
        for kept in list(self._idle):
            if kept[0] == place:
                try:
                    self._idle.remove(kept)
                except ValueError:
                    continue  # another thread has taken it
                return kept[1]
        scheme, _, host = place.partition("://")
        through = urlsplit(proxy).netloc.rpartition("@")[2] if proxy else host
        if scheme == "http":
            return http.client.HTTPConnection(through, timeout=wait or CONNECT)
        made = http.client.HTTPSConnection(through, timeout=wait or CONNECT, context=self._trust())
        if proxy:
            made.set_tunnel(host)
        return made

    def _trust(self) -> Any:
        import ssl

        if self._context is None:
            context = ssl.create_default_context()
            if self._config.get("verify") is False:
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
            elif os.environ.get(self._certificates):
                context.load_verify_locations(os.environ[self._certificates])
            elif self._config.get("ca"):
                context.load_verify_locations(cadata=self._config["ca"])
            self._context = context
        return self._context


def find_proxy(scheme: str, host: str) -> str:
    """Return the URL of the proxy for a host, or ``""``."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return ""
    from urllib.request import getproxies, proxy_bypass  # which takes its time

    found = "" if proxy_bypass(host) else getproxies().get(scheme, "")
    return found if "://" in found or not found else "http://" + found


def unanswered(
    error: BaseException, what: str, place: str, connected: bool, certificates: str
) -> Failed:
    """Return the error for a request without an answer."""
    import ssl

    said = words_of(error)
    if isinstance(error, ssl.SSLCertVerificationError) or (
        isinstance(error, ssl.SSLError) and not connected
    ):
        text = f"there is no secure connection to {place}: {said}"
        return Failed(text, f"name its CA certificates there: {certificates}=file.pem")
    hint = f"check that {place} can be reached from there"
    if isinstance(error, socket.gaierror):
        said = f"there is no such host: {said}"
    return Failed(f"{what} does not answer at {place}: {said}", hint, True, connected)


def words_of(error: BaseException) -> str:
    """Return what an error of the system says."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def quoted(name: str) -> str:
    """Return a key in the bucket as it stands in a URL."""
    return quote(name, safe="/~")


def escape(key: str) -> str:
    """Return the key under which the store keeps ``key``: see `flow_objectstore.keys`."""
    return ODD.sub(lambda found: f"%{ord(found.group()):02X}", key)


def element(text: str, name: str) -> str:
    """Return the content of an element of XML, or ``""``."""
    found = re.search(f"<{name}>(.*?)</{name}>", text, re.DOTALL)
    return found.group(1).strip() if found else ""
