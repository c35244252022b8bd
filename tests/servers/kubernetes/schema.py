"""The fields of objects, from the published OpenAPI: the official client's models are made from it.

A body is checked as a real server does it: a value of the wrong type is refused when it is decoded
(400), unknown fields are dropped, with a warning or a refusal if the client asks for one, and required
fields that are missing are told with all else that is wrong (422).
"""

from __future__ import annotations

import base64
import binascii
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

from servers.kubernetes.errors import Cause, Refusal, bad_request, required
from servers.kubernetes.kinds import Kind
from servers.kubernetes.quantities import is_quantity

_QUANTITIES = {
    *("limits", "requests", "hard", "used", "capacity", "allocatable", "overhead"),
    *("sizeLimit", "divisor", "default", "defaultRequest", "max", "min", "allocatedResources"),
}
"""Fields of quantities, which may be written as numbers; all other texts may not."""


class Field(NamedTuple):
    """What a field holds.

    Attributes:
        type: name of a model, or ``str``, ``int``, ``float``, ``bool``, ``bytes``, ``datetime``, ``object``.
        shape: ``""``, or what is around it, from the outside: ``list``, ``map``, ``map list``.
        required: whether it must be there.
        fields: of the model; None = a plain value.
    """

    type: str
    shape: tuple[str, ...]
    required: bool
    fields: Callable[[], dict[str, Field]] | None


class Checked(NamedTuple):
    """A body that could be decoded.

    Attributes:
        content: it, without unknown fields and nulls.
        unknown: paths of fields that no model knows.
        missing: required fields that are not there.
    """

    content: dict[str, Any]
    unknown: list[str]
    missing: list[Cause]


def check(kind: Kind, body: dict[str, Any]) -> Checked:
    """Check a body against the fields of its kind.

    Raises:
        Refusal: 400, when a value has the wrong type.
    """
    found = Checked({}, [], [])
    reader = _Reader(found)
    try:
        content = reader.model(fields_of(kind.model), body, kind.model, "", "")
    except _WrongType as wrong:
        name, version = kind.name, kind.version
        raise bad_request(
            f'{name} in version "{version}" cannot be handled as a {name}: {wrong}'
        ) from None
    return found._replace(content=content)


def refuse_unknown(kind: Kind, unknown: list[str]) -> Refusal:
    """Return the answer to fields that are not known, for a client that wants them refused."""
    told = ", ".join(f'unknown field "{path}"' for path in unknown)
    name, version = kind.name, kind.version
    return bad_request(
        f'{name} in version "{version}" cannot be handled as a {name}: strict decoding error: {told}'
    )


@functools.cache
def fields_of(model: str) -> dict[str, Field]:
    """Return the fields of a model of the official client, by their names in JSON."""
    from kubernetes.client import models

    class_ = getattr(models, model)
    return {
        class_.attribute_map[name]: _field(type_, class_.model_fields[name].is_required())
        for name, type_ in class_.openapi_types.items()
    }


def _field(written: str, is_required: bool) -> Field:
    shape = []
    while "[" in written:
        outer, _, inner = written.partition("[")
        inner = inner.removesuffix("]")
        shape.append("list" if outer == "List" else "map")
        written = inner if outer == "List" else inner.partition(", ")[2]
    plain = written in ("str", "int", "float", "bool", "bytes", "datetime", "object")
    fields = None if plain else functools.partial(fields_of, written)
    return Field(written, tuple(shape), is_required, fields)


class _WrongType(Exception):
    pass


class _Reader:
    """Walks through a body."""

    def __init__(self, found: Checked) -> None:
        self._unknown, self._missing = found.unknown, found.missing

    def model(
        self, fields: dict[str, Field], value: Any, struct: str, path: str, go_path: str
    ) -> dict[str, Any]:
        """Return an object with what its model knows.

        Args:
            fields: of the model.
            value: what came.
            struct: name of the model.
            path: of the value, with indices, for people.
            go_path: the same without them, as decoding errors have it.
        """
        if not isinstance(value, dict):
            raise _wrong(value, struct, go_path, _go_name(struct))
        content = {}
        dot = f"{path}." if path else ""
        for key, inner in value.items():
            field = fields.get(key)
            if field is None:
                self._unknown.append(dot + key)
            elif inner is not None:
                go = f"{go_path}.{key}" if go_path else key
                content[key] = self._shaped(field, field.shape, inner, struct, dot + key, go)
        for key, field in fields.items():
            if field.required and key not in content:
                self._missing.append(required(dot + key))
        return content

    def _shaped(
        self, field: Field, shape: tuple[str, ...], value: Any, struct: str, path: str, go: str
    ) -> Any:
        if not shape:
            if field.fields is not None:
                return self.model(field.fields(), value, field.type, path, go)
            return _plain(field.type, value, struct, go)
        outer, *rest = shape
        inner = tuple(rest)
        if outer == "list":
            if not isinstance(value, list):
                raise _wrong(value, struct, go, f"[]{_go_name(field.type)}")
            return [
                self._shaped(field, inner, each, struct, f"{path}[{index}]", go)
                for index, each in enumerate(value)
                if each is not None
            ]
        if not isinstance(value, dict):
            raise _wrong(value, struct, go, f"map[string]{_go_name(field.type)}")
        return {
            key: self._shaped(field, inner, each, struct, f"{path}[{key}]", go)
            for key, each in value.items()
            if each is not None
        }


def _plain(type_: str, value: Any, struct: str, go: str) -> Any:
    name = go.rpartition(".")[2]
    if type_ == "str":
        if name in _QUANTITIES:
            return _quantity(value)
        right = isinstance(value, str)
    elif type_ == "int":
        right = isinstance(value, int) and not isinstance(value, bool)
    elif type_ == "bool":
        right = isinstance(value, bool)
    elif type_ == "float":
        right = isinstance(value, int | float) and not isinstance(value, bool)
    elif type_ == "bytes":
        return _base64(value, struct, go)
    elif type_ == "datetime":
        right = isinstance(value, str)
    else:
        right = True
    if not right:
        raise _wrong(value, struct, go, _go_name(type_))
    return value


def _quantity(value: Any) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, bool | list | dict) or not is_quantity(text):
        raise _WrongType(
            "quantities must match the regular expression "
            "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        )
    return text


def _base64(value: Any, struct: str, go: str) -> str:
    if not isinstance(value, str):
        raise _wrong(value, struct, go, "[]uint8")
    try:
        base64.b64decode(value, validate=True)
    except binascii.Error:
        raise _WrongType("illegal base64 data at input byte 0") from None
    return value


def _wrong(value: Any, struct: str, go_path: str, wanted: str) -> _WrongType:
    names = {dict: "object", list: "array", str: "string", bool: "bool"}
    found = names.get(type(value), "number")
    where = f"{_go_name(struct)}.{go_path}".rstrip(".")
    return _WrongType(
        f"json: cannot unmarshal {found} into Go struct field {where} of type {wanted}"
    )


def _go_name(type_: str) -> str:
    plain = {"str": "string", "int": "int32", "float": "float64", "datetime": "v1.Time"}
    if type_ in plain:
        return plain[type_]
    return type_.removeprefix("CoreV1").removeprefix("V1")
