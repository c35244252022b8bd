"""``logs``: what past and running tasks wrote."""

from __future__ import annotations

import functools
import itertools
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from flow_core.api import (
    AttemptLogs,
    AttemptRecord,
    AttemptState,
    Command,
    CommandContext,
    Failure,
    ManifestReader,
    NotFound,
    RunState,
    UsageError,
    harmless,
    home_of_logs,
    time_of_byte,
    together,
)
from flow_inspect.place import Place, attempts, check_exists, read_place

if TYPE_CHECKING:
    from flow_core.api import Session, Times

_CHUNK = 1 << 20
_AT_ONCE = 64
"""Attempts whose logs are read at the same time; those that are read at once have a megabyte at most."""
_POLL_SECONDS = 0.5
_SILENCE = 60.0
_OPEN_ATTEMPTS = frozenset({AttemptState.QUEUED, AttemptState.RUNNING})
_OPEN_RUNS = frozenset({RunState.CREATED, RunState.RUNNING})


def build(context: CommandContext) -> click.Command:
    """Make the click command."""

    def logs(
        pathspec: str,
        streams: str,
        attempt: int | None,
        follow: bool,
        timestamps: bool,
        as_json: bool,
    ) -> None:
        if follow and as_json:
            raise UsageError("--follow and --json exclude each other", hint="leave out --follow")
        place = read_place(context, pathspec)
        session = context.session()
        check_exists(session, place)
        reader = _Logs(context, session, place, chosen_streams(streams), attempt, timestamps)
        if follow:
            reader.follow()
        elif as_json:
            context.echo(json.dumps(reader.data(), indent=2))
        else:
            reader.show()

    return _WithScrub(
        context,
        "logs",
        callback=logs,
        params=[
            click.Argument(["pathspec"]),
            *stream_options(),
            click.Option(
                ["--attempt"],
                type=click.IntRange(min=0),
                metavar="N",
                help="Attempt N, from 0, instead of the last one.",
            ),
            click.Option(
                ["--timestamps"],
                is_flag=True,
                help="When each line was written, as closely as its run has looked.",
            ),
            click.Option(["--follow", "-f"], is_flag=True, help="Go on until the run has ended."),
            click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        ],
        help="Show what the tasks of a run, a step, or one task wrote: Flow/run[/step[/task]]. "
        "In a flow file the flow may be left out. 'logs scrub PATHSPEC' removes what they wrote.",
    )


