"""What a Kubernetes API server says when it does not do what it was asked: `Status` objects."""

from __future__ import annotations

from typing import Any, NamedTuple

from servers.kubernetes.http import Answer
from servers.kubernetes.kinds import Kind


class Cause(NamedTuple):
    """One thing that is wrong with an object.

    Attributes:
        field: path such as ``spec.containers[0].image``.
        reason: such as ``FieldValueRequired``.
        message: such as ``Required value``.
    """

    field: str
    reason: str
    message: str


class Refusal(Exception):
    """An answer that is no success.

    Args:
        code: HTTP status.
        reason: a word for programs, such as ``NotFound``.
        message: a sentence for people.
        details: what it is about.
        headers: of the answer, beside the usual ones.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.headers = headers or {}
        self.status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            **({"details": details} if details else {}),
            "code": code,
        }

    def answer(self) -> Answer:
        """Return the answer that it is."""
        return Answer.of(self.status, self.code, self.headers)


def required(field: str, message: str = "") -> Cause:
    return Cause(field, "FieldValueRequired", f"Required value{_after(message)}")


def invalid(field: str, value: Any, message: str) -> Cause:
    return Cause(field, "FieldValueInvalid", f"Invalid value: {_shown(value)}{_after(message)}")


def unsupported(field: str, value: Any, known: tuple[str, ...]) -> Cause:
    names = ", ".join(f'"{name}"' for name in known)
    message = f"Unsupported value: {_shown(value)}: supported values: {names}"
    return Cause(field, "FieldValueNotSupported", message)


def forbidden_field(field: str, message: str) -> Cause:
    return Cause(field, "FieldValueForbidden", f"Forbidden{_after(message)}")


def duplicate(field: str, value: Any) -> Cause:
    return Cause(field, "FieldValueDuplicate", f"Duplicate value: {_shown(value)}")


def not_found(kind: Kind, name: str) -> Refusal:
    return Refusal(404, "NotFound", f'{kind.resource} "{name}" not found', _details(kind, name))


def no_such_path() -> Refusal:
    return Refusal(404, "NotFound", "the server could not find the requested resource")


def already_exists(kind: Kind, name: str) -> Refusal:
    message = f'{kind.resource} "{name}" already exists'
    return Refusal(409, "AlreadyExists", message, _details(kind, name))


def conflict(kind: Kind, name: str, why: str = "") -> Refusal:
    why = why or (
        "the object has been modified; please apply your changes to the latest version and try again"
    )
    message = f'Operation cannot be fulfilled on {kind.resource} "{name}": {why}'
    return Refusal(409, "Conflict", message, _details(kind, name))


def invalid_object(kind: Kind, name: str, causes: list[Cause]) -> Refusal:
    """Refuse an object, with all that is wrong with it."""
    told = [f"{cause.field}: {cause.message}" for cause in causes]
    what = told[0] if len(told) == 1 else f"[{', '.join(told)}]"
    full = f"{kind.name}.{kind.group}" if kind.group else kind.name
    details = {
        "name": name,
        **({"group": kind.group} if kind.group else {}),
        "kind": kind.name,
        "causes": [
            {"reason": cause.reason, "message": cause.message, "field": cause.field}
            for cause in causes
        ],
    }
    return Refusal(422, "Invalid", f'{full} "{name}" is invalid: {what}', details)


def forbidden(kind: Kind, name: str, why: str) -> Refusal:
    shown = f'{kind.resource} "{name}"' if name else kind.resource
    return Refusal(403, "Forbidden", f"{shown} is forbidden: {why}", _details(kind, name))


def bad_request(message: str) -> Refusal:
    return Refusal(400, "BadRequest", message)


def expired(message: str) -> Refusal:
    return Refusal(410, "Expired", message)


def too_large_version(asked: int, current: int) -> Refusal:
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    details = {"causes": [cause], "retryAfterSeconds": 1}
    return Refusal(504, "Timeout", message, details, {"Retry-After": "1"})


def too_many_requests(seconds: int) -> Refusal:
    return Refusal(
        429,
        "TooManyRequests",
        "the server has received too many requests and has asked us to try again later",
        {"retryAfterSeconds": seconds},
        {"Retry-After": str(seconds)},
    )


def internal(why: str) -> Refusal:
    details = {"causes": [{"message": why}]}
    return Refusal(500, "InternalError", f"Internal error occurred: {why}", details)


def method_not_allowed() -> Refusal:
    message = "the server does not allow this method on the requested resource"
    return Refusal(405, "MethodNotAllowed", message)


def unsupported_media(known: str) -> Refusal:
    message = (
        f"the body of the request was in an unknown format - accepted media types include: {known}"
    )
    return Refusal(415, "UnsupportedMediaType", message)


def _details(kind: Kind, name: str) -> dict[str, Any]:
    return {
        **({"name": name} if name else {}),
        **({"group": kind.group} if kind.group else {}),
        "kind": kind.plural,
    }


def _after(message: str) -> str:
    return f": {message}" if message else ""


def _shown(value: Any) -> str:
    """Write a value as Go's JSON does in such sentences."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else f'"{value}"'
