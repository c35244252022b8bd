"""Requests to services that give credentials."""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener, getproxies

from flow_core.api import StoreError

if TYPE_CHECKING:
    from urllib.request import BaseHandler

_WAIT = 4.0


class Unanswered(StoreError):
    """A service gave no credentials.

    Attributes:
        status: of its answer; 0 = there was none.
    """

    status = 0


def asked(
    url: str,
    headers: Mapping[str, str],
    what: str,
    hint: str,
    *,
    method: str | None = None,
    body: bytes | None = None,
    ca_bundle: str | None = None,
    wait: float = _WAIT,
    proxies: bool = True,
) -> str:
    """Return what a service answers.

    Args:
        url, headers, method, body: the request.
        what: what fails if it fails, one sentence.
        hint: what to do then.
        ca_bundle: file of certificates to trust as well.
        wait: seconds.
        proxies: whether the proxies of the environment are used.

    Raises:
        Unanswered: it gave none, or an error.
    """
    from flow_objectstore.faults import response_fault

    request = Request(url, data=body, headers=dict(headers), method=method)
    handlers: list[BaseHandler] = [ProxyHandler(getproxies() if proxies else {})]
    if ca_bundle:
        from urllib.request import HTTPSHandler

        from flow_s3.certificates import context_of

        handlers.append(HTTPSHandler(context=context_of(ca_bundle)))
    status = 0
    try:
        with build_opener(*handlers).open(request, timeout=wait) as response:
            text: str = response.read().decode()
            return text
    except HTTPError as error:
        status = error.code
        fault = response_fault(status, error.read().decode(errors="replace"))
        why = f"{fault.code}: {fault.text}" if fault.text else f"HTTP status {status}"
    except (URLError, OSError, HTTPException, UnicodeDecodeError) as error:
        why = str(getattr(error, "reason", error)) or type(error).__name__
    refused = Unanswered(what, where=url.partition("?")[0], why=why, hint=hint)
    refused.status = status
    raise refused
