"""What went wrong in a request, out of the texts of obstore's exceptions.

obstore has few classes of exceptions; what happened stands in their texts: the status of the
response, the code in its XML, and the chain of errors below a connection that failed.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from flow_core.api import AccessDenied, StoreError


class Fault(NamedTuple):
    """What went wrong.

    Attributes:
        kind: one of `KINDS`.
        text: the service's own words, or the system's; one line.
        status: of the HTTP response; 0 = there was none.
        code: the service's name for the error, or ``""``.
        body: the response, as far as it is known.
    """

    kind: str
    text: str = ""
    status: int = 0
    code: str = ""
    body: str = ""

    @property
    def transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.kind in TRANSIENT

    @property
    def is_connection(self) -> bool:
        """Whether no connection came about with what speaks HTTP."""
        return self.kind in ("refused", "unknown-host", "no-answer", "tls", "no-http")


class RequestFailed(Exception):
    """A request failed that a store made without obstore, or an answer is no good.

    Attributes:
        fault: what went wrong.
    """

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.text or fault.kind)
        self.fault = fault


KINDS = {
    "missing": "there is no such object",
    "no-bucket": "there is no such bucket",
    "exists": "the object is there already",
    "changed": "the object is another one by now",
    "empty": "the range lies behind the end",
    "denied": "these credentials may not do this",
    "bad-key": "the service does not know the access key",
    "bad-secret": "the secret key is wrong",
    "expired": "the credentials have expired",
    "no-credentials": "there are no credentials",
    "wrong-region": "the bucket is in another region",
    "refused": "nothing listens there",
    "unknown-host": "there is no such host",
    "no-answer": "no connection came about in time",
    "tls": "the secure connection was refused",
    "no-http": "what listens there does not answer in HTTP",
    "clock": "this machine's clock is wrong",
    "slow-down": "too many requests",
    "full": "there is no space left",
    "damaged": "what arrived is not what was sent",
    "truncated": "less arrived than was announced",
    "timeout": "the service did not answer in time",
    "reset": "the connection was lost",
    "server": "the service failed",
    "too-large": "the object is larger than the service takes",
    "key": "the service does not take this key",
    "encryption": "the service cannot encrypt as asked",
    "settings": "these settings make no client",
    "unsupported": "the service cannot do what was asked",
    "foreign": "an object there has a key that no store takes",
    "other": "the request failed",
}
TRANSIENT = frozenset(
    (
        "refused",
        "unknown-host",
        "no-answer",
        "no-http",
        "slow-down",
        "damaged",
        "truncated",
        "timeout",
        "reset",
        "server",
    )
)

UNSURE = frozenset(("timeout", "reset", "server", "truncated", "damaged", "no-answer", "no-http"))
"""Kinds of faults after which the service may have done what it was asked."""

_REFUSALS = frozenset(("denied", "bad-key", "bad-secret", "expired", "no-credentials"))

# Codes of S3, Azure and Google → kind.
_CODES = {
    "NoSuchBucket": "no-bucket",
    "ContainerNotFound": "no-bucket",
    "NoSuchKey": "missing",
    "BlobNotFound": "missing",
    "BlobAlreadyExists": "exists",
    "PreconditionFailed": "changed",
    "ConditionNotMet": "changed",
    "ConditionalRequestConflict": "server",
    "OperationAborted": "server",
    "InvalidRange": "empty",
    "AccessDenied": "denied",
    "AllAccessDisabled": "denied",
    "AccountProblem": "denied",
    "AuthorizationFailure": "denied",
    "AuthorizationPermissionMismatch": "denied",
    "InsufficientAccountPermissions": "denied",
    "InvalidAccessKeyId": "bad-key",
    "InvalidToken": "bad-key",
    "SignatureDoesNotMatch": "bad-secret",
    "AuthenticationFailed": "bad-secret",
    "InvalidSecurity": "bad-secret",
    "ExpiredToken": "expired",
    "TokenRefreshRequired": "expired",
    "ExpiredTokenException": "expired",
    "RequestExpired": "expired",
    "PermanentRedirect": "wrong-region",
    "TemporaryRedirect": "wrong-region",
    "AuthorizationHeaderMalformed": "wrong-region",
    "IllegalLocationConstraintException": "wrong-region",
    "RequestTimeTooSkewed": "clock",
    "SlowDown": "slow-down",
    "ServerBusy": "slow-down",
    "Throttling": "slow-down",
    "ThrottlingException": "slow-down",
    "RequestLimitExceeded": "slow-down",
    "TooManyRequests": "slow-down",
    "RequestTimeout": "timeout",
    "OperationTimedOut": "timeout",
    "InternalError": "server",
    "ServiceUnavailable": "server",
    "QuotaExceeded": "full",
    "InsufficientStorage": "full",
    "InsufficientCapacity": "full",
    "XMinioStorageFull": "full",
    "AccountIsDisabled": "denied",
    "NotImplemented": "unsupported",
    "BadDigest": "damaged",
    "Md5Mismatch": "damaged",
    "Crc64Mismatch": "damaged",
    "InvalidDigest": "damaged",
    "XAmzContentSHA256Mismatch": "damaged",
    "XAmzContentChecksumMismatch": "damaged",
    "ContentSHA256Mismatch": "damaged",
    "IncompleteBody": "truncated",
    "EntityTooLarge": "too-large",
    "RequestBodyTooLarge": "too-large",
    "KeyTooLongError": "key",
    "InvalidObjectName": "key",
    "InvalidUri": "key",
    "XMinioInvalidObjectName": "key",
    "InvalidEncryptionAlgorithmError": "encryption",
}
_STATUS = {
    301: "wrong-region",
    307: "wrong-region",
    304: "changed",
    401: "denied",
    403: "denied",
    404: "missing",
    408: "timeout",
    409: "exists",
    412: "changed",
    413: "too-large",
    416: "empty",
    429: "slow-down",
    501: "unsupported",
    503: "slow-down",
    504: "timeout",
    507: "full",
}
# What stands in the chain of errors below a request without a response → kind; the first counts.
_CHAIN = (
    ("StartTooLarge", "empty"),  # of a service that answers with all there is
    ("BareRedirect", "wrong-region"),
    ("redirect without LOCATION", "wrong-region"),
    ("ConnectionRefused", "refused"),
    ("dns error", "unknown-host"),
    ("InvalidCertificate", "tls"),
    ("invalid peer certificate", "tls"),
    ("InvalidMessage", "tls"),
    ("AlertReceived", "tls"),
    ("certificate", "tls"),
    ("NetworkUnreachable", "no-answer"),
    ("HostUnreachable", "no-answer"),
    ("UnexpectedMessage", "no-http"),
    ("Parse(", "no-http"),
    ("ConnectionReset", "reset"),
    ("ConnectionAborted", "reset"),
    ("BrokenPipe", "reset"),
    ("IncompleteMessage", "reset"),
    ("UnexpectedEof", "reset"),
    ("end of file before message length reached", "truncated"),
    ("Canceled", "reset"),
)
_STATUS_LINE = re.compile(r"^ *status: (\d{3}),", re.MULTILINE)
_SHORT_STATUS = re.compile(r"non-2xx status code: (\d{3})")
_CODE = re.compile(r"<Code>\s*([\w.]+)\s*</Code>")
_WORDS = re.compile(r"<Message>(.*?)</Message>", re.DOTALL)
_BODY = re.compile(r'body: Some\(\s*"(.*)",\s*\)', re.DOTALL)
_SYSTEM = re.compile(r'(?:message|error): "([^"]+)"')
_METADATA = re.compile(
    r"http://[\d.]+/(?:latest/(?:api/token|meta-data)|v2/credentials|metadata/identity"
    r"|computeMetadata/v1)"
    r"|metadata\.google\.internal|External \w+ credential provider"
)
"""Where machines and containers are asked for credentials."""
_TAIL = "\n\nDebug source:"


def is_panic(error: BaseException) -> bool:
    """Whether obstore has given up in the middle of something: no `Exception`, so that it passes
    all that handle errors, but no reason to end the process either."""
    return type(error).__name__ == "PanicException"


def fault_of(error: BaseException) -> Fault:
    """Return what an exception of obstore tells, or a `RequestFailed`."""
    if isinstance(error, RequestFailed):
        return error.fault
    text = str(error)
    if _METADATA.search(text.partition("\n")[0]):
        return Fault("no-credentials", _first_line(text))
    status = _status(text)
    if status:
        return response_fault(status, _body(text))
    if isinstance(error, FileNotFoundError):
        return Fault("missing")
    kind = type(error).__name__
    if kind == "AlreadyExistsError":
        return Fault("exists")
    if kind in ("PreconditionError", "NotModifiedError"):
        return Fault("changed")
    if kind == "UnauthenticatedError" or "redential" in text.partition("\n")[0]:
        return Fault("no-credentials", _first_line(text))
    if isinstance(error, ValueError):
        return Fault("key", _first_line(text))
    if "object with invalid path" in text.partition("\n")[0]:
        return Fault("foreign", _first_line(text))
    return _connection_fault(text)


def response_fault(status: int, body: str) -> Fault:
    """Return what a response that is no success tells.

    Args:
        status: of the response.
        body: its content: XML with ``Code`` and ``Message``, or anything.
    """
    found = _CODE.search(body)
    code = found[1] if found else ""
    words = _WORDS.search(body)
    kind = _CODES.get(code) or _STATUS.get(status, "server" if status >= 500 else "other")
    if code.startswith(("KMS", "Kms")):
        kind = "encryption"
    return Fault(kind, _plain(words[1]) if words else "", status, code, body)


def _status(text: str) -> int:
    found = _STATUS_LINE.search(text) or _SHORT_STATUS.search(text)
    return int(found[1]) if found else 0


def _body(text: str) -> str:
    found = _BODY.search(text)
    return found[1].replace('\\"', '"').replace("\\n", "\n") if found else text


def _connection_fault(text: str) -> Fault:
    head, _, chain = text.partition(_TAIL)
    said = _SYSTEM.findall(chain)
    words = said[-1] if said else _first_line(head)
    for sign, kind in _CHAIN:
        if sign in chain:
            if sign == "InvalidMessage":
                words = "what answers there does not speak TLS"
            elif kind == "no-http":
                words = ""  # hyper's are no words
            return Fault(kind, words)
    if "TimedOut" in chain or "kind: Timeout" in chain:
        return Fault("no-answer" if "Connect" in chain else "timeout", words)
    if "kind: Connect" in chain:
        return Fault("no-answer", words)
    if "reqwest::Error" in chain or "HttpError" in chain:
        return Fault("reset", words)
    return Fault("other", words)


def _first_line(text: str) -> str:
    return text.partition("\n")[0].strip()


def _plain(text: str) -> str:
    for sign, meaning in (("&#39;", "'"), ("&quot;", '"'), ("&lt;", "<"), ("&gt;", ">")):
        text = text.replace(sign, meaning)
    return " ".join(text.replace("&amp;", "&").split())


def refused(fault: Fault, error: StoreError) -> StoreError:
    """Return ``error``; where the credentials are refused, as an `AccessDenied`."""
    if fault.kind not in _REFUSALS or isinstance(error, AccessDenied):
        return error
    return AccessDenied(error.what, where=error.where, why=error.why, hint=error.hint)
