"""Time zones as JSON data."""

from __future__ import annotations

import sys
from datetime import timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from flow_core.api import Declined


def pack_zone(zone: tzinfo, what: str) -> dict[str, Any]:
    """Return a zone of `zoneinfo`, `datetime` or `pytz` as data; `Declined` for any other."""
    if isinstance(zone, ZoneInfo) and zone.key:
        return {"zoneinfo": zone.key}
    if type(zone) is timezone:
        seconds = zone.utcoffset(None).total_seconds()
        if zone == timezone.utc or zone.tzname(None) == timezone(zone.utcoffset(None)).tzname(None):
            return {"offset": seconds}
    pytz = sys.modules.get("pytz")
    name = getattr(zone, "zone", None)
    if pytz is not None and name and pytz.timezone(name) == zone:
        return {"pytz": name}
    raise Declined(f"{what} has the time zone {zone!r}")


def unpack_zone(data: dict[str, Any]) -> tzinfo:
    """Undo `pack_zone`."""
    ((kind, value),) = data.items()
    if kind == "zoneinfo":
        return ZoneInfo(value)
    if kind == "offset":
        return timezone(timedelta(seconds=value)) if value else timezone.utc
    import pytz

    found: tzinfo = pytz.timezone(value)
    return found
