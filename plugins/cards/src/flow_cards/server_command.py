"""What ``flow card server`` does: choose a run and an address, say where to look, serve until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import webbrowser
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from flow_core.api import UsageError, did_you_mean

if TYPE_CHECKING:
    from flow_core.api import CommandContext, Session


def serve(
    context: CommandContext,
    run: str | None,
    *,
    host: str,
    port: int,
    token: bool | None,
    open_browser: bool,
    max_cards: int,
    poll: float,
) -> None:
    """Serve cards until Ctrl-C, or a signal to end.

    Raises:
        UsageError: nobody can listen there, or everybody could look without a token.
        NotFound: there is no such run.
    """
    from flow_cards.server import CardServer

    session = context.session()
    flow, number = _followed(context, session, run)
    server = CardServer(
        session,
        flow=flow,
        run=number,
        host=host,
        port=port,
        token=_token(session, host, token),
        most=max_cards,
        poll=poll,
    )
    with server, _signal_to_end() as ended:
        context.echo(f"Cards of {_what(flow, number)}: {server.url}")
        _say_that_it_is_unknown(context, session, flow)
        context.echo("Ctrl-C ends it.")
        if open_browser:
            webbrowser.open(server.url)
        serving = threading.Thread(target=server.serve_forever, args=(0.1,))
        serving.start()
        os.read(ended, 1)
        server.shutdown()
        serving.join()


@contextlib.contextmanager
def _signal_to_end() -> Iterator[int]:
    """Yield a descriptor that can be read as soon as Ctrl-C or SIGTERM has come.

    A handler that raises would do with less, but is not heard where Python cannot pass an exception on,
    as when an object of a thread that has ended goes away: and requests are threads.
    """
    reading, writing = os.pipe()

    def note(*_: Any) -> None:
        os.write(writing, b".")

    earlier = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield reading
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


def _followed(
    context: CommandContext, session: Session, run: str | None
) -> tuple[str | None, str | None]:
    """Return the flow and the run that are meant; None = the latest one, of any flow."""
    from flow_cards.finding import find_target

    flow = context.flow.__name__ if context.flow is not None else None
    if run is None:
        return flow, None
    if flow is None and run.isidentifier():
        return run, None  # the latest run of this flow, which may be yet to come
    target = find_target(session, run, flow)
    if target.step is not None:
        raise UsageError(
            f"'{run}' is no run",
            why="the server shows the cards of a whole run",
            hint=f"{target.flow}/{target.run}, or leave it out for the latest run",
        )
    return target.flow, target.run


def _say_that_it_is_unknown(context: CommandContext, session: Session, flow: str | None) -> None:
    if flow is not None and not session.metadata.runs(flow, limit=1):
        hint = did_you_mean(flow, session.metadata.flows())
        context.echo(f"There is no run of {flow} yet" + (f": {hint}" if hint else "."))


def _what(flow: str | None, run: str | None) -> str:
    if run is not None:
        return f"{flow}/{run}"
    return f"the latest run of {flow}" if flow is not None else "the latest run"


def _token(session: Session, host: str, wanted: bool | None) -> str | None:
    from flow_cards.hosts import is_loopback
    from flow_cards.server import new_token

    given = session.settings.script_environment().get("FLOW_CARDS_TOKEN") or ""
    if is_loopback(host) and not wanted and (wanted is False or not given):
        return None
    if wanted is False:
        raise UsageError(
            f"At {host} others could see the cards without a token",
            where="--no-token",
            why="only at an address of this machine alone (127.0.0.1) may it be left out",
            hint="leave --no-token out, or leave --host out",
        )
    return given or new_token()
