"""The suite for commands finds each promise that a command breaks."""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click
import pytest

from flow_core.api import Command, NotFound
from flow_core.testing import CommandSuite, failures

SUMMARY = "Count the runs of each flow."


def counts(context: Any, flow: str | None) -> dict[str, int]:
    """What the command tells: its work, done well."""
    metadata = context.session().metadata
    flows = metadata.flows()
    if flow is not None and flow not in flows:
        raise NotFound(f"There is no flow '{flow}'", hint="flow runs")
    return {name: len(metadata.runs(name)) for name in flows if flow in (None, name)}


def tell(context: Any, found: dict[str, int], as_json: bool) -> None:
    """Write it."""
    if as_json:
        context.echo(json.dumps(found))
        return
    for name, number in found.items():
        context.echo(f"{name} {number}")


def made(
    act: Callable[[Any, str | None, bool], None] | None = None,
    *,
    help: str = SUMMARY,
    option_help: str = "As JSON.",
    options: Sequence[str] = ("--json", "as_json"),
    at_build: Callable[[Any], object] = lambda _: None,
) -> Callable[[Any], click.Command]:
    """Return a function that builds the command, with one thing as a test wants it."""

    def build(context: Any) -> click.Command:
        at_build(context)

        def callback(flow: str | None, as_json: bool) -> None:
            if act is None:
                tell(context, counts(context, flow), as_json)
            else:
                act(context, flow, as_json)

        flag = click.Option(options, is_flag=True, help=option_help)
        return click.Command(
            "count", callback=callback, params=[click.Argument(["flow"], required=False), flag],
            help=help,
        )  # fmt: skip

    return build


GOOD = Command(SUMMARY, needs_flow=False, build=made())


def raises(context: Any, flow: str | None, as_json: bool) -> None:
    found = counts(context, flow)
    sys.stdout.write(f"{found['SuiteFlow']}\n")


def shows_traceback(context: Any, flow: str | None, as_json: bool) -> None:
    try:
        tell(context, counts(context, flow), as_json)
    except NotFound:
        import traceback

        traceback.print_exc()
        sys.exit(1)


def takes_all(context: Any, flow: str | None, as_json: bool) -> None:
    tell(context, counts(context, None), as_json)


def says_only_what(context: Any, flow: str | None, as_json: bool) -> None:
    try:
        found = counts(context, flow)
    except NotFound as error:
        raise NotFound(error.what) from None
    tell(context, found, as_json)


def ends_with_seven(context: Any, flow: str | None, as_json: bool) -> None:
    tell(context, counts(context, flow), as_json)
    sys.exit(7)


def colours(context: Any, flow: str | None, as_json: bool) -> None:
    sys.stdout.write(f"\x1b[1m{counts(context, flow)}\x1b[0m\n")


def no_json(context: Any, flow: str | None, as_json: bool) -> None:
    context.echo(str(counts(context, flow)))


def json_and_more(context: Any, flow: str | None, as_json: bool) -> None:
    context.echo("Counting …")
    tell(context, counts(context, flow), as_json)


def moves(context: Any, flow: str | None, as_json: bool) -> None:
    tell(context, counts(context, flow), as_json)
    os.environ["FLOW_COUNTED"] = "yes"


def handles_pipes(context: Any, flow: str | None, as_json: bool) -> None:
    try:
        tell(context, counts(context, flow), as_json)
        sys.stdout.flush()
    except BrokenPipeError:
        sys.stderr.write("Traceback: BrokenPipeError\n")


def opens_file(context: Any, flow: str | None, as_json: bool) -> None:
    _OPEN.append(os.open(os.devnull, os.O_RDONLY))
    tell(context, counts(context, flow), as_json)


_OPEN: list[int] = []


def takes_any_option(context: Any) -> click.Command:
    built = made()(context)
    built.context_settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return built


def without_help(context: Any) -> click.Command:
    built = made()(context)
    built.add_help_option = False
    return built


def another_each_time(context: Any) -> click.Command:
    built = made()(context)
    built.params.append(click.Option([f"--more-{next(_NUMBERS)}"], help="More."))
    return built


_NUMBERS = itertools.count()

BROKEN: list[tuple[Any, str]] = [
    (GOOD._replace(build=takes_any_option), "test_unknown_option"),
    (GOOD._replace(build=without_help), "test_help"),
    (GOOD._replace(build=another_each_time), "test_each_building_is_the_same"),
    (GOOD.build, "test_is_a_command"),
    (GOOD._replace(needs_flow=None), "test_is_a_command"),
    (GOOD._replace(summary="Count.\nAll of them."), "test_summary_is_one_line"),
    (GOOD._replace(summary="x" * 200), "test_summary_is_one_line"),
    (GOOD._replace(build=lambda _: "count"), "test_builds_a_click_command"),
    (GOOD._replace(build=made(at_build=lambda c: c.session())), "test_building_does_no_work"),
    (
        GOOD._replace(build=made(at_build=lambda _: sys.stdout.write("hello\n"))),
        "test_building_does_no_work",
    ),
    (GOOD._replace(build=made(option_help="")), "test_options_are_described"),
    (GOOD._replace(build=made(help="")), "test_options_are_described"),
    (GOOD._replace(build=made(options=("--as_json",))), "test_options_have_usual_names"),
    (GOOD._replace(build=made(raises)), "test_where_nothing_has_run"),
    (GOOD._replace(build=made(shows_traceback)), "test_mistakes"),
    (GOOD._replace(build=made(takes_all)), "test_mistakes"),
    (GOOD._replace(build=made(says_only_what)), "test_mistakes"),
    (GOOD._replace(build=made(ends_with_seven)), "test_examples"),
    (GOOD._replace(build=made(ends_with_seven)), "test_where_nothing_has_run"),
    (GOOD._replace(build=made(colours)), "test_output_is_plain_in_a_pipe"),
    (GOOD._replace(build=made(no_json)), "test_json"),
    (GOOD._replace(build=made(json_and_more)), "test_json"),
    (GOOD._replace(build=made(moves)), "test_examples_leave_the_process_alone"),
    (GOOD._replace(build=made(handles_pipes)), "test_reader_that_goes_away"),
    (GOOD._replace(build=made(opens_file)), "test_examples"),
]


def suite(chosen: Any) -> type[CommandSuite]:
    class TestIt(CommandSuite):
        examples = ((), ("SuiteFlow",))
        mistakes = (("SuiteFlwo",),)

        @pytest.fixture
        def command(self) -> Command:
            return chosen

    return TestIt


class TestGood(suite(GOOD)):  # type: ignore[misc]
    """The one that keeps all promises."""


@pytest.mark.parametrize(("command", "case"), BROKEN)
def test_it_finds(command: Any, case: str) -> None:
    try:
        assert [*failures(suite(command), case)] == [case]
    finally:
        while _OPEN:
            os.close(_OPEN.pop())


def test_a_suite_without_examples_proves_nothing() -> None:
    class TestIt(suite(GOOD)):  # type: ignore[misc]
        examples = ()

    assert "must give examples" in failures(TestIt, "test_examples")["test_examples"]


def test_each_case_finds_something() -> None:
    cases = {name for name in dir(CommandSuite) if name.startswith("test_")}
    # What these see is the command line's own: it names commands, and asks for the flow.
    assert cases - {case for _, case in BROKEN} == {"test_is_listed", "test_without_its_flow"}
