"""``run``: options, parameters, exit statuses, and what is said when it is called wrongly."""

import sys

import pytest

from flow_core.api import RunState

FLOW = """
    from flow_core import FlowSpec, JSONType, Parameter, current, step

    class F(FlowSpec):
        '''Adds numbers.

        With a second paragraph.
        '''

        alpha = Parameter("alpha", default=1, help="the first number")
        learning_rate = Parameter("learning_rate", default=0.5)
        config = Parameter("config", type=JSONType, default={"a": [1]})
        fast = Parameter("fast", default=False)

        @step
        def start(self):
            self.got = [self.alpha, self.learning_rate, self.config, self.fast]
            self.tags = sorted(current.tags)
            self.next(self.end)

        @step
        def end(self):
            print("got", self.got)

    if __name__ == "__main__":
        F()
"""


@pytest.fixture
def flow(flowtester):
    return flowtester.write(FLOW)


def test_all_options_at_once(flowtester, flow):
    done = flowtester.python(
        flow, "run", "--alpha", "3", "--max-workers", "8", "--with", "retry:times=2",
        "--run-id-file", "id.txt", "--tag", "x", "--tag", "y",
    ).check()  # fmt: skip
    assert "[1/end/2 (pid " in done.stdout
    assert "got [3, 0.5, {'a': [1]}, False]" in done.stdout
    assert done.stderr == ""
    assert (flowtester.path / "id.txt").read_text() == "1"
    run = flowtester.left(1)
    assert run.state is RunState.SUCCEEDED
    assert run.artifact("start", "got") == [3, 0.5, {"a": [1]}, False]
    assert run.artifact("start", "tags") == ["x", "y"]
    assert run.metadata.runs("F", tags=["x", "y"])[0].run == "1"


def test_both_ways_to_call_give_the_same_run(flowtester, flow):
    flowtester.python(flow, "run", "--alpha", "3").check()
    flowtester.flow("run", str(flow), "--alpha", "3").check()
    flowtester.flow("run", f"{flow}:F", "--alpha", "3").check()
    first, *others = (flowtester.left(run) for run in (1, 2, 3))
    for other in others:
        for step in ("start", "end"):
            assert hashes(first, step) == hashes(other, step)


def hashes(run, step):
    return [{n: ref.hash for n, ref in m.artifacts.items()} for m in run.manifests(step)]


def test_top_level_decorators_work_too(flowtester, flow):
    flowtester.python(flow, "--with", "retry:times=2", "run").check()
    raw = next(iter(flowtester.left(1).store.read(["runs/F/1/run.json"])))
    assert b'"times":2' in raw


def test_parameters_from_the_environment(flowtester, flow):
    variables = {"FLOW_RUN_ALPHA": "7", "FLOW_RUN_LEARNING_RATE": "0.25", "FLOW_RUN_FAST": "yes"}
    flowtester.python(flow, "run", variables=variables).check()
    flowtester.python(flow, "run", "--alpha", "8", variables=variables).check()
    assert flowtester.left(1).artifact("start", "got") == [7, 0.25, {"a": [1]}, True]
    assert flowtester.left(2).artifact("start", "got")[0] == 8


