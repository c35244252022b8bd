"""Cron expressions: read, checked field by field, and written in the forms that deployers know."""

from __future__ import annotations

import re
from typing import NamedTuple

from flow_core.api import DefinitionError

_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


class _Field(NamedTuple):
    name: str
    first: int
    last: int
    names: tuple[str, ...] = ()
    special: str = r"(?!)"  # what else one part may be


_FIELDS = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31, special=r"L|LW|\d{1,2}W"),
    _Field("month", 1, 12, _MONTHS),
    _Field(
        "day of the week", 1, 7, _DAYS, special=r"L|([1-7]|SUN|MON|TUE|WED|THU|FRI|SAT)(L|#[1-5])"
    ),
    _Field("year", 1970, 2199),
)
_PART = re.compile(r"(?P<from>\*|\w+)(-(?P<to>\w+))?(/(?P<step>\d+))?")


class Cron(NamedTuple):
    """A cron expression with six fields: days of the week count from 1, Sunday."""

    minute: str
    hour: str
    day: str
    month: str
    weekday: str
    year: str

    @property
    def text(self) -> str:
        """The six fields."""
        return " ".join(self)

    def unix(self) -> str | None:
        """Return the classical five fields, or None where these cannot say it."""
        if self.year != "*" or re.search(r"[LW#]", self.day + _NAMES.sub("", self.weekday)):
            return None
        fields = [_star(value) for value in self[:5]]
        fields[4] = re.sub(r"(?<!/)\b[1-7]\b", lambda found: _DAYS[int(found[0]) - 1], fields[4])
        for number, field in enumerate(_FIELDS[:5]):  # "5/15" is "5-59/15" there
            last = field.names[-1] if field.names else str(field.last)
            fields[number] = re.sub(r"(?<![-\w])(\w+)/", rf"\1-{last}/", fields[number])
        return " ".join(fields)


_NAMES = re.compile("|".join(_DAYS))


def parse(text: str) -> Cron:
    """Return the expression of six fields, or of the classical five, that ``text`` is.

    Raises:
        DefinitionError: it is none; the message names the field.
    """
    fields = text.upper().split()
    if len(fields) == 5:
        fields = _from_unix(text, fields)
    if len(fields) != 6:
        raise _wrong(text, f"it has {len(fields)} fields")
    cron = Cron(*fields)
    for field, value in zip(_FIELDS, cron, strict=True):
        _check(text, field, value)
    if (cron.day == "?") == (cron.weekday == "?"):
        raise _wrong(text, "of day of the month and day of the week exactly one must be '?'")
    return cron


def _from_unix(text: str, fields: list[str]) -> list[str]:
    minute, hour, day, month, weekday = (_star(field) for field in fields)
    if day != "*" and weekday != "*":
        raise _wrong(
            text, "it names days of the month and of the week: that is 'or' in five fields"
        )
    if weekday == "*":
        weekday = "?"
    else:
        day = "?"
        weekday = re.sub(
            r"(?<!/)\b[0-7]\b", lambda found: _DAYS[int(found[0]) % 7], weekday
        )  # there, Sunday is 0 or 7
    return [minute, hour, day, month, weekday, "*"]


def _star(field: str) -> str:
    return "*" if field == "?" else field


def _check(text: str, field: _Field, value: str) -> None:
    if value == "?" and field.name.startswith("day"):
        return
    for part in value.split(","):
        if re.fullmatch(field.special, part):
            continue
        found = _PART.fullmatch(part)
        if found is None:
            raise _wrong(text, f"'{part}' is no {field.name}")
        numbers = [_number(field, n) for n in (found["from"], found["to"]) if n not in (None, "*")]
        if None in numbers or (found["from"] == "*" and found["to"]) or found["step"] == "0":
            raise _wrong(text, f"'{part}' is no {field.name} ({field.first} to {field.last})")


def _number(field: _Field, text: str) -> int | None:
    if text in field.names:
        return field.first + field.names.index(text)
    inside = text.isdigit() and field.first <= int(text) <= field.last
    return int(text) if inside else None


def _wrong(text: str, why: str) -> DefinitionError:
    return DefinitionError(
        f"'{text}' is no cron expression",
        where="@schedule",
        why=why,
        hint="minute hour day month weekday year: cron='30 6 ? * MON-FRI *'",
    )
