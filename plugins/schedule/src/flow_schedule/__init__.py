"""flow-schedule: when a deployed flow runs (``@schedule``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flow_core.api import DefinitionError, FlowDecorator, Options, did_you_mean, near_misses, option
from flow_schedule.cron import Cron, parse

if TYPE_CHECKING:
    from flow_core.api import RunDraft

_HOURLY, _DAILY, _WEEKLY = "0 * * * ? *", "0 0 * * ? *", "0 0 ? * SUN *"


@dataclass(frozen=True)
class ScheduleOptions(Options):
    """Run the flow at fixed times, once it is deployed; a local run pays no attention to it.

    The first of ``cron``, ``weekly``, ``hourly``, ``daily`` that is set counts. ``cron`` has six
    fields (minute, hour, day of the month, month, day of the week, year; one of the days is ``?``),
    or the five of the classical form. Since 0.1.
    """

    hourly: bool = option(False, "At the beginning of each hour.")
    daily: bool = option(True, "Each day at midnight.")
    weekly: bool = option(False, "Each Sunday at midnight.")
    cron: str | None = option(None, "A cron expression: '0 10 * * ? *' is each day at ten.")
    timezone: str | None = option(None, "Name of the time zone, 'Europe/Berlin'; None = UTC.")

    def validate(self) -> None:
        """Refuse what never happens, and what no deployer could read."""
        if not (self.cron or self.weekly or self.hourly or self.daily):
            raise DefinitionError(
                "A schedule needs a time",
                why="daily is off, and none of cron, weekly and hourly is set",
                hint="@schedule(hourly=True)",
            )
        self.times()
        if self.timezone is not None:
            _check_timezone(self.timezone)

    def times(self) -> Cron:
        """Return the times as a cron expression.

        Raises:
            DefinitionError: ``cron`` is none.
        """
        chosen = _WEEKLY if self.weekly else _HOURLY if self.hourly else _DAILY
        return parse(self.cron if self.cron is not None else chosen)

    def to_json(self, draft: RunDraft) -> dict[str, Any]:
        """Return ``cron`` with six fields, ``unix_cron`` with five or None, and ``timezone``."""
        times = self.times()
        return {"cron": times.text, "unix_cron": times.unix(), "timezone": self.timezone}


def _check_timezone(name: str) -> None:
    from zoneinfo import ZoneInfo, available_timezones

    known = available_timezones()
    if not known:
        return  # a machine without a time zone database cannot tell
    try:
        ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise DefinitionError(
            f"There is no time zone '{name}'",
            why="the time zone database has no such name",
            hint=did_you_mean(name, near_misses(name, known)) or 'timezone="Europe/Berlin"',
        ) from None


schedule = FlowDecorator("schedule", ScheduleOptions)