@pytest.mark.parametrize(
    ("value", "stored"),
    [("--config=[1, 2]", [1, 2]), ('--config={"b": null}', {"b": None})],
)
def test_json_on_the_command_line(flowtester, flow, value, stored):
    flowtester.python(flow, "run", value).check()
    assert flowtester.left(1).artifact("start", "got")[2] == stored


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (
            ["run", "--alpah", "3"],
            {
                "error": "There is no option --alpah",
                "where": "python flow.py run",
                "try": "did you mean '--alpha'?",
            },
        ),
        (
            ["run", "--alpha", "x"],
            {"error": "Parameter --alpha: 'x' is not an integer", "try": "--alpha 3"},
        ),
        (
            ["run", "--fast", "perhaps"],
            {"error": "Parameter --fast: 'perhaps' is not true or false", "try": "--fast true"},
        ),
        (
            ["run", "--config", "{a: 1}"],
            {
                "error": "Parameter --config: '{a: 1}' is not valid JSON",
                "why": "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
                "try": "--config '{\"key\": 1}'",
            },
        ),
        (["runn"], {"error": "There is no command 'runn'", "try": "did you mean 'run' or 'runs'?"}),
        (
            ["run", "surplus"],
            {
                "error": "Got unexpected extra argument (surplus)",
                "where": "python flow.py run",
                "try": "python flow.py run --help",
            },
        ),
        (
            ["run", "--max-workers", "0"],
            {
                "error": "Invalid value for '--max-workers': 0 is not in the range x>=1",
                "where": "python flow.py run",
                "why": "--max-workers: Tasks that run at the same time "
                "(default: one for each processor; elsewhere what the compute provider takes).",
                "try": "python flow.py run --help",
            },
        ),
        (
            ["run", "--with", "retri"],
            {"error": "There is no decorator 'retri'", "try": "did you mean 'retry'?"},
        ),
        (
            ["run", "--with", "retry:time=2"],
            {"error": "--with retry: there is no option 'time'", "try": "did you mean 'times'?"},
        ),
        (
            ["run", "--with", "retry:times=many"],
            {
                "error": "--with retry: option 'times' must be int, not 'many'",
                "try": "--with retry:times=…",
            },
        ),
        (
            ["run", "--with", "retry:times"],
            {
                "error": "--with retry: 'times' is not of the form option=value",
                "try": "--with retry:option=value,option=value",
            },
        ),
        (
            ["run", "--with", "retry:times=-1"],
            {
                "error": "--with retry: Option 'times' must be 0 or more, not -1",
                "try": "--with retry:times=3",
            },
        ),
        (
            ["resume", "strat"],
            {
                "error": "There is no step 'strat'",
                "where": "flow F",
                "try": "did you mean 'start'?",
            },
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_calls(flowtester, flow, arguments, parts):
    if arguments[0] == "resume":
        flowtester.python(flow, "run").check()
    before = runs(flowtester)
    done = flowtester.python(flow, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.error == parts
    assert runs(flowtester) == before


def runs(flowtester):
    folder = flowtester.path / ".flow" / "runs" / "F"
    return sorted(f.name for f in folder.iterdir()) if folder.exists() else []


def test_a_bad_value_from_the_environment(flowtester, flow):
    done = flowtester.python(flow, "run", variables={"FLOW_RUN_ALPHA": "z"})
    assert done.returncode == 2
    assert done.error["error"] == "Parameter --alpha: 'z' is not an integer"


def test_an_id_file_that_cannot_be_written_starts_no_run(flowtester, flow):
    done = flowtester.python(flow, "run", "--run-id-file", "missing/id.txt")
    assert done.returncode == 2
    assert done.error == {
        "error": "The run id cannot be written to 'missing/id.txt'",
        "where": "--run-id-file",
        "why": f"there is no folder '{flowtester.path / 'missing'}'",
        "try": "name a file in a folder that exists and is yours",
    }
    assert runs(flowtester) == []


def test_a_required_parameter(flowtester):
    source = FLOW.replace("default=1, help", "type=int, required=True, help")
    done = flowtester.python(flowtester.write(source), "run")
    assert done.returncode == 2
    assert done.error == {
        "error": "Parameter --alpha is required",
        "try": "--alpha VALUE",
    }


def test_a_missing_flow_file(flowtester, flow):
    done = flowtester.flow("run", "flwo.py")
    assert done.returncode == 2
    assert done.error == {
        "error": "There is no flow file 'flwo.py'",
        "where": str(flowtester.path),
        "try": "did you mean 'flow.py'?",
    }


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["run"], {"error": "'flow run' needs a flow file", "try": "flow run my_flow.py"}),
        (
            ["run", "--alpha", "3", "flow.py"],
            {
                "error": "'flow run' needs a flow file before its options",
                "why": "it was given '--alpha'",
                "try": "flow run my_flow.py --alpha",
            },
        ),
    ],
    ids=["none", "after its options"],
)
def test_no_flow_file(flowtester, flow, arguments, parts):
    done = flowtester.flow(*arguments)
    assert done.returncode == 2
    assert done.error == parts


def test_a_file_that_cannot_be_loaded(flowtester):
    file = flowtester.write("import nothing_of_this_name\n")
    done = flowtester.flow("run", str(file))
    assert done.returncode == 1
    assert done.error == {
        "error": "The flow file cannot be loaded",
        "where": f"{file}:1",
        "why": "ModuleNotFoundError: No module named 'nothing_of_this_name'",
    }


def test_a_wrong_option_is_told_with_its_line(flowtester):
    source = "from flow_core import FlowSpec, retry, step\n\n\n@retry(times='3')\n@step\ndef a(self): ...\n"
    file = flowtester.write(source)
    done = flowtester.flow("run", str(file))
    assert done.returncode == 1
    assert done.error == {
        "error": "Option 'times' must be int, not '3'",
        "where": f"{file}:4, decorator @retry",
        "why": "it was given a value of type str",
    }


def test_a_failed_flow(flowtester):
    source = FLOW.replace('print("got", self.got)', "print(self.got / 0)")
    done = flowtester.python(flowtester.write(source), "run")
    assert done.returncode == 1
    assert done.error == {
        "error": "Run F/1 failed",
        "where": "F/1/end/2",
        "why": "TypeError: unsupported operand type(s) for /: 'list' and 'int'",
        "try": f"python {flowtester.path}/flow.py resume --origin-run-id 1",
    }
    assert flowtester.left(1).state is RunState.FAILED


