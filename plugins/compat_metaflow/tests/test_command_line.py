"""The command line of the predecessor: options, commands, output, exit status."""

import json
import pickle
import re

import pytest

FLOW = """
from metaflow import FlowSpec, Parameter, step


class F(FlowSpec):
    '''
    What it is for.
    '''
    alpha = Parameter("alpha", default=3)

    @step
    def start(self):
        '''Begins.'''
        print("alpha is", self.alpha)
        self.items = [1, 2]
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.x = self.input * self.alpha
        self.next(self.join)

    @step
    def join(self, inputs):
        self.xs = [i.x for i in inputs]
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    F()
"""

LINE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} "


@pytest.fixture
def flow(old):
    return old.write("f.py", FLOW)


def lines_of(text):
    """Return the lines without their times and process ids, sorted: tasks run side by side."""
    return sorted(
        re.sub(rf"^{LINE}", "", re.sub(r"pid \d+", "pid N", x)) for x in text.splitlines()
    )


class TestRun:
    def test_lines_that_scripts_read(self, old, flow):
        done = old.call(flow, "run --run-id-file rid --tag mine --max-workers 2").check()
        assert (old.folder / "rid").read_text() == "1"
        assert re.search(rf"^{LINE}Done!$", done.stdout.splitlines()[-1])
        told = lines_of(done.stdout)
        for line in [
            "Workflow starting (run-id 1):",
            "[1/start/1 (pid N)] Task is starting.",
            "[1/start/1 (pid N)] alpha is 3",
            "[1/start/1 (pid N)] Foreach yields 2 child steps.",
            "[1/work/3 (pid N)] Task finished successfully.",
        ]:
            assert line in told
        assert done.stderr.startswith("flow-metaflow 2.19.38 executing F for user:ada\n")

    def test_dump_and_logs(self, old, flow):
        old.call(flow, "run").check()
        done = old.call(flow, "--quiet dump 1/work --include x,alpha").check()
        assert done.stdout == (
            "alpha [size: 10 type: <class 'int'>] = 3\nx [size: 10 type: <class 'int'>] = 3\n"
            "alpha [size: 10 type: <class 'int'>] = 3\nx [size: 10 type: <class 'int'>] = 6\n"
        )
        assert done.stderr.splitlines()[0] == "Dumping output of run_id=1 step=work task_id=2"
        done = old.call(flow, "dump 1/join/4 --max-value-size 0 --file x.pkl").check()
        assert "Artifacts written to x.pkl" in done.stderr
        written = pickle.loads((old.folder / "x.pkl").read_bytes())
        assert written["1/join/4"] == {"alpha": 3, "name": "F", "xs": [3, 6]}
        done = old.call(flow, "dump 1/join/4 --max-value-size 0").check()
        assert "] = < artifact too large >" in done.stdout
        for arguments in ("logs show 1/start", "logs 1/start/1 --stdout"):
            assert old.call(flow, arguments).check().stdout == "alpha is 3\n"

    def test_settings_and_options_before_the_command(self, old, flow):
        done = old.call(
            flow,
            f"--datastore local --datastore-root {old.folder / 'there'} --metadata local "
            "--no-pylint --with retry:times=1 --event-logger nullSidecarLogger "
            "--package-suffixes .csv --environment local run --max-num-splits 100",
            METAFLOW_RUN_ALPHA="5",
        )
        assert "alpha is 5" in done.check().stdout
        document = (old.folder / "there/.flow/runs/F/1/run.json").read_text()
        plan = json.loads(document.partition("\n")[2])["plans"]["work"]
        assert plan["retry"]["times"] == 1

    def test_files_and_namespaces(self, old):
        text = FLOW.replace("pass", "from metaflow import get_namespace; print(get_namespace())")
        flow = old.write("f.py", text)
        options = "--namespace user:eve --runner-attribute-file facts.json --run-id-file rid"
        done = old.call(flow, f"run {options}").check()
        assert any(line.endswith("] user:eve") for line in done.stdout.splitlines())
        facts = json.loads((old.folder / "facts.json").read_text())
        assert (facts["run_id"], facts["flow_name"]) == ("1", "F")
        done = old.call(flow, "run --namespace=").check()
        assert any(line.endswith("] None") for line in done.stdout.splitlines())

    def test_options_of_run_in_variables(self, old, flow):
        given = {"METAFLOW_RUN_TAG": "a b", "METAFLOW_RUN_RUN_ID_FILE": "rid"}
        old.call(flow, "run", **given).check()
        assert (old.folder / "rid").read_text() == "1"
        assert (
            "F/1: a, b" in old.call(flow, "tag list --run-id 1 --hide-system-tags").check().stdout
        )
        old.call(flow, "run --tag c --run-id-file other", **given).check()
        assert (old.folder / "other").read_text() == "2"
        assert "F/2: c\n" in old.call(flow, "tag list --run-id 2 --hide-system-tags").check().stdout

    def test_environments_that_nothing_makes(self, old):
        head = "from flow_metaflow.packages import conda, conda_base\n"  # what there is without flow-conda
        for text, decorator in [
            (
                FLOW.replace(
                    "    @step\n    def work", "    @conda(libraries={})\n    @step\n    def work"
                ),
                "@conda",
            ),
            (FLOW.replace("class F", "@conda_base(python='3.9')\nclass F"), "@conda_base"),
        ]:
            done = old.call(old.write("f.py", head + text), "run")
            assert done.returncode == 1
            assert f"needs an environment: {decorator}" in done.stderr
            assert "pip install flow-conda" in done.stderr
            assert "disabled=True" in done.stderr

    def test_environments_that_a_plugin_makes(self, old):
        head = "from metaflow import conda, conda_base\n"
        base = head + FLOW.replace("class F", "@conda_base(python='3.12')\nclass F")
        for text, arguments in [(base, "run"), (head + FLOW, "--environment=conda run")]:
            done = old.call(old.write("f.py", text), arguments, FLOW_OFFLINE="1")
            assert done.returncode == 1
            assert "What @conda asks for was not solved yet" in done.stderr

    def test_more_splits_than_allowed(self, old, flow):
        done = old.call(flow, "run --max-num-splits=1")
        assert done.returncode == 1
        assert "yields 2 child steps" in done.stdout
        assert "--max-num-splits" in done.stdout

    def test_a_failure_says_how_to_go_on(self, old):
        text = FLOW.replace("self.x = self.input", "assert self.input < 2\n        self.x = 1")
        flow = old.write("f.py", text)
        done = old.call(flow, "run")
        assert done.returncode == 1
        assert "[1/work/3 (pid N)] Task failed." in lines_of(done.stdout)
        assert "Workflow failed." in lines_of(done.stdout)
        assert "    Step failure:\n    Step work (task-id 3) failed." in done.stderr
        assert done.error["try"] == "python -m flow_metaflow f.py resume --origin-run-id 1"
        old.write("f.py", FLOW)
        done = old.call(flow, "resume").check()
        told = lines_of(done.stdout)
        assert "Cloning F/1" in told
        assert "[2/work/2] Cloning previously run task 1/work/2" in told
        assert "Done!" in told

    def test_logs_with_timestamps_and_without_what_was_written(self, old, flow):
        old.call(flow, "run").check()
        timed = old.call(flow, "logs 1/start/1 --stdout --timestamps").check().stdout
        plain = old.call(flow, "logs 1/start/1 --stdout").check().stdout
        assert plain
        for line, text in zip(timed.splitlines(), plain.splitlines(), strict=True):
            assert re.fullmatch(rf".*\d\d:\d\d:\d\d.* {re.escape(text)}", line), line
        assert old.call(flow, "logs scrub 1/start").check().stdout
        assert "alpha is 3" not in old.call(flow, "logs 1/start/1 --stdout").check().stdout
        wrong = old.call(flow, "logs scrub 1/strat")
        assert (wrong.returncode, "start" in wrong.stderr) == (1, True), wrong.stderr

    def test_what_is_wrong_with_a_call(self, old, flow):
        for arguments, status, text in [
            ("run --alpha x", 2, "'x' is not an integer"),
            ("run --nope", 2, "There is no option --nope"),
            ("nope", 2, "no plugin provides the command 'nope'"),
            ("--nope run", 2, "--nope"),
            ("card list", 2, "The command 'card' is not offered by flow-metaflow"),
            ("--environment=uv run", 2, "@pypi_base(pyproject='pyproject.toml') above the flow"),
            ("--metadata service run", 2, "--metadata=service is not offered by flow-metaflow"),
            ("dump 1", 1, "it has the form RUN/STEP or RUN/STEP/TASK"),
            ("--brnach x run", 2, "did you mean '--branch'?"),
            ("--with card run", 2, "The decorator 'card' is not offered by flow-metaflow"),
            ("run --with=retry --with batch:cpu=2", 2, "nothing runs steps on AWS Batch"),
        ]:
            done = old.call(flow, arguments)
            assert (done.returncode, text in done.stderr) == (status, True), done.stderr
            assert "Traceback" not in done.stderr
        assert not (old.folder / ".flow").exists()


