"""Values of artifacts as JSON that people can read, and what differs between two of them.

Plain data is written as it is; everything else is an object with one key that begins with ``!``, which
says what it is. What is long is summarised, so that a golden file stays a file for people.
"""

from __future__ import annotations

import base64
import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

LONGEST = 1000
"""Elements of a list, an array or a table up to which all of them are written."""

SAMPLES = 100
"""Elements that are written of what is longer: evenly spaced, the first and the last among them."""

_LONGEST_TEXT = 10_000
_MARK = "!"
_PLAIN_REPR = frozenset(
    {
        "datetime.date",
        "datetime.datetime",
        "datetime.time",
        "datetime.timedelta",
        "decimal.Decimal",
        "fractions.Fraction",
        "pathlib.PosixPath",
        "pathlib.PurePosixPath",
        "pathlib.WindowsPath",
        "pathlib.PureWindowsPath",
        "uuid.UUID",
        "builtins.complex",
        "builtins.range",
        "builtins.slice",
    }
)
"""Classes whose ``repr`` says all, and is the same everywhere."""


def encode(value: Any) -> Any:
    """Return a value as JSON data, see the module."""
    if value is None or isinstance(value, bool) or type(value) in (int, str):
        return _text(value) if isinstance(value, str) else value
    if type(value) is float:
        return value if math.isfinite(value) else {"!float": repr(value)}
    for make in (_of_numpy, _of_pandas, _of_collection, _of_object):
        found = make(value)
        if found is not None:
            return found
    return {"!type": _class_of(value)}


def _text(value: str) -> Any:
    if len(value) <= _LONGEST_TEXT:
        return value
    return {"!text": value[:SAMPLES], "length": len(value), "digest": _digest(value.encode())}


def _digest(data: bytes) -> str:
    from blake3 import blake3

    return blake3(data).hexdigest(16)


def _class_of(value: Any) -> str:
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


def _of_collection(value: Any) -> Any:
    kind = type(value)
    if kind is list:
        return _elements(value) if len(value) > LONGEST else [encode(v) for v in value]
    if kind is tuple:
        return {"!tuple": _elements(value)}
    if kind in (set, frozenset):
        shown = sorted((encode(v) for v in value), key=repr)
        return {"!set": _cut(shown)}
    if kind is dict:
        plain = all(type(k) is str and not k.startswith(_MARK) for k in value)
        if plain:
            return {k: encode(v) for k, v in value.items()}
        return {"!dict": [[encode(k), encode(v)] for k, v in value.items()]}
    if kind in (bytes, bytearray):
        if len(value) > LONGEST:
            return {"!bytes": None, "length": len(value), "digest": _digest(bytes(value))}
        return {"!bytes": base64.b64encode(value).decode("ascii")}
    return None


def _elements(values: Sequence[Any]) -> Any:
    if len(values) <= LONGEST:
        return [encode(v) for v in values]
    return _cut(values, encode)


def _cut(values: Sequence[Any], make: Any = lambda v: v) -> Any:
    """Return a sequence, or a sample of a long one."""
    if len(values) <= LONGEST:
        return [make(v) for v in values]
    return {"!long": [make(values[n]) for n in _sampled(len(values))], "length": len(values)}