def test_the_hint_after_a_failure_is_the_way_it_was_called(flowtester):
    flowtester.write(FLOW.replace('print("got", self.got)', "1 / 0"), "sub/my.py")
    by_flow = flowtester.flow("run", "sub/my.py")
    assert by_flow.error["try"] == "flow resume sub/my.py --origin-run-id 1"
    both = FLOW.replace('print("got", self.got)', "1 / 0").replace(
        "    if __name__", "    class G(F): pass\n\n    if __name__"
    )
    flowtester.write(both, "two.py")
    for name in "FG":
        by_flow = flowtester.flow("run", f"two.py:{name}")
        again = {"F": "two.py --origin-run-id 2", "G": "two.py:G --origin-run-id 1"}[name]
        assert by_flow.error["try"] == f"flow resume {again}"


@pytest.mark.parametrize("fork", ["auto", "never"])
def test_a_flow_of_a_package(flowtester, fork):
    flowtester.write("", "pkg/__init__.py")
    flowtester.write("divisor = 0", "pkg/numbers.py")
    source = FLOW.replace('print("got", self.got)', "1 / divisor")
    flowtester.write("    from .numbers import divisor\n" + source, "pkg/flows.py")
    done = flowtester.command(
        [sys.executable, "-m", "pkg.flows", "run"], variables={"FLOW_FORK": fork}
    )
    assert done.error["why"] == "ZeroDivisionError: division by zero"
    assert done.error["try"] == "python -m pkg.flows resume --origin-run-id 1"
    # Of another length: Python takes a file of the same second and size for the one it compiled.
    flowtester.write("divisor = 1.0", "pkg/numbers.py")
    flowtester.flow("resume", "pkg/flows.py", variables={"FLOW_FORK": fork}).check()


def test_the_log_of_a_failure_holds_the_users_frames_only(flowtester):
    source = FLOW.replace('print("got", self.got)', "self.divide()").replace(
        "        @step\n        def end",
        "        def divide(self):\n            return 1 / 0\n\n        @step\n        def end",
    )
    file = flowtester.write(source)
    flowtester.python(file, "run")
    log = flowtester.left(1).output("end", "stderr")
    assert log.count("  File ") == log.count(f'  File "{file}"') == 2
    assert log.startswith("Traceback (most recent call last):\n")
    assert log.endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize("command", ["run", "resume"])
def test_help_of_the_commands(flowtester, flow, command):
    text = flowtester.python(flow, command, "--help").check().stdout
    assert text.startswith(f"Usage: python flow.py {command} ")
    for option in ("--with", "--tag", "--max-workers", "--max-log-size", "--run-id-file", "--help"):
        assert f"  {option}" in text or f", {option}" in text, option
    assert "--alpha INT" in text
    assert ("[default: as in that run]" in text) == (command == "resume")
    assert ("--origin-run-id RUN" in text) == (command == "resume")


def test_help_of_the_parameters(flowtester, flow):
    text = flowtester.python(flow, "run", "--help").check().stdout
    assert "the first number  [default: 1]" in " ".join(text.split()).replace(" [", "  [")
    assert "--learning-rate FLOAT" in text
    assert "--config JSON" in text


def test_help_of_the_flow(flowtester, flow):
    text = flowtester.python(flow, "--help").check().stdout
    assert "Adds numbers." in text
    assert "second paragraph" not in text
    assert "  run " in text
    assert "  resume " in text


def test_help_without_a_file(flowtester):
    text = flowtester.flow("run", "--help").check().stdout
    assert text.startswith("Usage: flow run FILE [OPTIONS]")
    assert "flow run FILE --help" in text


def test_no_command_shows_the_help_and_is_a_wrong_call(flowtester, flow):
    done = flowtester.python(flow)
    assert done.returncode == 2
    assert "Usage: python flow.py" in done.stdout


def test_max_workers_bounds_what_runs_at_once(flowtester):
    file = flowtester.write("""
        import time
        from flow_core import FlowSpec, step

        class F(FlowSpec):
            @step
            def start(self):
                self.items = range(6)
                self.next(self.work, foreach="items")

            @step
            def work(self):
                self.began = time.time()
                time.sleep(0.05)
                self.ended = time.time()
                self.next(self.join)

            @step
            def join(self, inputs):
                self.times = [(i.began, i.ended) for i in inputs]
                self.next(self.end)

            @step
            def end(self):
                pass

        F()
    """)
    for workers in (1, 3):
        flowtester.python(file, "run", "--max-workers", str(workers)).check()
        times = flowtester.left(workers if workers == 1 else 2).artifact("end", "times")
        most = max(sum(a <= began < b for a, b in times) for began, _ in times)
        assert most <= workers
        assert workers == 1 or most > 1


def test_a_setting_for_all_runs_of_a_project(flowtester, flow):
    (flowtester.path / "pyproject.toml").write_text('[tool.flow]\nwith = "retry:times=4"\n')
    flowtester.python(flow, "run").check()
    raw = next(iter(flowtester.left(1).store.read(["runs/F/1/run.json"])))
    assert raw.count(b'"times":4') == 2