class TestOtherCommands:
    def test_check_is_what_no_command_means(self, old, flow):
        done = old.call(flow).check()
        assert done.stderr.endswith("Validating your flow...\n    The graph looks good!\n")
        broken = old.write("g.py", FLOW.replace("self.next(self.end)", "self.next(self.nowhere)"))
        done = old.call(broken, "check")
        assert done.returncode == 1
        assert "g.py" in done.stderr
        assert "'nowhere', which is no step" in done.stderr

    def test_show(self, old, flow):
        done = old.call(flow, "show").check()
        assert "What it is for." in done.stderr
        assert done.stdout.startswith(
            "Step start\n    Begins.\n    => work\nStep work\n    ?\n    => join\n"
        )

    def test_output_raw_version_and_help(self, old, flow):
        graph = old.call(flow, "output-raw --json").check().stdout
        graph = json.loads(graph)["graph"]
        assert graph["start"]["type"] == "split-foreach"
        assert graph["join"]["type"] == "join"
        assert graph["start"]["next"] == ["work"]
        assert old.call(flow, "version").check().stdout.endswith("2.19.38\n")
        for word in ("help", "--help"):
            shown = old.call(flow, word).check().stdout
            assert "--datastore-root" in shown
            assert "dump" in shown

    def test_tags(self, old, flow):
        old.call(flow, "run --tag a").check()
        old.call(flow, "tag add --run-id 1 b").check()
        assert "b" in old.call(flow, "tag list --run-id 1").check().stdout.replace(",", " ").split()


