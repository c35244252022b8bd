"""What squeue tells of jobs, read from its JSON, or from its columns where it was built without that."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

COLUMNS = {
    "JobArrayID": 60,
    "State": 30,
    "exit_code": 20,
    "RestartCnt": 10,
    "Reason": 120,
    "NodeList": 300,
    "UserName": 60,
    "Name": 200,
    "SubmitTime": 30,
    "Command": 1000,
}
"""Columns of ``squeue --Format``, and their widths; the last one may hold spaces."""

_GOING = {"RUNNING", "COMPLETING", "CONFIGURING", "RESIZING", "SIGNALING", "STAGE_OUT", "STOPPED"}
_GOING |= {"SUSPENDED", "POWER_UP_NODE", "EXPEDITING"}
_WAITING = ("PENDING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT")


class Shortened(ValueError):
    """A list of elements that Slurm has cut short: which others there are, it does not say."""


class JobState(NamedTuple):
    """What Slurm knows of one job, or of one element of an array.

    Attributes:
        id: ``123``, or ``123_4`` of an array. An array whose last waiting elements were cancelled
            leaves one record for them, which does not say which they were: it has the id ``123``.
        state: in Slurm's words, without what goes on beside it: ``RUNNING``, ``COMPLETED``, ``TIMEOUT``.
        completing: whether it has ended, and something of it may still run.
        reason: why it waits, or has failed: ``Resources``; ``""`` = nothing is said.
        description: the same in a sentence, where there is one.
        nodes: machines, as Slurm writes them: ``node[1-3]``.
        status: what ``wait`` gave of its script: exit code times 256, and signal.
        restarts: how often it was started again.
        command: path of its script.
        name, user: of the job.
        submitted: seconds since the epoch; 0 = not known.
    """

    id: str
    state: str
    completing: bool = False
    reason: str = ""
    description: str = ""
    nodes: str = ""
    status: int = 0
    restarts: int = 0
    command: str = ""
    name: str = ""
    user: str = ""
    submitted: float = 0.0

    @property
    def waits(self) -> bool:
        """Whether it has not begun, or is to begin again."""
        return self.state in _WAITING

    @property
    def has_ended(self) -> bool:
        """Whether it has ended, and nothing of it runs any more."""
        return not self.waits and not self.completing and self.state not in _GOING

    @property
    def code(self) -> int | None:
        """Exit code of its script; None = a signal has ended it."""
        return None if self.signal else self.status >> 8

    @property
    def signal(self) -> int | None:
        """The signal that has ended it, or None. Shells tell it as a code beyond 128."""
        if self.status & 127:
            return self.status & 127
        code = self.status >> 8
        return code - 128 if 128 < code < 128 + 65 else None


def read_json(told: Mapping[str, Any]) -> Iterator[JobState]:
    """Yield the jobs of ``squeue --json``, in the shapes of Slurm 21.08 to 25.

    Raises:
        Shortened: not all elements of an array are told.
    """
    for job in told.get("jobs", ()):
        first, completing = _state(job.get("job_state"))
        known = JobState(
            id="",
            state=first,
            completing=completing,
            reason=_reason(job.get("state_reason")),
            description=job.get("state_description") or "",
            nodes=job.get("nodes") or "",
            status=_status(job.get("exit_code")),
            restarts=_number(job.get("restart_cnt")) or 0,
            command=job.get("command") or "",
            name=job.get("name") or "",
            user=job.get("user_name") or "",
            submitted=float(_number(job.get("submit_time")) or 0),
        )
        for each in _ids(job):
            yield known._replace(id=each)


def read_columns(text: str) -> Iterator[JobState]:
    """Yield the jobs of ``squeue --noheader --array --Format=…`` with `COLUMNS`. Raises as
    `read_json`."""
    for line in text.splitlines():
        cells, start = [], 0
        for width in COLUMNS.values():
            cells.append(line[start : start + width].strip())
            start += width
        if not cells[0]:
            continue
        job, state, status, restarts, reason, nodes, user, name, submitted, command = cells
        first, completing = _state(state)
        for each in _expanded_id(job):
            yield JobState(
                id=each,
                state=first,
                completing=completing,
                reason=_reason(reason),
                nodes=nodes,
                status=int(status) if status.isdigit() else 0,
                restarts=int(restarts) if restarts.isdigit() else 0,
                command="" if command == "(null)" else command,
                name=name,
                user=user,
                submitted=_time(submitted),
            )


def expand(text: str) -> list[int]:
    """Return the numbers of a list such as ``0-3,7%2``.

    Raises:
        Shortened: it is cut short, or is no such list.
    """
    found: list[int] = []
    for part in filter(None, text.partition("%")[0].strip("[]").split(",")):
        matched = re.fullmatch(r"(\d+)(?:-(\d+)(?::(\d+))?)?", part)
        if matched is None:
            raise Shortened(text)
        first, last, by = matched.groups()
        found += range(int(first), int(last or first) + 1, int(by or 1))
    return found


def compact(ids: Iterable[str]) -> list[str]:
    """Return ids with the elements of each array together: ``12_[0-3,7]``."""
    arrays: dict[str, list[int]] = {}
    found: list[str] = []
    for each in ids:
        array, _, index = each.partition("_")
        if index:
            arrays.setdefault(array, []).append(int(index))
        else:
            found.append(each)
    return found + [f"{array}_[{_ranges(sorted(all_))}]" for array, all_ in arrays.items()]


def expand_nodes(text: str) -> list[str]:
    """Return the names of a list of nodes such as ``node[1-3,07],gpu``."""
    found: list[str] = []
    for prefix, ranges, rest in re.findall(r"([^,\[\]]+)(?:\[([^\]]*)\])?([^,]*)", text):
        if not ranges:
            found.append(prefix + rest)
            continue
        for part in ranges.split(","):
            first, _, last = part.partition("-")
            numbers = range(int(first), int(last or first) + 1)
            found += [f"{prefix}{number:0{len(first)}}{rest}" for number in numbers]
    return found


def _ranges(numbers: Sequence[int]) -> str:
    parts: list[list[int]] = []
    for number in numbers:
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def _ids(job: Mapping[str, Any]) -> list[str]:
    """Return the ids of what one record stands for: an array that waits is one record."""
    array, index = _number(job.get("array_job_id")), _number(job.get("array_task_id"))
    if not array:
        return [str(_number(job.get("job_id")))]
    if index is not None:
        return [f"{array}_{index}"]
    waiting = [f"{array}_{number}" for number in expand(job.get("array_task_string") or "")]
    return waiting or [str(array)]


def _expanded_id(text: str) -> list[str]:
    array, bracket, indices = text.partition("_[")
    return [f"{array}_{number}" for number in expand(indices)] if bracket else [text]


def _state(told: Any) -> tuple[str, bool]:
    """Return the state, and whether it is still being cleaned up after."""
    words = [told] if isinstance(told, str) else [str(word) for word in told or ()]
    words = [word.upper() for word in words] or ["UNKNOWN"]
    completing = "COMPLETING" in words
    others = [word for word in words if word != "COMPLETING"]
    waiting = [word for word in others if word in _WAITING]
    return (waiting or others or words)[0], completing


def _reason(told: Any) -> str:
    text = str(told or "").strip()
    return "" if text in ("None", "(null)", "N/A") else text


def _number(told: Any) -> int | None:
    """Return a number that newer releases give as ``{"set": …, "infinite": …, "number": …}``."""
    if isinstance(told, Mapping):
        return told.get("number") if told.get("set") else None
    return told if isinstance(told, int) else None


def _status(told: Any) -> int:
    """Return an exit status as ``wait`` gives it; newer releases give its parts."""
    if not isinstance(told, Mapping):
        return told if isinstance(told, int) else 0
    if "return_code" not in told and "signal" not in told:
        return _number(told) or 0
    signal = told.get("signal")
    if isinstance(signal, Mapping):
        signal = _number(signal.get("id", signal.get("signal_id")))
    return ((_number(told.get("return_code")) or 0) << 8) | (signal or 0)


def _time(text: str) -> float:
    from datetime import datetime

    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