def _sampled(length: int) -> list[int]:
    return [n * (length - 1) // (SAMPLES - 1) for n in range(SAMPLES)]


def _of_numpy(value: Any) -> Any:
    if not _class_of(value).startswith("numpy."):
        return None
    import numpy as np

    if isinstance(value, np.generic):
        return {"!scalar": str(value.dtype), "value": encode(value.item())}
    if type(value) is not np.ndarray:
        return None
    return {"!array": str(value.dtype), "shape": list(value.shape), **_array(value)}


def _array(value: Any) -> dict[str, Any]:
    """Return the elements of an array: nested as they are, or figures and a sample."""
    if value.dtype.hasobject or value.dtype.kind not in "biufc":
        value = value.astype(object)
    if value.size <= LONGEST:
        return {"values": _nested(value.tolist())}
    flat = value.reshape(-1)
    sample = [encode(_item(flat[n])) for n in _sampled(value.size)]
    return {**_figures(flat), "sample": sample}


def _nested(value: Any) -> Any:
    return [_nested(v) for v in value] if isinstance(value, list) else encode(value)


def _item(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _figures(flat: Any) -> dict[str, Any]:
    """Return what sums up many numbers: a change of any of them shows."""
    if flat.dtype.kind not in "iufb":
        return {}
    import numpy as np

    numbers = flat.astype(float)
    finite = numbers[np.isfinite(numbers)]
    figures = {"missing": int(numbers.size - finite.size)}
    if finite.size:
        made = {
            "mean": finite.mean(),
            "std": finite.std(),
            "min": finite.min(),
            "max": finite.max(),
        }
        figures.update({name: encode(float(number)) for name, number in made.items()})
    return figures


def _of_pandas(value: Any) -> Any:
    if not _class_of(value).startswith("pandas."):
        return None
    import pandas as pd

    if isinstance(value, pd.DataFrame):
        columns = [
            {"name": encode(name), **_series(value.iloc[:, n])}
            for n, name in enumerate(value.columns)
        ]
        return {"!frame": columns, "rows": len(value), "index": _index(value.index)}
    if isinstance(value, pd.Series):
        index = _index(value.index)
        return {"!series": encode(value.name), **_series(value), "index": index}
    if isinstance(value, (pd.Timestamp, pd.Timedelta)):
        return {"!value": _class_of(value), "repr": str(value)}
    return None


def _series(value: Any) -> dict[str, Any]:
    numbers = value.dtype.kind in "biuf" if hasattr(value.dtype, "kind") else False
    if numbers and not hasattr(value.dtype, "na_value"):
        return {"dtype": str(value.dtype), **_array(value.to_numpy())}
    return {"dtype": str(value.dtype), "values": _cut(list(value), _cell)}


def _cell(value: Any) -> Any:
    import pandas as pd

    return {"!missing": True} if pd.api.types.is_scalar(value) and pd.isna(value) else encode(value)


def _index(index: Any) -> Any:
    import pandas as pd

    if isinstance(index, pd.RangeIndex):
        return {"!range": [index.start, index.stop, index.step]}
    return _cut(list(index), _cell)


def _of_object(value: Any) -> Any:
    name = _class_of(value)
    import enum

    if isinstance(value, enum.Enum):
        return {"!enum": name, "name": value.name}
    if name in _PLAIN_REPR:
        return {"!value": name, "repr": repr(value)}
    fields = _fields(value)
    if fields is not None:
        return {"!object": name, "fields": {n: encode(v) for n, v in fields.items()}}
    return None


def _fields(value: Any) -> Mapping[str, Any] | None:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name, None) for f in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=False))
    if isinstance(value, Mapping):
        return dict(value) if all(isinstance(k, str) for k in value) else None
    return None


# --- comparing ------------------------------------------------------------------------------


class Difference(NamedTuple):
    """Where two values differ.

    Attributes:
        place: behind the artifact's name: ``.weights[3]``; ``""`` = the whole.
        text: ``0.5 → 0.7``.
        size: by how much numbers differ; 0 when they are no numbers.
    """

    place: str
    text: str
    size: float = 0.0


def differences(old: Any, new: Any, tolerance: float, place: str = "") -> Iterator[Difference]:
    """Yield where two encoded values differ by more than ``tolerance``, relative or absolute."""
    numbers = (_number(old), _number(new))
    if None not in numbers:
        yield from _of_numbers(old, new, numbers, tolerance, place)
    elif isinstance(old, list) and isinstance(new, list):
        yield from _of_lists(old, new, tolerance, place)
    elif isinstance(old, dict) and isinstance(new, dict):
        yield from _of_dicts(old, new, tolerance, place)
    elif type(old) is not type(new) or old != new:
        yield Difference(place, f"{shown(old)} → {shown(new)}")


