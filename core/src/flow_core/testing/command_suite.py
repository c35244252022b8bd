"""What every command must do. Subclass `CommandSuite` and give it a fixture ``command``."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click
import pytest

from flow_core.cli import Front, run
from flow_core.interfaces import Command
from flow_core.testing.flowtester import FlowTester, ProcessResult, main_kept

FLOW = """
    from flow_core import FlowSpec, Parameter, step


    class SuiteFlow(FlowSpec):
        rate = Parameter("rate", default=0.5)

        @step
        def start(self):
            self.items = [1, 2, 3]
            self.next(self.work, foreach="items")

        @step
        def work(self):
            self.result = self.input * self.rate
            print("worked on", self.input)
            self.next(self.join)

        @step
        def join(self, inputs):
            self.results = [i.result for i in inputs]
            self.next(self.end)

        @step
        def end(self):
            pass


    if __name__ == "__main__":
        SuiteFlow()
"""

_OPTION = re.compile(r"--[a-z0-9]+(-[a-z0-9]+)*|-[a-zA-Z]")
_ESCAPE = "\x1b"
_UNKNOWN = "--no-such-option"


@pytest.mark.usefixtures("no_leaks")
class CommandSuite:
    """Inherit it, and give a fixture ``command`` that returns your `Command`:

        class TestCosts(CommandSuite):
            @pytest.fixture
            def command(self):
                return costs_command

    Attributes:
        name: under which name it is called; ``""`` = that of the click command that it builds.
        examples: arguments with which it must succeed, in a folder where the run ``1`` of the flow
            ``SuiteFlow`` has succeeded; the flow's file is put before them where the command
            needs one. By default: no arguments.
        mistakes: arguments that it must refuse, with an error in four parts.

    Since 0.1.
    """

    name = ""
    examples: Sequence[Sequence[str]] = ((),)
    mistakes: Sequence[Sequence[str]] = ()

    @pytest.fixture
    def command(self) -> Command:
        """Give the command. Override this."""
        raise NotImplementedError("the subclass of CommandSuite must define the fixture 'command'")

    @pytest.fixture
    def laboratory(self, flowtester: FlowTester) -> FlowTester:
        """Return a folder with the file ``flow.py`` of `SuiteFlow`, which has not run yet."""
        flowtester.write(FLOW)
        return flowtester

    @pytest.fixture
    def after_a_run(self, laboratory: FlowTester, flow_suite_run: Path) -> FlowTester:
        """Return the folder in which the examples run: `SuiteFlow` has succeeded there once."""
        shutil.copytree(flow_suite_run, laboratory.path, dirs_exist_ok=True)
        return laboratory

    # --- what it says of itself -------------------------------------------------------------

    def test_is_a_command(self, command: Command) -> None:
        assert isinstance(command, Command), "the entry point names an instance of Command"
        assert callable(command.build)
        assert command.needs_flow in (True, False), "say whether it works on a flow file"

    def test_summary_is_one_line(self, command: Command) -> None:
        assert command.summary == command.summary.strip() != "", "one line for the list of commands"
        assert "\n" not in command.summary
        assert len(command.summary) <= 100, "it stands beside others in a list"
        assert command.summary[0] == command.summary[0].upper(), "it is a sentence"

    def test_builds_a_click_command(self, command: Command, laboratory: FlowTester) -> None:
        assert isinstance(self.built(command, laboratory), click.Command)

    def test_building_does_no_work(
        self, command: Command, laboratory: FlowTester, capfd: pytest.CaptureFixture[str]
    ) -> None:
        """It is built for its help, too: nothing is opened, read or said then."""
        before = sorted(laboratory.path.rglob("*"))
        self.built(command, laboratory)  # its context has no session
        assert capfd.readouterr() == ("", "")
        assert sorted(laboratory.path.rglob("*")) == before

    def test_each_building_is_the_same(self, command: Command, laboratory: FlowTester) -> None:
        first, second = (self.built(command, laboratory) for _ in range(2))
        assert [p.name for p in first.params] == [p.name for p in second.params]

    def test_options_are_described(self, command: Command, laboratory: FlowTester) -> None:
        for path, part in _parts(self.built(command, laboratory)):
            assert part.help, f"'{' '.join(path)}' has no help"
            for param in part.params:
                if isinstance(param, click.Option) and not param.hidden:
                    assert param.help, f"{param.opts[0]} of '{' '.join(path)}' has no help"

    def test_options_have_usual_names(self, command: Command, laboratory: FlowTester) -> None:
        for path, part in _parts(self.built(command, laboratory)):
            for param in part.params:
                if isinstance(param, click.Option):
                    odd = [o for o in (*param.opts, *param.secondary_opts) if not _usual(o)]
                    assert not odd, f"{odd} of '{' '.join(path)}': they look --like-this, or -l"

    # --- on the command line ----------------------------------------------------------------

    def test_is_listed(self, command: Command, laboratory: FlowTester) -> None:
        done = self.call(command, laboratory, whole=["--help"])
        assert done.check().stderr == ""
        assert self.name_of(command, laboratory) in done.stdout
        start = command.summary.split()[0]
        assert start in done.stdout

    def test_help(self, command: Command, laboratory: FlowTester) -> None:
        name = self.name_of(command, laboratory)
        done = self.call(command, laboratory, "--help").check()
        assert "Usage:" in done.stdout
        assert name in done.stdout
        for option in _options(self.built(command, laboratory)):
            assert option in done.stdout

    def test_unknown_option(self, command: Command, laboratory: FlowTester) -> None:
        done = self.call(command, laboratory, _UNKNOWN)
        assert done.returncode == 2, done.stderr
        assert done.stdout == ""
        assert _UNKNOWN in done.error["error"]

    def test_without_its_flow(self, command: Command, laboratory: FlowTester) -> None:
        if not command.needs_flow:
            pytest.skip("it needs none")
        name = self.name_of(command, laboratory)
        done = self.call(command, laboratory, whole=[name])
        assert done.returncode == 2
        assert "needs a flow file" in done.error["error"]

    def test_examples(self, command: Command, after_a_run: FlowTester) -> None:
        assert len(self.examples) > 0, "the subclass of CommandSuite must give examples"
        for example in self.examples:
            self.call(command, after_a_run, *example).check()

    def test_output_is_plain_in_a_pipe(self, command: Command, after_a_run: FlowTester) -> None:
        for example in self.examples:
            done = self.call(command, after_a_run, *example).check()
            assert _ESCAPE not in done.stdout + done.stderr, "use context.echo: no colours in pipes"

    def test_json(self, command: Command, after_a_run: FlowTester) -> None:
        if "--json" not in _options(self.built(command, after_a_run)):
            pytest.skip("it has no option --json")
        for example in self.examples:
            more = [] if "--json" in example else ["--json"]
            done = self.call(command, after_a_run, *example, *more).check()
            self._check_json(done.stdout)

    def _check_json(self, text: str) -> None:
        try:
            json.loads(text)
        except ValueError as error:
            raise AssertionError(f"with --json it writes no JSON ({error}):\n{text}") from None

    def test_examples_leave_the_process_alone(
        self, command: Command, after_a_run: FlowTester
    ) -> None:
        front = self._front(command, after_a_run)
        for example in self.examples:
            words = self._words(command, after_a_run, example)
            with main_kept(), _place(after_a_run), _unheard():
                before = (os.getcwd(), dict(os.environ))
                run(words, front=front)
                assert (os.getcwd(), dict(os.environ)) == before, f"{example} changed them"

    def test_where_nothing_has_run(self, command: Command, laboratory: FlowTester) -> None:
        for example in self.examples:
            done = self.call(command, laboratory, *example)
            self._check_errors_are_ours(done)

    def test_mistakes(self, command: Command, after_a_run: FlowTester) -> None:
        for mistake in self.mistakes:
            done = self.call(command, after_a_run, *mistake)
            assert done.returncode in (1, 2), f"{mistake} is accepted:\n{done.stdout}"
            self._check_errors_are_ours(done)
            assert {"why", "try"} & set(done.error), f"{mistake}: neither why nor what to type"

    def test_reader_that_goes_away(self, command: Command, after_a_run: FlowTester) -> None:
        """``flow NAME | head -1``: the reader of the output is gone, and nobody wants to hear that."""
        if not hasattr(os, "fork"):
            pytest.skip("this system cannot fork")
        for example in self.examples:
            said = _without_reader(lambda e=example: self.status(command, after_a_run, *e))
            assert "Traceback" not in said, said
            assert "BrokenPipe" not in said, said

    # --- parts ------------------------------------------------------------------------------

    def built(self, command: Command, laboratory: FlowTester) -> click.Command:
        """Return what the command builds, as for its help."""
        return command.build(_NoSession(self._flow(command, laboratory), self.name or "command"))

    def name_of(self, command: Command, laboratory: FlowTester) -> str:
        """Return the name under which it is called."""
        name = self.name or self.built(command, laboratory).name
        assert name, "the click command has no name: give the suite a 'name'"
        return name

    def call(
        self,
        command: Command,
        laboratory: FlowTester,
        *arguments: str,
        whole: Sequence[str] | None = None,
    ) -> ProcessResult:
        """Call the command in this process as the command line does; return what it left.

        Args:
            command: the command.
            laboratory: in whose folder.
            arguments: those behind its name, and behind the file of the flow if it needs one.
            whole: all words of the command line instead, without the program's name.
        """
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = self.status(command, laboratory, *arguments, whole=whole)
        return ProcessResult(code, out.getvalue(), err.getvalue())

    def status(
        self,
        command: Command,
        laboratory: FlowTester,
        *arguments: str,
        whole: Sequence[str] | None = None,
    ) -> int:
        """As `call`, but what it writes goes where that of this process goes."""
        words = list(whole) if whole is not None else None
        words = words or self._words(command, laboratory, arguments)
        front = self._front(command, laboratory)
        with main_kept(), _place(laboratory):
            return run(words, front=front)

    def _words(
        self, command: Command, laboratory: FlowTester, arguments: Sequence[str]
    ) -> list[str]:
        file = ["flow.py"] if command.needs_flow else []
        return [self.name_of(command, laboratory), *file, *arguments]

    def _front(self, command: Command, laboratory: FlowTester) -> Front:
        return Front(commands={self.name_of(command, laboratory): command})

    def _flow(self, command: Command, laboratory: FlowTester) -> Any:
        if not command.needs_flow:
            return None
        with main_kept():
            return laboratory.load(laboratory.path / "flow.py")

    def _check_errors_are_ours(self, done: ProcessResult) -> None:
        assert done.returncode in (0, 1, 2), done
        assert "flow-core itself failed" not in done.stderr, done.stderr
        assert "Traceback" not in done.stdout + done.stderr, done.stdout + done.stderr
        if done.returncode:
            assert done.error["error"], "an error says what is wrong"


class _NoSession:
    """The context of a command while it is built: nothing may be opened or written then."""

    def __init__(self, flow: Any, name: str) -> None:
        self.flow = flow
        self.name = name
        self.arguments: Sequence[str] = ()

    def session(self) -> NoReturn:
        raise AssertionError("the command opens the session when it is built, not when it is used")

    def echo(self, text: str = "", *, error: bool = False) -> NoReturn:
        raise AssertionError(f"the command writes when it is built, not when it is used: {text}")


def _parts(command: click.Command, *above: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield a command and the commands below it, each with its path."""
    path = (*above, command.name or "")
    yield path, command
    if isinstance(command, click.Group):
        for part in command.commands.values():
            yield from _parts(part, *path)


