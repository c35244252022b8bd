"""Wrong words on a command line: each error says where, why as far as known, and what to type."""

import click
import pytest

from flow_core.cli import Context
from flow_core.errors import UsageError
from flow_core.index import installed
from flow_core.settings import Settings
from flow_core.usage import usage_error

WORK = click.Command(
    "work",
    params=[
        click.Argument(["place"]),
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
        click.Option(["--user"], help="Whose runs."),
        click.Option(["--max-workers"], type=click.IntRange(1), metavar="N", help="How many."),
        click.Option(["--max-size"], type=float),
        click.Option(["--state"], type=click.Choice(["running", "failed"]), multiple=True),
        click.Option(["--pair"], nargs=2, metavar="NAME TEXT"),
        click.Option(["--secret"], hidden=True),
        click.Option(["--must"], required=True, metavar="X"),
    ],
)
MOVE = click.Command(
    "move",
    params=[
        click.Argument(["source"]),
        click.Argument(["target"]),
        click.Argument(["more"], required=False),
        click.Argument(["rest"], required=False, metavar="[A|B]"),
    ],
)
TOP = click.Group(
    "flow",
    params=[click.Option(["--quiet", "-q"], is_flag=True), click.Option(["--store"])],
    commands={"work": WORK, "move": MOVE, "tag": click.Group("tag", commands={"add": WORK})},
)


def explained(*words: str) -> UsageError:
    context = Context(None, installed(), Settings())
    context.arguments = list(words[1:])
    with pytest.raises(click.ClickException) as caught:
        TOP.main(list(words), prog_name="flow", obj=context, standalone_mode=False)
    return usage_error(caught.value)


@pytest.mark.parametrize(
    ("words", "what", "why", "hint"),
    [
        ("work --jsn", "There is no option --jsn", None, "did you mean '--json'?"),
        ("work --js", "There is no option --js", None, "did you mean '--json'?"),
        ("work -json", "There is no option -json", None, "did you mean '--json'?"),
        ("work --max 3", "There is no option --max", None, "did you mean '--max-size' or '--max-workers'?"),
        (
            "work --secre",
            "There is no option --secre",
            None,
            "did you mean '--user'?",
        ),
        (
            "work --xyz=1",
            "There is no option --xyz",
            None,
            "known names: --json, --max-size, --max-workers, --must, --pair, --state, --user",
        ),
        ("work --quiet x", "There is no option --quiet", None, "it stands before the command: flow --quiet work"),
        (
            "tag add --store x",
            "There is no option --store",
            None,
            "it stands before the command: flow --store TEXT tag add",
        ),
        (
            "work --max-workers",
            "Option '--max-workers' requires an argument",
            "--max-workers: How many.",
            "flow work --max-workers N",
        ),
        ("work --pair a", "Option '--pair' requires 2 arguments", None, "flow work --pair NAME TEXT"),
        (
            "work --json=1",
            "Option '--json' does not take a value",
            "--json: Print JSON.",
            "flow work --json",
        ),
        (
            "work --max-workers x",
            "Invalid value for '--max-workers': 'x' is not a whole number",
            "--max-workers: How many.",
            "flow work --help",
        ),
        (
            "work --max-size x",
            "Invalid value for '--max-size': 'x' is not a number",
            None,
            "flow work --help",
        ),
        (
            "work --state runing p",
            "Invalid value for '--state': 'runing' is not one of 'running', 'failed'",
            None,
            "did you mean 'running'?",
        ),
        ("work", "Missing argument 'PLACE'", "'flow work' needs it", "flow work PLACE"),
        ("work p", "Missing option '--must'", "'flow work' needs it", "flow work --must X"),
        ("move a", "Missing argument 'TARGET'", "'flow move' needs it", "flow move SOURCE TARGET [MORE] [A|B]"),
        ("work p --must 1 more", "Got unexpected extra argument (more)", None, "flow work --help"),
        (
            "work p --must 1 maxworkers 3",
            "Got unexpected extra arguments (maxworkers 3)",
            None,
            "did you mean '--max-workers'?",
        ),
        ("tag ad", "There is no command 'ad'", None, "did you mean 'add'?"),
    ],
)  # fmt: skip
def test_words(words, what, why, hint):
    error = explained(*words.split())
    command = words.split()[0]
    place = "flow tag add" if words.startswith("tag add") else f"flow {command}"
    assert (error.what, error.where, error.why, error.hint) == (what, place, why, hint)
    assert error.exit_code == 2


def test_before_the_command():
    error = explained("--stor", "x", "work")
    assert (error.where, error.hint) == ("flow", "did you mean '--store'?")
    assert explained("--store").hint == "flow --store TEXT"


def test_an_error_without_a_place():
    assert usage_error(click.ClickException("that is wrong.")).parts() == []


@pytest.mark.parametrize(("start", "shown"), [("pkg.flows", "pkg.flows"), ("pkg", "pkg")])
def test_a_module_is_named_as_it_was_started(flowtester, start, shown):
    source = """
        from flow_core import FlowSpec, step
        class F(FlowSpec):
            @step
            def start(self):
                self.next(self.end)
            @step
            def end(self):
                pass
        if __name__ == "__main__":
            F()
    """
    flowtester.write("", "pkg/__init__.py")
    flowtester.write(source, "pkg/flows.py")
    flowtester.write(source, "pkg/__main__.py")
    import sys

    done = flowtester.command([sys.executable, "-m", start, "run", "--help"])
    assert done.stdout.startswith(f"Usage: python -m {shown} run [OPTIONS]")
    done = flowtester.command([sys.executable, "-m", start, "run", "--max-worker", "1"])
    assert f"where: python -m {shown} run" in done.stderr


def test_the_file_of_the_flow_is_named(flowtester):
    flowtester.write(
        """
        from flow_core import FlowSpec, step
        class F(FlowSpec):
            @step
            def start(self):
                self.next(self.end)
            @step
            def end(self):
                pass
        """,
        "my_flow.py",
    )
    done = flowtester.flow("run", "my_flow.py", "--help")
    assert done.stdout.startswith("Usage: flow run my_flow.py [OPTIONS]")
    done = flowtester.flow("run", "my_flow.py", "--max-workers")
    assert "where: flow run my_flow.py\n" in done.stderr
    assert done.returncode == 2