def _number(value: Any) -> float | int | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    if isinstance(value, dict) and list(value) == ["!float"]:
        return float(value["!float"])
    return None


def _of_numbers(
    old: Any, new: Any, numbers: tuple[Any, Any], tolerance: float, place: str
) -> Iterator[Difference]:
    one, other = numbers
    if type(one) is not type(other):
        kinds = f"{type(one).__name__} → {type(other).__name__}"
        yield Difference(place, f"{shown(old)} → {shown(new)} ({kinds})")
        return
    if one == other or (one != one and other != other):
        return
    if tolerance and math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance):
        return
    size = abs(other - one)
    by = f" (by {size:.3g})" if isinstance(one, float) and math.isfinite(size) else ""
    yield Difference(place, f"{shown(old)} → {shown(new)}{by}", float(size))


def _of_lists(old: list[Any], new: list[Any], tolerance: float, place: str) -> Iterator[Difference]:
    if len(old) != len(new):
        yield Difference(place, f"{_count(old)} → {_count(new)}")
    for number, (one, other) in enumerate(zip(old, new, strict=False)):
        yield from differences(one, other, tolerance, f"{place}[{number}]")


def _count(values: list[Any]) -> str:
    return f"{len(values)} element{'' if len(values) == 1 else 's'}"


def _of_dicts(
    old: dict[str, Any], new: dict[str, Any], tolerance: float, place: str
) -> Iterator[Difference]:
    if _kind(old) != _kind(new):
        yield Difference(place, f"{shown(old)} → {shown(new)}")
        return
    for key in {**old, **new}:
        below = _below(place, key, _kind(old))
        if key not in new:
            yield Difference(below, f"{shown(old[key])} → (missing)")
        elif key not in old:
            yield Difference(below, f"(new) {shown(new[key])}")
        else:
            yield from differences(old[key], new[key], tolerance, below)


def _below(place: str, key: str, kind: str | None) -> str:
    """Return the place of an entry: what the format adds for itself is left out."""
    if kind is None or key not in (kind, "values", "fields", "value"):
        return f"{place}.{key}"
    return place


def _kind(value: dict[str, Any]) -> str | None:
    return next((key for key in value if key.startswith(_MARK)), None)


def shown(value: Any) -> str:
    """Return an encoded value for people, in one short line."""
    if isinstance(value, dict) and (kind := _kind(value)) is not None:
        text = _shown_kind(kind, value)
    elif isinstance(value, dict):
        text = "{" + ", ".join(f"{k!r}: {shown(v)}" for k, v in list(value.items())[:5]) + "}"
    elif isinstance(value, list):
        text = "[" + ", ".join(map(shown, value[:8])) + (", …]" if len(value) > 8 else "]")
    else:
        text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}…"


def _shown_kind(kind: str, value: dict[str, Any]) -> str:
    inner = value[kind]
    if kind == "!array":
        return f"array of {inner}, shape {tuple(value['shape'])}"
    if kind == "!frame":
        return f"table of {value['rows']} rows, {len(inner)} columns"
    if kind in ("!tuple", "!set"):
        word = shown(inner)[1:-1] if isinstance(inner, list) else shown(inner)
        return f"({word})" if kind == "!tuple" else f"{{{word}}}"
    if kind == "!long":
        return f"{value['length']} elements"
    if kind in ("!object", "!enum", "!type"):
        name = str(inner).rpartition(".")[2]
        return f"{name}.{value['name']}" if kind == "!enum" else f"a {name}"
    if kind in ("!float", "!value", "!scalar"):
        return str(value.get("repr", value.get("value", inner)))
    return {"!missing": "missing", "!text": f"text of {value.get('length')} characters"}.get(
        kind, f"{kind[1:]}: {inner!r}"
    )
