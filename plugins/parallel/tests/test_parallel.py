"""``@parallel``: what a step of a gang knows, does and survives."""

import json

import pytest

from flow_core.api import DefinitionError, GangMember, RunState, TaskCommand, TaskPlan, TaskSpec
from flow_parallel import parallel
from flow_parallel.place import Parallel, place
from flow_parallel.plugin import flow_task_command

FLOW = """
    from flow_core import FlowSpec, catch, current, parallel, retry, step

    class F(FlowSpec):
        @step
        def start(self):
            self.workers, self.word = 2, "two"
            self.next(self.train, num_parallel=SIZE)

        DECORATORS
        @step
        def train(self):
            BODY
            self.next(self.join)

        @step
        def join(self, inputs):
            self.of_members = [getattr(i, "seen", None) for i in inputs]
            self.places = [(i.index, i.input, i.foreach_stack()) for i in inputs]
            self.outside = (current.is_parallel, "parallel" in current)
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""
MEETING = """
    import os, socket, time
    from flow_core import FlowSpec, Parameter, current, parallel, retry, step

    def meet(gang):
        '''All members meet at the main one; each returns the ranks that the main one saw.'''
        if gang.node_index == 0:
            with socket.create_server((gang.main_ip, gang.main_port)) as server:
                others = [server.accept()[0] for _ in range(gang.num_nodes - 1)]
                ranks = sorted([0, *(int(other.recv(9)) for other in others)])
                for other in others:
                    other.sendall(repr(ranks).encode())
                    other.close()
            return ranks
        until = time.monotonic() + 30
        while True:
            try:
                main = socket.create_connection((gang.main_ip, gang.main_port), 30)
                break
            except ConnectionRefusedError:
                assert time.monotonic() < until
                time.sleep(0.01)
        with main:
            main.sendall(str(gang.node_index).encode())
            return eval(main.recv(999))

    NAMES = "MASTER_ADDR MASTER_PORT RANK WORLD_SIZE LOCAL_RANK LOCAL_WORLD_SIZE NODE_RANK"

    class F(FlowSpec):
        breaks = Parameter("breaks", default="")

        @step
        def start(self):
            self.workers = 3
            self.next(self.train, num_parallel=self.workers)

        @retry(times=1)
        @parallel
        @step
        def train(self):
            if current.parallel.node_index == 1 and not current.retry_count:
                if self.breaks == "once":
                    os.kill(os.getpid(), 9)
            self.ranks = meet(current.parallel)
            self.variables = {name: os.environ[name] for name in NAMES.split()}
            self.place = tuple(current.parallel)
            self.attempt = current.retry_count
            self.next(self.join)

        @step
        def join(self, inputs):
            self.ranks = [i.ranks for i in inputs]
            self.variables = [i.variables for i in inputs]
            self.places = [i.place for i in inputs]
            self.attempts = [i.attempt for i in inputs]
            self.left = [name for name in NAMES.split() if name in os.environ]
            if self.breaks == "join":
                raise SystemExit("not yet")
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


def flow(size="2", decorators="@parallel", body="self.seen = tuple(current.parallel)[1:4]"):
    source = FLOW.replace("SIZE", size).replace("DECORATORS", decorators)
    return source.replace("BODY", body)


@pytest.fixture
def run(flowtester):
    def run(source, **options):
        options.setdefault("settings", {"max_workers": 4})
        return flowtester.run(source, plugins=["parallel", "retry", "catch"], **options)

    return run


class TestMembers:
    def test_each_knows_its_place(self, run):
        outcome = run(flow("3"))
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert outcome.artifact("join", "of_members") == [(3, n, "2") for n in range(3)]
        assert outcome.artifact("join", "outside") == (False, False)

    def test_the_join_sees_them_in_order(self, run):
        assert run(flow("3")).artifact("join", "places") == [(n, n, [(n, 3, n)]) for n in range(3)]

    def test_the_place_is_frozen(self, run):
        body = "current.parallel.num_nodes = 7"
        (first, *_) = run(flow(body=body)).manifests("train")
        assert first.failure.type == "AttributeError"

    def test_it_is_recorded(self, run):
        notes = [m.notes["parallel"] for m in run(flow("2")).manifests("train")]
        assert notes == [{"num_nodes": 2, "node_index": n} for n in range(2)]

    def test_outside_of_a_gang_there_is_no_place(self, run):
        source = flow().replace("self.workers, self.word", "current.parallel; self.a, self.b")
        (manifest,) = run(source).manifests("start")
        assert manifest.failure.message.startswith("current has no 'parallel'")


