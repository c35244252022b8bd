"""Requests to AWS that obstore does not make, signed (Signature Version 4)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit


class Keys(NamedTuple):
    """Credentials.

    Attributes:
        key, secret: access key and secret.
        token: of a session, or None.
        expires: when they do, or None.
        source: where they come from, for people.
    """

    key: str
    secret: str
    token: str | None = None
    expires: datetime | None = None
    source: str = ""


def sign(
    keys: Keys,
    method: str,
    url: str,
    service: str,
    region: str,
    *,
    headers: Mapping[str, str],
    body: bytes = b"",
    digest: str | None = None,
    now: datetime | None = None,
) -> dict[str, str]:
    """Return the headers of a signed request.

    Args:
        keys: credentials.
        method, url, headers, body: the request; path and query as they are sent.
        service, region: what it is signed for.
        digest: SHA-256 of the body, in hexadecimal, or what stands for it; None = it is computed.
        now: the time of the signature; None = now.
    """
    parts = urlsplit(url)
    at = (now or datetime.now(timezone.utc)).strftime("%Y%m%dT%H%M%SZ")
    signed = {name.lower(): value.strip() for name, value in headers.items()}
    signed |= {"host": parts.netloc, "x-amz-date": at}
    if keys.token:
        signed["x-amz-security-token"] = keys.token
    names = ";".join(sorted(signed))
    lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
    digest = digest or hashlib.sha256(body).hexdigest()
    query = "&".join(sorted(parts.query.split("&"))) if parts.query else ""
    request = "\n".join((method, parts.path or "/", query, lines, names, digest))
    scope = f"{at[:8]}/{region}/{service}/aws4_request"
    hashed = hashlib.sha256(request.encode()).hexdigest()
    text = f"AWS4-HMAC-SHA256\n{at}\n{scope}\n{hashed}"
    key = f"AWS4{keys.secret}".encode()
    for part in (at[:8], region, service, "aws4_request"):
        key = _mac(key, part)
    signature = _mac(key, text).hex()
    signed["authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={keys.key}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return signed


def form(values: Mapping[str, str]) -> bytes:
    """Return the content of a form."""
    return urlencode(values).encode()


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
