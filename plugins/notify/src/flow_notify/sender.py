"""The sender: posts messages from a thread of its own, with time limits and a second try.

The launcher only puts messages into a queue, which is bounded too; the thread ends with the process,
whatever it does then. What is said of failures never holds the URL or the headers.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Mapping
from http.client import HTTPException
from typing import NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

_WAITING = 1000  # messages; a webhook that is slower than that cannot be told all
_PAUSE = 0.5  # seconds before the second try, then twice as many
_LONGEST_PAUSE = 30.0
_SHOWN = 200  # characters of a refusal


class Target(NamedTuple):
    """Where messages go.

    Attributes:
        url: a sound http or https URL; a secret.
        headers: further HTTP headers; their values are secrets.
        timeout: seconds that the server may be silent.
        retries: how often a message is sent again.
    """

    url: str
    headers: Mapping[str, str]
    timeout: float
    retries: int

    @property
    def place(self) -> str:
        """The host, as people may see it."""
        parts = urlsplit(self.url)
        port = f":{parts.port}" if parts.port else ""
        return f"{parts.scheme}://{parts.hostname}{port}"

    def masked(self, text: str) -> str:
        """Return ``text`` without what is secret."""
        parts = urlsplit(self.url)
        pieces = [piece for piece in parts.path.split("/") if len(piece) > 3]
        account = [parts.username, parts.password]
        secrets = [self.url, parts.path.strip("/"), parts.query, *pieces, *account]
        for secret in filter(None, (*secrets, *self.headers.values())):
            text = text.replace(secret, "***")
        return text


class _Failed(Exception):
    """A request failed.

    Attributes:
        pause: seconds after which another try makes sense; None = none does.
    """

    def __init__(self, why: str, pause: float | None) -> None:
        super().__init__(why)
        self.pause = pause


class _NoRedirect(HTTPRedirectHandler):
    """A redirected POST would become a GET without content: that is a failure, not a success."""

    def redirect_request(self, *_: object) -> None:
        return None


class Sender:
    """See the module.

    Args:
        target: where messages go.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._queue: queue.Queue[bytes | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._work, name="flow-notify", daemon=True)
        self._lock = threading.Lock()
        self._posted = self._arrived = self._left_out = 0
        self._why = ""

    def post(self, body: bytes) -> None:
        """Have a message sent. Returns at once."""
        if self._thread.ident is None:
            self._thread.start()
        self._posted += 1
        try:
            self._queue.put_nowait(body)
        except queue.Full:
            self._left_out += 1

    def close(self, patience: float) -> str:
        """Wait up to ``patience`` seconds until all is sent; return what to say of what was not."""
        if self._thread.ident is None:
            return ""  # there was nothing to send
        end = time.monotonic() + patience
        try:
            self._queue.put(None, timeout=patience)
            self._thread.join(max(0.0, end - time.monotonic()))
        except queue.Full:
            pass  # the thread hangs; what waits is counted below
        return self._trouble(patience)

    def _trouble(self, patience: float) -> str:
        with self._lock:
            lost, why = self._posted - self._arrived, self._why
        if not lost:
            return ""
        if self._left_out:
            why = why or f"more than {_WAITING} waited"
        why = why or f"no answer within {patience:g} s"
        number = "one message" if lost == 1 else f"{lost} of {self._posted} messages"
        return f"notify: {number} did not reach {self._target.place}: {why}"

    def _work(self) -> None:
        while (body := self._queue.get()) is not None:
            try:
                self._deliver(body)
            except _Failed as failed:
                self._note(str(failed))
            except Exception as error:  # what it may be: it is told at the end, and nothing stops
                self._note(f"{type(error).__name__}: {error}")
            else:
                with self._lock:
                    self._arrived += 1

    def _note(self, why: str) -> None:
        with self._lock:
            self._why = self._target.masked(why)

    def _deliver(self, body: bytes) -> None:
        for left in range(self._target.retries, -1, -1):
            try:
                self._request(body)
                return
            except _Failed as failed:
                pause = _PAUSE * 2 ** (self._target.retries - left)
                if failed.pause is None or not left:
                    raise
                self._note(str(failed))  # for a run that ends meanwhile
                time.sleep(min(max(pause, failed.pause), _LONGEST_PAUSE))

    def _request(self, body: bytes) -> None:
        headers = {"Content-Type": "application/json", "User-Agent": "flow-notify"}
        request = Request(
            self._target.url, data=body, headers={**headers, **self._target.headers}, method="POST"
        )
        try:
            with build_opener(_NoRedirect).open(request, timeout=self._target.timeout):
                return
        except HTTPError as error:
            with error:
                raise _Failed(_refusal(error), _pause_after(error)) from None
        except URLError as error:
            raise _Failed(_reason(error.reason), 0.0) from None
        except (OSError, HTTPException) as error:
            raise _Failed(_reason(error), 0.0) from None


def _refusal(error: HTTPError) -> str:
    try:
        text = error.read(_SHOWN).decode(errors="replace").strip()
    except (OSError, HTTPException):
        text = ""  # the status says enough
    text = " ".join(text.split())
    return f"HTTP {error.code}" + (f", {text}" if text.isprintable() and text else "")


def _pause_after(error: HTTPError) -> float | None:
    if error.code != 429 and error.code < 500:
        return None
    wished = error.headers.get("Retry-After", "")
    return float(wished) if wished.isdigit() else 0.0


def _reason(error: object) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(getattr(error, "strerror", None) or error)