class TestNumber:
    @pytest.mark.parametrize(
        "size", ["2", "self.workers", "'workers'", "len(self.word) - 1", "True + True"]
    )
    def test_a_number_or_an_artifact_or_what_python_computes(self, run, size):
        outcome = run(flow(size))
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        assert len(outcome.manifests("train")) == 2

    def test_a_number_of_numpy(self, run):
        pytest.importorskip("numpy")
        outcome = run(flow("__import__('numpy').int64(2)"))
        assert outcome.state is RunState.SUCCEEDED, outcome.error

    @pytest.mark.parametrize(
        ("size", "lines"),
        [
            (
                "self.workers - 2",
                [
                    "Step 'start': num_parallel=0, but a gang has at least one task",
                    "  where: FILE:7",
                    "  why:   the join waits for the tasks of the gang, and there would be none",
                    "  try:   make it 1 or more, or go on without a gang: self.next(self.train)",
                ],
            ),
            (
                "self.workers - 5",
                ["Step 'start': num_parallel=-3, but a gang has at least one task"],
            ),
            (
                "'word'",
                [
                    "Step 'start': num_parallel='word' is 'two', which is a str and no number of tasks",
                    "  where: FILE:7",
                    "  try:   num_parallel=4, or the name of an artifact that is a whole number",
                ],
            ),
            (
                "self.workers / 1",
                ["Step 'start': num_parallel=2.0, which is a float and no number of tasks"],
            ),
            (
                "self.workers == 2",
                ["Step 'start': num_parallel=True, which is a bool and no number of tasks"],
            ),
            (
                "'worker'",
                [
                    "Step 'start': num_parallel='worker', but self.worker was never set",
                    "  where: FILE:7",
                    "  try:   did you mean 'workers' or 'word'?",
                ],
            ),
        ],
    )
    def test_what_is_refused_when_it_is_known(self, run, flowtester, size, lines):
        outcome = run(flow(size))
        assert outcome.state is RunState.FAILED
        shown = outcome.output("start", "stderr").replace(f"{flowtester.path}/flow.py", "FILE")
        assert shown.splitlines()[: len(lines)] == lines
        assert outcome.manifests("train") == []

    @pytest.mark.parametrize("call", ["self.train", "self.train, num_parallel=2, foreach='word'"])
    def test_what_is_run_must_be_what_the_source_says(self, run, call):
        source = flow().replace(
            "self.next(self.train",
            f"getattr(self, 'next')({call})\n            self.next(self.train",
        )
        (manifest,) = run(source).manifests("start")
        assert "which is not what the source of the step says" in manifest.failure.message


class TestLint:
    def problems(self, flowtester, source):
        session = flowtester.session(flowtester.load(source), ["parallel", "retry", "catch"])
        return [(p.line, p.message, p.hint) for p in session.problems()]

    def test_nothing(self, flowtester):
        assert self.problems(flowtester, flow()) == []

    def test_num_parallel_without_the_decorator(self, flowtester):
        assert self.problems(flowtester, flow(decorators="")) == [
            (
                11,
                "Step 'train' is entered with num_parallel= from 'start', but has no @parallel",
                "put @parallel above the @step of train",
            )
        ]

    def test_the_decorator_without_num_parallel(self, flowtester):
        source = flow().replace("num_parallel=2", "foreach='items'")
        assert self.problems(flowtester, source) == [
            (
                11,
                "Step 'train' has @parallel, but is not entered with num_parallel=",
                "self.next(self.train, num_parallel=4) in step 'start', or remove @parallel",
            )
        ]

    def test_the_decorator_on_the_first_step(self, flowtester):
        source = flow().replace(
            "@step\n        def start", "@parallel\n        @step\n        def start"
        )
        ((_, message, hint),) = self.problems(flowtester, source)
        assert message == "Step 'start' has @parallel, but is not entered with num_parallel="
        assert "in the step before it" in hint

    def test_catch_on_the_step_that_leads_there(self, flowtester):
        source = flow().replace(
            "@step\n        def start", "@catch\n        @step\n        def start"
        )
        ((_, message, _),) = self.problems(flowtester, source)
        assert message == "Step 'start' has @catch but splits with num_parallel"

    def test_no_run_begins(self, run):
        outcome = run(flow(decorators=""))
        assert outcome.run == ""
        assert "has no @parallel" in str(outcome.error)


class TestCatch:
    def test_a_failure_of_one_is_handled_for_the_gang(self, run):
        body = "assert current.parallel.node_index != 1, 'no'; self.seen = 7"
        outcome = run(flow("3", "@catch(var='failed')\n        @parallel", body))
        assert outcome.state is RunState.SUCCEEDED, outcome.error
        last = {m.task: (m.attempt, m.state.value) for m in outcome.manifests("train")}
        assert last[2] == (0, "succeeded")
        assert last[3] == (0, "caught")
        assert last[4] == (1, "caught")  # it was ended, or waited, when the second one failed
        assert outcome.artifact("join", "of_members") == [7, None, None]


