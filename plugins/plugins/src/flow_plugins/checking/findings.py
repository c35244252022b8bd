"""What a check finds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from flow_core.api import PluginError

OK, WARN, FAIL = "ok", "warn", "fail"


class Finding(NamedTuple):
    """One result of one check.

    Attributes:
        check: its name: ``core``, ``hooks``, ``provides``, ``options``, ``cost``, ``package``.
        status: `OK`, `WARN` or `FAIL`.
        text: what was found, one sentence.
        where, why, hint: as in a `FlowError`; ``""`` = nothing to say.
    """

    check: str
    status: str
    text: str
    where: str = ""
    why: str = ""
    hint: str = ""


def of_error(check: str, error: PluginError) -> Finding:
    """Return a failure with the parts of an error."""
    return Finding(check, FAIL, error.what, error.where or "", error.why or "", error.hint or "")


def worst(findings: Iterable[Finding]) -> str:
    """Return the worst status of all; `OK` when there are none."""
    found = {finding.status for finding in findings}
    return next((status for status in (FAIL, WARN) if status in found), OK)
