"""The price table: a TOML file, checked when it is read."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from flow_core.api import Manifest, SettingsError, did_you_mean, load_parser

EXAMPLE = 'currency = "EUR"\n[default]\ncpu_hour = 0.04\ngb_hour = 0.005'
_KEYS = ("currency", "default", "machines")


class Rates(NamedTuple):
    """What one kind of machine costs.

    Attributes:
        cpu_hour: price of one processor for one hour.
        gb_hour: price of 1 GB (10⁹ bytes) of memory for one hour.
    """

    cpu_hour: float
    gb_hour: float

    def price(self, attempt: Manifest) -> float:
        """Return what an attempt has cost: its CPU time, and its peak of memory all the time."""
        hours = max(0.0, attempt.finished - attempt.started) / 3600
        gigabytes = attempt.peak_memory / 1e9
        return attempt.cpu_seconds / 3600 * self.cpu_hour + gigabytes * hours * self.gb_hour


class Prices(NamedTuple):
    """A price table.

    Attributes:
        currency: a word behind each amount; ``""`` = none.
        default: for machines that no pattern fits.
        machines: patterns of names with their rates; the first that fits counts.
    """

    currency: str
    default: Rates
    machines: tuple[tuple[str, Rates], ...] = ()

    def of(self, attempt: Manifest) -> float:
        """Return what an attempt has cost. What was reused has cost nothing."""
        if attempt.origin is not None:
            return 0.0
        fitting = (rates for p, rates in self.machines if fnmatchcase(attempt.host, p))
        return next(fitting, self.default).price(attempt)


def read_prices(path: str) -> Prices:
    """Return the price table of a file.

    Raises:
        SettingsError: there is none, or it cannot be used.
    """
    table = _Table(_parsed(path), path, "")
    table.only(_KEYS)
    return Prices(
        table.text("currency"),
        _rates(table.inner("default")),
        tuple((name, _rates(inner)) for name, inner in table.optional("machines").inners()),
    )


def _rates(table: _Table) -> Rates:
    table.only(Rates._fields)
    return Rates(*map(table.price, Rates._fields))


def _parsed(path: str) -> Mapping[str, Any]:
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"The price table '{path}' cannot be read",
            where="setting 'acme_prices', or --prices",
            why=getattr(error, "strerror", None) or "it is no text in UTF-8",
            hint=f"write one:\n{EXAMPLE}",
        ) from None
    try:
        parsed: Mapping[str, Any] = load_parser("toml", "the price table")(text)
    except ValueError as error:
        raise SettingsError(
            "The price table is no TOML", where=path, why=str(error), hint=f"like this:\n{EXAMPLE}"
        ) from None
    return parsed


class _Table:
    """A part of the file, which knows its place for errors."""

    def __init__(self, content: Mapping[str, Any], path: str, name: str) -> None:
        self._content = content
        self._path = path
        self._name = name

    def only(self, known: tuple[str, ...]) -> None:
        """Refuse keys that mean nothing: they are mistyped."""
        for key in self._content:
            if key not in known:
                hint = did_you_mean(key, known) or f"there are: {', '.join(known)}"
                raise self._wrong(f"'{key}' means nothing in {self._title}", None, hint)

    def price(self, key: str) -> float:
        value = self._content.get(key)
        if value is None:
            raise self._wrong(f"{self._title} has no '{key}'", None, f"{key} = 0.04")
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not 0 <= value < float("inf"):
            why = f"a price is a number, 0 or more, not {value!r}"
            raise self._wrong(f"'{key}' of {self._title} is no price", why, f"{key} = 0.04")
        return float(value)

    def text(self, key: str) -> str:
        value = self._content.get(key, "")
        if not isinstance(value, str) or not (value.isprintable() or not value):
            why = f"it is {value!r}"
            raise self._wrong(f"'{key}' of {self._title} is no word", why, f'{key} = "EUR"')
        return value

    def inner(self, key: str) -> _Table:
        if key not in self._content:
            raise self._wrong(f"The price table has no [{key}]", None, EXAMPLE)
        return self.optional(key)

    def optional(self, key: str) -> _Table:
        value = self._content.get(key, {})
        name = f"{self._name}.{key}" if self._name else key
        if not isinstance(value, Mapping):
            why = f"it is {value!r}"
            raise self._wrong(f"'{key}' of {self._title} is no table", why, f"[{name}]")
        return _Table(value, self._path, name)

    def inners(self) -> list[tuple[str, _Table]]:
        return [(key, self.optional(key)) for key in self._content]

    @property
    def _title(self) -> str:
        return f"[{self._name}]" if self._name else "the price table"

    def _wrong(self, what: str, why: str | None, hint: str) -> SettingsError:
        return SettingsError(what[0].upper() + what[1:], where=self._path, why=why, hint=hint)