class TestVariables:
    def command(self, options=None, **variables):
        command = TaskCommand()
        command.variables = variables
        task = TaskSpec("F", "1", "train", 3, gang=GangMember(4, 1, 2))
        flow_task_command(task, TaskPlan("train", "local", options=options or {}), command)
        return command.variables

    def test_rank_and_size(self):
        assert self.command() == {"RANK": "1", "WORLD_SIZE": "4"}

    def test_a_port_that_was_chosen(self):
        assert self.command({"parallel": {"port": 29500}})["MASTER_PORT"] == "29500"

    def test_what_the_environment_of_the_step_says_comes_first(self):
        assert self.command(RANK="9")["RANK"] == "9"

    def test_other_tasks_have_none(self):
        command = TaskCommand()
        flow_task_command(TaskSpec("F", "1", "a", 1), TaskPlan("a", "local"), command)
        assert command.variables == {}

    def test_the_place_comes_from_them(self, monkeypatch):
        monkeypatch.setenv("MASTER_ADDR", "10.0.0.7")
        monkeypatch.setenv("MASTER_PORT", "29500")
        assert place(GangMember(4, 1, 2)) == Parallel("10.0.0.7", 4, 1, "2", 29500)

    def test_an_address_that_is_missing(self, monkeypatch):
        monkeypatch.delenv("MASTER_ADDR", raising=False)
        with pytest.raises(Exception, match="address of the main task of this gang") as caught:
            place(GangMember(4, 1, 2))
        assert [label for label, _ in caught.value.parts()] == ["where", "why", "try"]


class TestOptions:
    def test_the_port_gets_into_the_plan(self, flowtester):
        source = flow(decorators="@parallel(port=29500)")
        session = flowtester.session(flowtester.load(source), ["parallel", "retry", "catch"])
        plan = session.plans["train"]
        assert (plan.gang, plan.options) == (True, {"parallel": {"port": 29500}})
        assert not session.plans["start"].gang
        assert json.loads(json.dumps(plan.to_json()))["gang"] is True

    @pytest.mark.parametrize("port", [-1, 65536])
    def test_what_is_no_port(self, port):
        with pytest.raises(DefinitionError) as caught:
            parallel(port=port)
        assert caught.value.what == f"Option 'port' must be between 0 and 65535, not {port}"


class TestProcesses:
    def test_they_meet_at_the_main_one(self, flowtester):
        done = flowtester.python(flowtester.write(MEETING), "run", "--max-workers", "3").check()
        run = flowtester.left()
        assert run.artifact("join", "ranks") == [[0, 1, 2]] * 3
        first, second, third = run.artifact("join", "variables")
        port = first["MASTER_PORT"]
        assert second == {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
            "RANK": "1",
            "WORLD_SIZE": "3",
            "LOCAL_RANK": "1",
            "LOCAL_WORLD_SIZE": "3",
            "NODE_RANK": "0",
        }
        assert [first["RANK"], third["RANK"]] == ["0", "2"]
        places = [("127.0.0.1", 3, n, "2", int(port)) for n in range(3)]
        assert run.artifact("join", "places") == places
        assert run.artifact("join", "left") == []
        assert "[1/train] a gang of 3 tasks starts together" in done.stdout

    def test_one_that_is_killed_ends_all_and_all_start_again(self, flowtester):
        """Without that, the others would wait for the one that is dead until somebody comes."""
        file = flowtester.write(MEETING)
        done = flowtester.python(file, "run", "--breaks", "once", "--max-workers", "3").check()
        run = flowtester.left()
        assert run.artifact("join", "ranks") == [[0, 1, 2]] * 3
        assert run.artifact("join", "attempts") == [1, 1, 1]
        ports = {v["MASTER_PORT"] for v in run.artifact("join", "variables")}
        assert len(ports) == 1
        first = {m.task: m for m in run.manifests("train") if m.attempt == 0}
        assert first[3].failure.cause == "killed"
        assert first[2].failure.message.startswith("its gang was ended, since member 1 failed: ")
        assert first[4].failure.message == first[2].failure.message
        assert "Task was cancelled after" in done.stdout
        assert "and will be tried again: its gang was ended, since member 1" in done.stdout

    def test_resume_reuses_the_whole_gang(self, flowtester):
        file = flowtester.write(MEETING)
        arguments = ["--max-workers", "3"]
        assert flowtester.python(file, "run", "--breaks", "join", *arguments).returncode == 1
        source = file.read_text().replace('raise SystemExit("not yet")', "pass")
        file.write_text(source)
        done = flowtester.python(file, "resume", *arguments).check()
        run = flowtester.left(2)
        assert [m.state.value for m in run.manifests("train")] == ["reused"] * 3
        assert run.artifact("join", "ranks") == [[0, 1, 2]] * 3
        assert done.stdout.count("Task is reused from F/1/train/") == 3
