"""What the pages of cards may do: their policies (CSP).

Nothing is fetched, and nothing runs but our own scripts, by their hashes. HTML of a person's own stands in
a sandboxed frame, where its scripts run, but reach neither the network nor what is around them.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flow_cards.contract import HtmlPage

_DOCTYPE = re.compile(r"\s*(?:<!--.*?-->\s*)*<!doctype[^>]*>", re.IGNORECASE | re.DOTALL)
_FRAME = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: blob:; font-src data:; "
    "media-src data: blob:; base-uri 'none'; form-action 'none'; script-src "
)
_ANY_SCRIPT = "'unsafe-inline' 'unsafe-eval'"

NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
"""Of what the server sends that is no page."""

# A card's file has its own policy in it, which is stricter: by hashes. This one holds where somebody has
# changed the file: nothing is fetched from the server or elsewhere.
OF_FILES = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; media-src data: blob:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)


def policy_of(
    style: str, scripts: Sequence[str], *, framed: bool = False, live: bool = False
) -> str:
    """Return the policy of a page.

    Args:
        style: the style sheet in it.
        scripts: our scripts that may run in it.
        framed: whether a person's own HTML stands in a frame of it.
        live: whether it asks the server what is new.
    """
    asking = "; connect-src 'self'" if live else ""
    if framed:  # what stands in the frame inherits the policy; see `guarded` for its own
        return _FRAME + _ANY_SCRIPT + asking
    return (
        f"default-src 'none'; script-src {_sources(scripts)}; style-src {_source(style)}; "
        f"img-src data:; base-uri 'none'; form-action 'none'{asking}"
    )


def guarded(page: HtmlPage) -> str:
    """Return a page for the frame: under a policy of its own, and without what a policy does not reach
    in each browser: names that are looked up ahead, and connections of WebRTC."""
    html = str(page.html)  # also one that says of itself that it needs no escaping
    policy = _FRAME + (_ANY_SCRIPT if page.scripts else "'none'")
    guard = (
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta http-equiv="x-dns-prefetch-control" content="off">'
    )
    if page.scripts:
        guard += "<script>delete window.RTCPeerConnection; delete window.webkitRTCPeerConnection</script>"
    start = _DOCTYPE.match(html)
    head = start.end() if start else 0  # what stands before it would change how the page is drawn
    return html[:head] + guard + html[head:]


def _sources(scripts: Sequence[str]) -> str:
    return " ".join(_source(one) for one in scripts) or "'none'"


@functools.lru_cache(maxsize=100)
def _source(text: str) -> str:
    """Return how a policy names a script or a style that stands in the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