def _options(command: click.Command) -> list[str]:
    """Return the names of the options that its help shows."""
    options = [p for p in command.params if isinstance(p, click.Option) and not p.hidden]
    return [option.opts[-1] for option in options]


def _usual(option: str) -> bool:
    return _OPTION.fullmatch(option) is not None


@contextlib.contextmanager
def _place(laboratory: FlowTester) -> Iterator[None]:
    """Let this process be as one that was started in the folder, by somebody without settings."""
    folder, variables = os.getcwd(), dict(os.environ)
    _become(laboratory.environment())
    os.chdir(laboratory.path)
    try:
        yield
    finally:
        os.chdir(folder)
        _become(variables)


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        yield


def _become(variables: dict[str, str]) -> None:
    for name in set(os.environ) - set(variables):
        del os.environ[name]
    os.environ.update(variables)


def _without_reader(function: Any) -> str:
    """Call a function in a child whose output nobody reads; return what it wrote to its errors."""
    reader, writer = os.pipe()
    os.close(reader)
    said, errors = os.pipe()
    with warnings.catch_warnings():
        # Runners of tests have threads of their own; the child uses nothing that they hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        os.close(said)
        _call_on(function, writer, errors)
    os.close(writer)
    os.close(errors)
    with open(said, encoding="utf-8", errors="replace") as file:
        text = file.read()
    os.waitpid(child, 0)
    return text


def _call_on(function: Any, out: int, err: int) -> NoReturn:
    """End this process with a call whose streams are the two descriptors."""
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdout, sys.stderr = open(1, "w"), open(2, "w")  # noqa: SIM115 - until the end
        try:
            function()
            sys.stdout.flush()
        except (BrokenPipeError, SystemExit):
            pass  # as click ends the process quietly
        except BaseException:
            import traceback

            traceback.print_exc()
        sys.stderr.flush()
    finally:
        os._exit(0)