class _WithScrub(click.Command):
    """The command, and behind its name also ``show``, which is itself, and ``scrub``."""

    def __init__(self, context: CommandContext, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._context = context

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        if args[:1] == ["scrub"]:
            from flow_inspect import scrub

            other = scrub.build(self._context)
            return other.make_context(f"{info_name} scrub", args[1:], parent, **extra)
        rest = args[1:] if args[:1] == ["show"] else args
        return super().make_context(info_name, rest, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


def stream_options() -> list[click.Option]:
    """Return the options that choose among the streams: ``streams`` is one of them, or ``both``."""
    return [
        _stream("--stdout", "Only standard output."),
        _stream("--stderr", "Only standard error."),
        _stream("--both", "Both, the default.", default=True),
    ]


def chosen_streams(streams: str) -> tuple[str, ...]:
    """Return the names of the streams that were chosen."""
    return ("stdout", "stderr") if streams == "both" else (streams,)


def _stream(option: str, text: str, default: bool = False) -> click.Option:
    value = option.removeprefix("--")
    if default:
        return click.Option([option, "streams"], flag_value=value, default="both", help=text)
    return click.Option([option, "streams"], flag_value=value, help=text)


class _Stream:
    """One stream of one attempt: how far it was read, and the line that is not complete yet."""

    __slots__ = ("offset", "rest")

    def __init__(self) -> None:
        self.offset = 0
        self.rest = b""


class _Logs:
    """Prints the logs of the tasks of a place."""

    def __init__(
        self,
        context: CommandContext,
        session: Session,
        place: Place,
        streams: Sequence[str],
        number: int | None,
        timestamps: bool,
    ) -> None:
        self._context = context
        self._session = session
        self._place = place
        self._streams = streams
        self._number = number
        self._timestamps = timestamps
        self._manifests = ManifestReader(session.store)
        self._open: dict[tuple[str, int, int, str], _Stream] = {}
        self._done: set[tuple[str, int, int]] = set()

    def show(self) -> None:
        """Print what there is."""
        for record, logs, origin in self._ended():
            self._print(record, logs, origin, last=True)
            self._tell_failure(record)
            self._done.add(record[2:5])
        self._check_attempt()

    def data(self) -> list[dict[str, Any]]:
        """Return what there is as JSON data."""
        found = []
        for record, logs, origin in self._ended():
            texts = [logs.read(name) for name in self._streams]
            found.append(
                {
                    "pathspec": record.pathspec,
                    "attempt": record.attempt,
                    "state": record.state.value,
                    "origin": origin,
                    "failure": self._failure_data(record),
                    **{
                        name: text.decode(errors="replace")
                        for name, text in zip(self._streams, texts, strict=True)
                    },
                    **(self._times(record, logs, origin, texts) if self._timestamps else {}),
                }
            )
            self._done.add(record[2:5])
        self._check_attempt()
        return found

    def _times(
        self,
        record: AttemptRecord,
        logs: AttemptLogs,
        origin: str | None,
        texts: Iterable[bytes],
    ) -> dict[str, list[float | None]]:
        """Return for each stream the times of its lines, in seconds since the epoch."""
        found = {}
        for name, text in zip(self._streams, texts, strict=True):
            clock = self._clock(record, logs.times(name), origin, last=True)
            lines = text.removesuffix(b"\n").split(b"\n") if text else []
            ends = itertools.accumulate(len(line) + 1 for line in lines)
            found[f"{name}_times"] = [clock(min(end, len(text))) for end in ends]
        return found

    def _clock(
        self, record: AttemptRecord, times: Times, origin: str | None, *, last: bool
    ) -> Callable[[int], float | None]:
        """Return what tells when a log had so many bytes. What the times do not tell any more came
        at the end of the attempt; of one that runs, it has just come."""
        end = self._end(record, origin) if last else time.time()

        def clock(position: int) -> float | None:
            return time_of_byte(times, position) or end

        return clock

    def _end(self, record: AttemptRecord, origin: str | None) -> float | None:
        if origin is None:
            return record.finished_at or record.started_at
        flow, run, step, task, attempt = origin.split("/")
        manifest = self._manifests.one(flow, run, step, int(task), int(attempt))
        return manifest.finished if manifest is not None else None

    def follow(self) -> None:
        """Print what there is and what comes, until the run has ended or is lost."""
        while True:
            # Looked at first, so that what came before the end is read after it.
            over = self._is_over()
            for record in attempts(self._session, self._place, self._number):
                if record[2:5] not in self._done:
                    ended = over or record.state not in _OPEN_ATTEMPTS
                    self._print(record, *self._logs(record), last=ended)
                    if ended:
                        self._tell_failure(record)
                        self._done.add(record[2:5])
            if over:
                self._check_attempt()
                return
            time.sleep(_POLL_SECONDS)

    def _check_attempt(self) -> None:
        if self._number is not None and not self._done:
            raise NotFound(
                f"There is no attempt {self._number}",
                where="/".join(str(part) for part in self._place if part is not None),
                why="attempts are counted from 0, and there is a second one only after a failure",
                hint="without --attempt the last one is shown",
            )

    def _is_over(self) -> bool:
        run = self._session.metadata.run(self._place.flow, self._place.run)
        if run is None or run.state not in _OPEN_RUNS:
            return True
        if time.time() - (run.heartbeat_at or run.created_at) <= _SILENCE:
            return False
        note = f"Run {run.pathspec} has given no sign of life for a minute: it seems to be lost."
        self._context.echo(click.style(note, fg="yellow"), error=True)
        return True

    def _print(
        self, record: AttemptRecord, logs: AttemptLogs, origin: str | None, *, last: bool
    ) -> None:
        """Print what is new of an attempt; with ``last`` also a line that has no end."""
        label = f"[{record.run}/{record.step}/{record.task}] "
        if origin is not None and last:
            note = f"{label}reused: this is what {origin} wrote"
            self._context.echo(click.style(note, dim=True), error=True)
        for name in self._streams:
            key = (record.step, record.task, record.attempt, name)
            stream = self._open.setdefault(key, _Stream())
            clock = None
            if self._timestamps:
                times = logs.times(name) if last else ()
                clock = self._clock(record, times, origin, last=last)
            read = functools.partial(logs.read, name)
            self._print_stream(read, stream, self._label(label), last, clock)
            if last:
                del self._open[key]

    def _tell_failure(self, record: AttemptRecord) -> None:
        """Say why an attempt failed that could not write it down itself: its log does not tell."""
        failure = self._failure(record) if record.cause != "error" else None
        if failure is None or failure.traceback:
            return
        label = self._label(f"[{record.run}/{record.step}/{record.task}] ")
        for note in filter(None, (failure.summary, failure.hint and f"try: {failure.hint}")):
            self._context.echo(label + click.style(note, fg="red"), error=True)

    def _failure(self, record: AttemptRecord) -> Failure | None:
        if not record.cause:
            return None
        manifest = self._manifests.one(*record[:5])
        return manifest.failure if manifest is not None else None

    def _failure_data(self, record: AttemptRecord) -> dict[str, str] | None:
        failure = self._failure(record)
        told = ("cause", "message", "hint")
        return {name: getattr(failure, name) for name in told} if failure is not None else None

    def _label(self, label: str) -> str:
        return "" if self._place.task is not None else click.style(label, dim=True)

    def _print_stream(
        self,
        read: Callable[[int, int], bytes],
        stream: _Stream,
        label: str,
        last: bool,
        clock: Callable[[int], float | None] | None,
    ) -> None:
        data: bytes | None = None
        while data is None or len(data) == _CHUNK:  # a part that is shorter is the end
            data = read(stream.offset, _CHUNK)
            position = stream.offset - len(stream.rest)
            stream.offset += len(data)
            *lines, stream.rest = (stream.rest + data).split(b"\n")
            for line in lines:
                position += len(line) + 1
                self._print_line(line, label, clock and clock(position))
        if last and stream.rest:
            self._print_line(stream.rest, label, clock and clock(stream.offset))

    def _print_line(self, line: bytes, label: str, at: float | None) -> None:
        text = line.decode(errors="replace")
        if sys.stdout.isatty():  # which would obey what a task wrote; a pipe gets it as it is
            text = harmless(text, colours=True)
        moment = click.style(f"{_moment(at)} ", dim=True) if self._timestamps else ""
        self._context.echo(moment + label + text)

    def _ended(self) -> Iterator[tuple[AttemptRecord, AttemptLogs, str | None]]:
        """Yield the attempts with their logs; of a remote store those of many are read at once."""
        waiting = iter(attempts(self._session, self._place, self._number))
        while some := [*itertools.islice(waiting, _AT_ONCE)]:
            found = together(self._session.store, self._logs, some)
            yield from ((record, *logs) for record, logs in zip(some, found, strict=True))

    def _logs(self, record: AttemptRecord) -> tuple[AttemptLogs, str | None]:
        """Return the logs of an attempt, and which other one wrote them, if it is a reused one."""
        prefix, origin = home_of_logs(self._session.store, self._manifests, record)
        return AttemptLogs(self._session.store, prefix).load(), origin


def _moment(at: float | None) -> str:
    if at is None:
        return "?".ljust(23)
    return f"{time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(at))}.{int(at % 1 * 1000):03}"


command = Command("Show what the tasks of a past run wrote.", False, build)