class TestProgram:
    def test_other_files_and_calls(self, old):
        old.write("plain.py", "import sys; print(sys.argv, __name__, __file__)")
        done = old.call("plain.py", "--x 1").check()
        assert done.stdout == f"['plain.py', '--x', '1'] __main__ {old.folder / 'plain.py'}\n"
        assert "python -m flow_metaflow SCRIPT" in old.call("--help").check().stdout
        assert "2.19.38" in old.call("--version").check().stdout
        done = old.call("status")
        assert done.returncode == 2
        assert done.error["why"] == "the command 'metaflow status' is not offered"

    def test_a_script_that_installs_it_itself(self, old, flow):
        import sys

        old.program = [sys.executable]
        text = "import flow_metaflow\nflow_metaflow.install()\n"
        old.write("mine.py", text + FLOW)
        done = old.call("mine.py", "run").check()
        assert "Done!" in done.stdout

    def test_an_installed_package_is_not_used_and_that_is_said(self, old, flow):
        (old.folder / "other/metaflow").mkdir(parents=True)
        (old.folder / "other/metaflow/__init__.py").write_text("raise SystemExit('the real one')")
        done = old.call(flow, "run", PYTHONPATH=str(old.folder / "other"), FLOW_FORK="never")
        assert "Done!" in done.check().stdout
        assert "Note: the installed metaflow is not used: " in done.stderr
