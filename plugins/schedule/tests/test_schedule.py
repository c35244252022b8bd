"""``@schedule``: what may be said, and what deployers read."""

import pytest

from flow_core.api import DefinitionError, RunDocument, RunDraft
from flow_schedule import ScheduleOptions, schedule
from flow_schedule.cron import parse


def recorded(**options):
    return ScheduleOptions(**options).to_json(RunDraft("F", "ada"))


@pytest.mark.parametrize(
    ("options", "cron", "unix"),
    [
        ({}, "0 0 * * ? *", "0 0 * * *"),
        ({"hourly": True}, "0 * * * ? *", "0 * * * *"),
        ({"weekly": True}, "0 0 ? * SUN *", "0 0 * * SUN"),
        ({"weekly": True, "hourly": True}, "0 0 ? * SUN *", "0 0 * * SUN"),
        ({"cron": "0 10 * * ? *", "weekly": True}, "0 10 * * ? *", "0 10 * * *"),
    ],
)
def test_what_counts_and_what_is_recorded(options, cron, unix):
    assert recorded(**options) == {"cron": cron, "unix_cron": unix, "timezone": None}


@pytest.mark.parametrize(
    ("text", "six", "five"),
    [
        ("0 10 * * *", "0 10 * * ? *", "0 10 * * *"),
        ("*/5 8-18 * * 1-5", "*/5 8-18 ? * MON-FRI *", "*/5 8-18 * * MON-FRI"),
        ("0 0 1 jan,jul *", "0 0 1 JAN,JUL ? *", "0 0 1 JAN,JUL *"),
        ("0 0 * * 0,7", "0 0 ? * SUN,SUN *", "0 0 * * SUN,SUN"),
        ("5/15 * * * ? *", "5/15 * * * ? *", "5-59/15 * * * *"),
        ("0 0 ? * 2-6 *", "0 0 ? * 2-6 *", "0 0 * * MON-FRI"),
        ("0 0 L * ? *", "0 0 L * ? *", None),
        ("0 0 ? * MON#2 *", "0 0 ? * MON#2 *", None),
        ("0 0 15W * ? *", "0 0 15W * ? *", None),
        ("0 0 * * ? 2030", "0 0 * * ? 2030", None),
        ("0 0 ? * WED *", "0 0 ? * WED *", "0 0 * * WED"),
    ],
)
def test_cron_in_both_forms(text, six, five):
    assert (parse(text).text, parse(text).unix()) == (six, five)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "it has 0 fields"),
        ("0 0 * *", "it has 4 fields"),
        ("60 * * * ? *", "'60' is no minute (0 to 59)"),
        ("0 24 * * *", "'24' is no hour (0 to 23)"),
        ("0 0 0 * ? *", "'0' is no day of the month (1 to 31)"),
        ("0 0 * FOO ? *", "'FOO' is no month (1 to 12)"),
        ("0 0 ? * 8 *", "'8' is no day of the week (1 to 7)"),
        ("0 0 * * ? 1900", "'1900' is no year (1970 to 2199)"),
        ("*/0 * * * ? *", "'*/0' is no minute (0 to 59)"),
        ("a-b-c * * * ? *", "'A-B-C' is no minute"),
        ("0 0 * * * *", "of day of the month and day of the week exactly one must be '?'"),
        ("0 0 ? * ? *", "of day of the month and day of the week exactly one must be '?'"),
        ("0 0 1 * 1", "it names days of the month and of the week: that is 'or' in five fields"),
    ],
)
def test_what_is_no_cron_expression(text, why):
    with pytest.raises(DefinitionError) as caught:
        schedule(cron=text, daily=not text) if text else parse(text)
    assert caught.value.what == f"'{text}' is no cron expression"
    assert caught.value.why == why


def test_no_time_at_all():
    with pytest.raises(DefinitionError, match="A schedule needs a time"):
        schedule(daily=False)


def test_time_zones():
    assert recorded(timezone="Europe/Berlin")["timezone"] == "Europe/Berlin"
    with pytest.raises(DefinitionError) as caught:
        schedule(timezone="Europe/Berlinn")
    assert caught.value.what == "There is no time zone 'Europe/Berlinn'"
    assert caught.value.hint.startswith("did you mean 'Europe/Berlin'")
    with pytest.raises(DefinitionError) as caught:
        schedule(timezone="xyz")
    assert caught.value.hint == 'timezone="Europe/Berlin"'


def test_a_local_run_records_it_and_starts_at_once(flowtester):
    outcome = flowtester.run(
        """
        from flow_core import FlowSpec, schedule, step

        @schedule(cron="0 0 1 1 *", timezone="Asia/Tokyo")
        class F(FlowSpec):
            @step
            def start(self):
                self.next(self.end)

            @step
            def end(self):
                pass
        """
    )
    raw = next(iter(outcome.store.read(["runs/F/1/run.json"])))
    assert RunDocument.decode(raw, "run.json").decorators == (
        {
            "name": "schedule",
            "options": {
                "cron": "0 0 1 1 ? *",
                "unix_cron": "0 0 1 1 *",
                "timezone": "Asia/Tokyo",
            },
            "source": "code",
        },
    )
