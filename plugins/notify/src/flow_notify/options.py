"""The settings, checked before a run is there."""

from __future__ import annotations

import json
import string
from typing import NamedTuple
from urllib.parse import urlsplit

from flow_core.api import Settings, SettingsError, did_you_mean
from flow_notify.messages import FIELDS, RUN_EVENTS, TASK_EVENTS
from flow_notify.sender import Target

_EVENTS = (*RUN_EVENTS, *TASK_EVENTS)


class Options(NamedTuple):
    """What the settings say.

    Attributes:
        target: where messages go.
        events: names of the events that are told.
        format, template: see the settings.
        patience: seconds.
    """

    target: Target
    events: frozenset[str]
    format: str
    template: str
    patience: float


def read_options(settings: Settings) -> Options:
    """Return what the settings say.

    Raises:
        SettingsError: they make no sense. The URL and the headers are never shown.
    """
    template, source = settings.lookup("notify_template")
    _check_template(template, source)
    return Options(
        Target(
            _url(settings),
            _headers(settings),
            settings["notify_timeout"],
            settings["notify_retries"],
        ),
        _events(*settings.lookup("notify_events")),
        settings["notify_format"],
        template,
        settings["notify_patience"],
    )


def _url(settings: Settings) -> str:
    url: str
    url, source = settings.lookup("notify_url")
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound or not url.isascii() or any(c.isspace() for c in url):
        raise SettingsError(
            "The setting 'notify_url' is no URL of a webhook",
            where=source,
            why="it must begin with http:// or https://, and a host",
            hint="FLOW_NOTIFY_URL=https://hooks.example.com/services/…",
        )
    return url


def _events(text: str, source: str) -> frozenset[str]:
    names = [*filter(None, map(str.strip, text.split(",")))]
    for name in names:
        if name not in (*_EVENTS, "all"):
            raise SettingsError(
                f"There is no event '{name}' to be told of",
                where=source,
                why=f"there are: {', '.join(_EVENTS)}, and all",
                hint=did_you_mean(name, _EVENTS),
            )
    return frozenset(_EVENTS if "all" in names else names)


def _check_template(template: str, source: str) -> None:
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(template)]
        wrong = [field for field in fields if field is not None and field not in FIELDS]
        if not wrong:
            template.format_map(dict.fromkeys(FIELDS, ""))
    except (ValueError, KeyError, IndexError) as error:
        raise SettingsError(
            "The setting 'notify_template' is no template",
            where=source,
            why=str(error),
            hint="'{flow}/{run}: {event} {message}'; a brace itself is {{ or }}",
        ) from None
    if wrong:
        raise SettingsError(
            f"The setting 'notify_template' names {{{wrong[0]}}}, which no message has",
            where=source,
            why=f"there are: {', '.join(FIELDS)}",
            hint=did_you_mean(wrong[0], FIELDS),
        )


def _headers(settings: Settings) -> dict[str, str]:
    variable: str
    variable, source = settings.lookup("notify_headers")
    if not variable:
        return {}
    text = settings.script_environment().get(variable)
    hint = f'{variable}=\'{{"Authorization": "Bearer …"}}\''
    if text is None:
        raise SettingsError(
            f"There is no variable '{variable}', which holds the headers for notify_url",
            where=source,
            hint=hint,
        )
    try:
        headers = json.loads(text)
        sound = all(_is_header(name, value) for name, value in headers.items())
    except (ValueError, AttributeError):
        sound = False
    if not sound:
        raise SettingsError(
            f"The variable '{variable}' holds no HTTP headers", where=source, hint=hint
        )
    return dict(headers)


def _is_header(name: str, value: object) -> bool:
    good = isinstance(value, str) and value.isascii() and value.isprintable()
    return good and bool(name) and all(c.isascii() and (c.isalnum() or c in "-_") for c in name)
