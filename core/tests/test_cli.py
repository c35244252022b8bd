"""The shell around commands: options, errors, exit codes."""

import click
import pytest

from flow_core import FlowSpec, __version__, step
from flow_core.api import Command, Front, Session, command_line
from flow_core.cli import run
from flow_core.testing import FlowTester

FLOW = """
from flow_core import FlowSpec, step
class F(FlowSpec):
    '''Says hello.

    More.'''
    @step
    def start(self): self.next(self.end)
    @step
    def end(self): {end}
if __name__ == "__main__":
    F()
"""


class TestShell:
    def test_version(self, capsys):
        assert run(["--version"]) == 0
        assert capsys.readouterr().out == f"flow-core {__version__}\n"

    def test_no_arguments_show_the_help(self, capsys):
        assert run([]) == 2
        shown = capsys.readouterr()
        assert "Usage: flow" in shown.out + shown.err

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (["--bogus"], ["There is no option --bogus", "--datastore"]),
            (["--datastor", "x", "run"], ["There is no option --datastor", "--datastore"]),
            (["rn", "x.py"], ["'rn'", "'run'"]),
            (["p.py", "run"], ["'p.py' is a file, not a command", "try:   flow run p.py\n"]),
            (["p.py", "show", "-x"], ["try:   flow show p.py -x\n"]),
            (["p.py"], ["try:   flow run p.py\n"]),
            (["frobnicate"], ["no plugin provides the command 'frobnicate'"]),
            (["run", "nowhere.py"], ["There is no flow file 'nowhere.py'"]),
            (["run", "--alpha", "3"], ["needs a flow file before its options"]),
            (["run"], ["'flow run' needs a flow file", "flow run my_flow.py"]),
            (["--datastore", "locla", "show"], ["There is no store 'locla'", "'local'?"]),
            (["--datastore", "locla", "show", "F/1"], ["There is no store 'locla'"]),
            (["--datastore", "local", "show"], ["'flow show' needs a flow file"]),
        ],
    )
    def test_wrong_usage_says_what_to_type(self, arguments, words, capsys, monkeypatch, tmp_path):
        monkeypatch.chdir(tmp_path)
        assert run(arguments) == 2
        text = capsys.readouterr().err
        assert text.startswith("error: ")
        for word in words:
            assert word in text

    def test_errors_do_not_command_the_terminal(self, capsys):
        assert run(["show", "a\x1b]0;title\x07\tb.py"]) == 2
        assert "There is no flow file 'a\tb.py'" in capsys.readouterr().err

    def test_a_bad_setting(self, capsys, monkeypatch):
        monkeypatch.setenv("FLOW_MAX_WORKERS", "many")
        monkeypatch.setenv("FLOW_DEBUG", "perhaps")
        assert run(["run", "x.py"]) == 2
        assert "where: FLOW_DEBUG" in capsys.readouterr().err

    def test_an_observer_that_fails_is_told_at_the_end(self, flowtester):
        good = flowtester.write(FLOW.format(end="pass"))
        hook = "@hookimpl\ndef flow_session_finished(session):\n    1/0\n"
        flowtester.write(f"from flow_core.api import hookimpl\n{hook}", "flow_test_late.py")
        failed = flowtester.python(good, "-p", "flow_test_late", "run")
        assert failed.returncode == 0
        first, *parts = failed.stderr.splitlines()
        assert first == (
            "warning: The plugin 'flow_test_late' failed in its hook flow_session_finished"
        )
        assert "flow_test_late.py:4, " in parts[0]
        assert parts[1:] == [
            "  why:   ZeroDivisionError: division by zero",
            "  try:   repair it, or leave it out: no '-p flow_test_late'",
        ]

    def test_a_mistyped_module_is_wrong_usage(self, flowtester):
        good = flowtester.write(FLOW.format(end="pass"))
        failed = flowtester.python(good, "-p", "flow_nowhere", "run")
        assert failed.returncode == 2
        assert "The plugin module 'flow_nowhere' cannot be loaded" in failed.stderr

    def test_left_out_plugins_also_with_spaces(self, capsys, monkeypatch):
        monkeypatch.setenv("FLOW_PLUGINS", "no:inspect, no:run")
        assert run(["run", "x.py"]) == 2
        assert "left out" in capsys.readouterr().err


