"""Components as JSON data, and back: so they go from the task to the process that draws them.

Components of a person's own are replaced by what they are made of: drawing needs no code of theirs.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import fields
from typing import Any

from flow_cards.components import BUILT_IN, Component, Error, Section, kind_of

_DEEPEST = 25
_PLAIN = frozenset([str, int, float, bool, type(None)])

Latest = Callable[[Component], Component]


def encode(component: Component, latest: Latest = lambda component: component) -> Any:
    """Return a component as JSON data.

    Args:
        component: the component.
        latest: returns what is to be shown in the place of a component.
    """
    return _encode_component(component, latest, 0)


def _encode_component(component: Component, latest: Latest, depth: int) -> Any:
    if depth > _DEEPEST:
        return _encode_component(Error("", "Components are nested too deeply"), latest, 0)
    shown = latest(component)
    kind = kind_of(shown)
    if kind is None:
        try:
            shown = Section(None, tuple(shown.parts()))
        except Exception as error:  # whatever a person's own code may raise
            title = f"The component {type(shown).__name__} cannot be shown"
            shown = Error(_without_our_frames(error), title)
        kind = kind_of(shown)
    values = {f.name: getattr(shown, f.name) for f in fields(shown)}  # type: ignore[arg-type]
    return {
        "kind": kind,
        **{name: _encode_value(value, latest, depth + 1) for name, value in values.items()},
    }


def _without_our_frames(error: Exception) -> Exception:
    """Return an error whose traceback starts in the code of its author."""
    trace = error.__traceback__
    while trace is not None and _is_ours(trace.tb_frame.f_globals.get("__name__", "")):
        trace = trace.tb_next
    return error.with_traceback(trace)


def _is_ours(module: str) -> bool:
    return module.partition(".")[0] == "flow_cards"


def _encode_value(value: Any, latest: Latest, depth: int) -> Any:
    if type(value) in _PLAIN:  # most cells of a large table
        return value
    if isinstance(value, Component):
        return _encode_component(value, latest, depth)
    if isinstance(value, (tuple, list)):
        return [_encode_value(part, latest, depth) for part in value]
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


def decode(data: Any) -> Component:
    """Undo `encode`. A component that this release does not know is shown as an error."""
    cls = BUILT_IN.get(data["kind"])
    if cls is None:
        return Error("", f"This release of flow-cards knows no component '{data['kind']}'")
    known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
    component: Component = object.__new__(cls)
    values = {name: _decode_value(data[name]) for name in known if name in data}
    component.restore(values)
    return component


def _decode_value(value: Any) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value["bytes"]) if "bytes" in value else decode(value)
    return tuple(_decode_value(part) for part in value) if isinstance(value, list) else value