class TestScript:
    @pytest.mark.parametrize(
        ("decorator", "error"),
        [
            (
                "@retry(times='3')",
                {
                    "error": "Option 'times' must be int, not '3'",
                    "where": "LINE, decorator @retry",
                    "why": "it was given a value of type str",
                },
            ),
            (
                "@retry(tims=3)",
                {
                    "error": "Decorator @retry has no option 'tims'",
                    "where": "LINE",
                    "try": "did you mean 'times'?",
                },
            ),
        ],
    )
    def test_a_wrong_decorator_is_shown_like_all_errors(self, flowtester, decorator, error):
        source = FLOW.format(end="pass").replace("import ", "import retry, ", 1)
        source = source.replace("    @step", f"    {decorator}\n    @step", 1)
        file = flowtester.write(source)
        lines = file.read_text().splitlines()
        number = next(n for n, line in enumerate(lines, 1) if decorator in line)
        failed = flowtester.python(file, "run")
        assert failed.returncode == 1
        assert "Traceback" not in failed.stderr
        place = error["where"].replace("LINE", f"{file}:{number}")
        assert failed.error == {**error, "where": place}

    @pytest.mark.parametrize(
        ("name", "why"),
        [
            (
                "rettry",
                {"error": "flow_core has no 'rettry'", "try": "did you mean 'retry'?"},
            ),
            (
                "zebra",
                {
                    "error": "flow_core has no 'zebra', and no installed plugin offers it",
                    "try": "pip install flow-zebra",
                },
            ),
        ],
    )
    def test_a_name_that_no_plugin_offers(self, flowtester, name, why):
        source = FLOW.format(end="pass").replace("import ", f"import {name}, ", 1)
        file = flowtester.write(source)
        lines = file.read_text().splitlines()
        number = next(n for n, line in enumerate(lines, 1) if name in line)
        for failed in (flowtester.python(file, "run"), flowtester.flow("run", str(file))):
            assert failed.returncode == 1
            assert failed.error == {**why, "where": f"{file}:{number}"}

    def test_other_errors_keep_their_traceback(self, flowtester):
        source = "from flow_core.errors import DefinitionError\nDefinitionError('no')\n1 / 0\n"
        failed = flowtester.python(flowtester.write(source))
        assert "Traceback" in failed.stderr
        assert failed.stderr.endswith("ZeroDivisionError: division by zero\n")

    def test_exit_codes(self, flowtester):
        good = flowtester.write(FLOW.format(end="print('hello')"))
        assert "hello" in flowtester.python(good, "run").check().stdout
        bad = flowtester.write(FLOW.format(end="1/0"), "bad.py")
        failed = flowtester.python(bad, "run")
        assert failed.returncode == 1
        assert "error: Run F/2 failed" in failed.stderr
        assert "Traceback" not in failed.stderr.split("error: Run")[1]
        assert flowtester.python(good, "run", "--nope").returncode == 2

    def test_the_help_shows_the_flow(self, flowtester):
        shown = flowtester.python(flowtester.write(FLOW.format(end="pass")), "--help").check()
        assert "Says hello." in shown.stdout
        assert "More." not in shown.stdout
        assert "run" in shown.stdout


class TestCompletion:
    """What the shell asks for with the variable _FLOW_COMPLETE."""

    def complete(self, flowtester: FlowTester, *words: str) -> list[str]:
        variables = {
            "_FLOW_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(["flow", *words]),
            "COMP_CWORD": str(len(words)),
        }
        done = flowtester.flow(variables=variables).check()
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    def test_commands(self, flowtester: FlowTester) -> None:
        assert {"reindex", "resume"} <= set(self.complete(flowtester, "re"))
        assert "run" not in self.complete(flowtester, "re")

    def test_options(self, flowtester: FlowTester) -> None:
        assert self.complete(flowtester, "--data") == ["--datastore"]
        assert self.complete(flowtester, "logs", "--fol") == ["--follow"]

    def test_parts_of_a_command_and_files(self, flowtester: FlowTester) -> None:
        assert self.complete(flowtester, "tag", "re") == ["remove", "replace"]
        variables = {
            "_FLOW_COMPLETE": "bash_complete",
            "COMP_WORDS": "flow run f",
            "COMP_CWORD": "2",
        }
        assert flowtester.flow(variables=variables).check().stdout == "file,f\n"

    def test_options_of_a_flow(self, flowtester: FlowTester) -> None:
        flowtester.write(
            """
            from flow_core import FlowSpec, Parameter, step

            class F(FlowSpec):
                learning_rate = Parameter("learning-rate", default=1)

                @step
                def start(self):
                    self.next(self.end)

                @step
                def end(self):
                    pass
            """
        )
        assert self.complete(flowtester, "run", "flow.py", "--lea") == ["--learning-rate"]


def test_quiet_says_nothing_of_a_run_but_failures(flowtester: FlowTester) -> None:
    flowtester.write(
        """
        from flow_core import FlowSpec, step

        class F(FlowSpec):
            @step
            def start(self):
                print("hello")
                self.next(self.end)

            @step
            def end(self):
                pass
        """
    )
    assert flowtester.flow("--quiet", "run", "flow.py").check().stdout == ""
    assert "hello" in flowtester.flow("run", "flow.py").check().stdout
    assert flowtester.flow("-q", "show", "flow.py").check().stdout.startswith("F  flow.py:")


class TestFront:
    """Another program that leads into flow-core: its name in texts, its commands before others."""

    def front(self):
        def build(context):
            return click.Command("show", callback=lambda: context.echo(context.flow.__name__))

        return Front("other my.py", {"show": Command("Its own.", True, build)})

    def test_its_commands_stand_before_those_of_plugins(self, capsys):
        class F(FlowSpec):
            pass

        assert run(["show"], flow=F, front=self.front()) == 0
        assert capsys.readouterr().out == "F\n"
        assert run(["--help"], flow=F, front=self.front()) == 0
        shown = capsys.readouterr().out
        assert shown.startswith("Usage: other my.py [OPTIONS]")
        assert "Its own." in shown

    def test_hints_name_it(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)

        class F(FlowSpec):
            @step
            def start(self):
                self.next(self.end)

            @step
            def end(self):
                pass

        with Session(F) as session:
            session.program = "other my.py"
            session.settings.override("datastore", "local://x y", "test")
            line = command_line(session, "resume", "--origin-run-id 1")
        assert line == "other my.py --datastore 'local://x y' resume --origin-run-id 1"
