"""Steps in environments of their own: whole runs, with a provider that needs no network."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from flow_core.api import EnvironmentLock, Session, Settings

PROVIDER = """
    import os
    from collections.abc import Sequence
    from dataclasses import dataclass

    from flow_core.api import NoEnvironment, Options, StepDecorator, hookimpl, option
    from flow_core.testing import BareEnvironment


    @dataclass(frozen=True)
    class BareOptions(Options):
        value: int = option(1, "What the module tiny says.")
        wants: str = option("", "empty, 'slow', 'nothing', 'poor' or 'file'.")


    bare = StepDecorator("bare", BareOptions)


    @hookimpl
    def flow_settings(settings):
        settings.declare("bare_word", "yes", "What the variable TINY says.")


    @hookimpl
    def flow_plan_step(step, draft):
        options = step.options("bare")
        if options is not None:
            files = ["needs.txt"] if options.wants == "file" else []
            asked = {"value": options.value, "wants": options.wants}
            draft.use_environment("bare", by="@bare", options=asked, files=files)


    @hookimpl
    def flow_environment_requirements(step, plan):
        return ["iniconfig>=1"] if step.options("bare") is not None else None


    def note(text):
        with open(os.environ["NOTES"], "a") as file:
            file.write(text + "\\n")


    class Provider(BareEnvironment):
        def resolve(self, request, work):
            wants = request.options.get("wants", "")
            if wants == "nothing":
                raise NoEnvironment("There is nothing", where="here", why="so it is", hint="ask less")
            note("resolve")
            world = os.environ.get("WORLD", "1")
            source = "class Thing: pass\\n" if wants != "poor" else ""
            source += f"VALUE = {request.options.get('value', 0)}\\nWORLD = {world}\\nFILES = {request.files}"
            asked = {"modules": {"tiny": source}, "variables": {"TINY": work.setting("bare_word")}}
            return {**super().resolve(request._replace(options=asked), work),
                    "wants": wants}

        def prepare(self, lock, folder, work):
            note("prepare")
            made = super().prepare(lock, folder, work)
            if lock["wants"] == "slow":
                note("slow")
                work.run(["sleep", "60"])
            return made
"""

METADATA = "Metadata-Version: 2.1\nName: {0}\nVersion: 0.1\nRequires-Dist: flow-core>=0.1,<1\n"
ENTRY_POINTS = """
[flow.decorators]
bare = flow_bare:bare
[flow.decorator_hooks]
bare = flow_bare
[flow.environments]
bare = flow_bare:Provider
"""

HEAD = "import json, os, subprocess, sys\nfrom flow_core import FlowSpec, bare, cache, catch, retry, step\n"


class Lab:
    """A folder with flows, and a distribution that offers ``@bare``."""

    def __init__(self, flowtester, environments: Path):
        self.tester = flowtester
        self.path = flowtester.path
        self.environments = environments
        self.notes = self.path / "notes"
        self.site = self.path / "site"
        self.install("bare", textwrap.dedent(PROVIDER), ENTRY_POINTS)
        flowtester.more_plugins.append("bare")

    def install(self, name: str, source: str, entry_points: str):
        info = self.site / f"flow_{name}-0.1.dist-info"
        info.mkdir(parents=True)
        (self.site / f"flow_{name}.py").write_text(source)
        (info / "METADATA").write_text(METADATA.format(f"flow-{name}"))
        (info / "entry_points.txt").write_text(entry_points)
        (info / "RECORD").write_text(f"flow_{name}.py,,\n{info.name}/METADATA,,\n")

    def write(self, body: str, head: str = HEAD):
        text = textwrap.indent(textwrap.dedent(body).strip("\n"), "    ")
        return self.tester.write(f"{head}\n\nclass F(FlowSpec):\n{text}\n")

    def variables(self, **more: str) -> dict[str, str]:
        return {
            "PYTHONPATH": str(self.site),
            "FLOW_ENVIRONMENTS": str(self.environments),
            "NOTES": str(self.notes),
            **more,
        }

    def flow(self, *words: str, **variables: str):
        return self.tester.flow(*words, variables=self.variables(**variables))

    def done(self) -> list[str]:
        """What the provider did since the last call."""
        found = self.notes.read_text().split() if self.notes.exists() else []
        self.notes.unlink(missing_ok=True)
        return found

    def run_json(self, run: int = 1):
        with Session(settings=Settings({"HOME": str(self.path)}, str(self.path))) as session:
            session.settings.override("datastore", f"local://{self.path / '.flow'}", "test")
            document = session.run_document("F", str(run))
            blobs = {
                step: session.artifacts.get_bytes(one["lock"], "lock").decode()
                for step, one in document.environments.items()
            }
            return document, blobs


@pytest.fixture
def lab(flowtester, tmp_path):
    (flowtester.path / ".flow").mkdir(exist_ok=True)
    return Lab(flowtester, tmp_path / "environments")


LOOK = """
@step
def start(self):
    self.before = sys.prefix
    self.next(self.work)

@bare(value=7)
@retry(times=1)
@step
def work(self):
    import tiny, iniconfig, flow_core
    from flow_core import current
    if current.retry_count == 0:
        raise ValueError("once more")
    self.value = tiny.VALUE
    self.inside = {
        "prefix": sys.prefix, "path": os.environ["PATH"].split(os.pathsep)[0], "core": flow_core.__file__,
        "tiny": os.environ["TINY"], "pythonpath": os.environ["PYTHONPATH"],
    }
    def can(name):
        try: __import__(name)
        except ImportError: return False
        return True
    self.can = {name: can(name) for name in ("hypothesis", "pytest", "click", "flow_retry", "blake3")}
    child = [sys.executable, "-c", "import flow_core"]
    self.children_can = subprocess.run(child, capture_output=True).returncode == 0
    self.next(self.end)

@step
def end(self):
    self.after = sys.prefix
    print("value", self.value, self.can["hypothesis"])
"""


@pytest.mark.parametrize("fork", ["auto", "never"])
def test_a_step_runs_in_its_interpreter(lab, fork):
    file = lab.write(LOOK)
    done = lab.flow("run", str(file), FLOW_FORK=fork)
    assert done.returncode == 0, done.stderr
    left = lab.tester.left(1)
    (work,) = left.artifacts("work")
    document, blobs = lab.run_json()
    lock = EnvironmentLock.read("bare", blobs["work"])
    home = str(lab.environments / "bare" / lock.hash[:16])
    assert work["inside"]["prefix"] == home
    assert work["inside"]["path"] == f"{home}/bin"
    assert work["inside"]["core"].startswith(str(lab.environments / ".runtime"))
    assert work["inside"]["tiny"] == "yes"
    assert work["inside"]["pythonpath"] == str(lab.site), "the runtime is in no variable"
    assert work["value"] == 7
    can = work["can"]
    assert can == {
        "hypothesis": False,
        "pytest": False,
        "click": True,
        "flow_retry": True,
        "blake3": True,
    }
    assert not work["children_can"], "what goes along is seen by nobody else"
    assert left.artifact("start", "before") == left.artifact("end", "after") == sys.prefix
    assert [m.attempt for m in left.manifests("work")] == [0, 1], "hooks work there, too"
    assert document.environments == {
        "work": {
            "provider": "bare",
            "lock": lock.hash,
            "request": document.environments["work"]["request"],
        }
    }
    assert "iniconfig" in lock.data["packages"], "what a plugin needs is required"
    told = [line.partition("Environment ")[2] for line in done.stdout.splitlines()]
    assert f"bare {lock.hash[:8]} of work: making a virtual environment (0%)" in told
    assert f"bare {lock.hash[:8]} of work: ready" in told


SMALL = """
@bare(value=1)
@step
def start(self):
    import tiny
    self.seen = (tiny.VALUE, tiny.WORLD)
    self.next(self.end)

@step
def end(self):
    if os.environ.get("FAIL"):
        raise ValueError("asked to")
"""


def test_an_environment_is_resolved_and_built_once(lab):
    file = lab.write(SMALL)
    assert lab.flow("run", str(file)).returncode == 0
    assert lab.done() == ["resolve", "prepare"]
    again = lab.flow("run", str(file), WORLD="2")
    assert again.returncode == 0
    assert "Environment" not in again.stdout
    assert lab.done() == []
    assert lab.tester.left(2).artifact("start", "seen") == (1, 1)


def test_a_resumed_run_has_the_lock_of_the_run_before(lab, tmp_path):
    file = lab.write(SMALL)
    assert lab.flow("run", str(file), FAIL="1").returncode == 1
    lab.done()
    lab.environments = tmp_path / "another machine"
    assert lab.flow("resume", str(file), "start", WORLD="2").returncode == 0
    assert lab.done() == ["prepare"], "nothing was resolved"
    assert lab.run_json(1)[1] == lab.run_json(2)[1]
    assert lab.tester.left(2).artifact("start", "seen") == (1, 1)
    assert lab.flow("resume", str(file), "start", WORLD="2", FLOW_RELOCK="1").returncode == 0
    assert lab.tester.left(3).artifact("start", "seen") == (1, 2)


def test_another_environment_is_another_code(lab):
    file = lab.write("@cache\n" + SMALL.lstrip("\n"))
    assert lab.flow("run", str(file), FAIL="1").returncode == 1
    file = lab.write("@cache\n" + SMALL.lstrip("\n").replace("value=1", "value=2"))
    assert lab.flow("resume", str(file), "--changed-code").returncode == 0
    old, new = (lab.run_json(run)[0].environment_name("start") for run in (1, 2))
    why = lab.flow("why", "F/2").stdout
    assert f"its environment was '{old}' and is '{new}'" in why
    assert f"cache: environment was '{old}" in why
    assert lab.tester.left(2).artifact("start", "seen")[0] == 2
    assert lab.flow("run", str(file)).returncode == 0
    assert "1 task reused" in lab.flow("why", "F/3").stdout
    diff = lab.flow("diff", "F/1", "F/2").stdout
    assert f"{old} → {new}" in diff


def test_spin_and_debug_are_in_the_same_environment(lab):
    file = lab.write(SMALL)
    assert lab.flow("run", str(file)).returncode == 0
    lab.done()
    spun = lab.flow("spin", str(file), "start")
    assert spun.returncode == 0, spun.stderr
    assert "2 artifacts" not in spun.stdout
    script = lab.path / "script"
    script.write_text("import sys\np sys.prefix\nq\n")
    debug = lab.flow("debug", "F/1/start", "--start", "--script", str(script), "--today")
    assert f"'{lab.environments}/bare/" in debug.stdout, debug.stdout + debug.stderr
    assert f"environment: {lab.run_json()[0].environment_name('start')}" in debug.stdout
    assert lab.done() == []


def test_local_leaves_all_environments_out(lab):
    file = lab.write(
        SMALL.replace("import tiny", "").replace("(tiny.VALUE, tiny.WORLD)", "sys.prefix")
    )
    assert lab.flow("--environment", "local", "run", str(file)).returncode == 0
    assert lab.tester.left(1).artifact("start", "seen") == sys.prefix
    assert lab.run_json()[0].environments == {}


NAMED = """
@step
def start(self):
    import tiny
    self.seen = (tiny.VALUE, os.environ["TINY"])
    self.next(self.end)

@bare(value=2)
@step
def end(self):
    import tiny
    self.seen = (tiny.VALUE, os.environ["TINY"])
"""


@pytest.mark.parametrize("how", ["option", "variable", "pyproject"])
def test_a_named_provider_is_for_steps_that_ask_for_none(lab, how):
    """Its settings can be read, though the flow has none of its decorators."""
    both = how == "option"
    source = NAMED if both else NAMED.replace("@bare(value=2)", "")
    file = lab.write(source, HEAD)
    words, variables = [], {"FLOW_BARE_WORD": "told"}
    if how == "option":
        words = ["--environment", "bare"]
    elif how == "variable":
        variables["FLOW_ENVIRONMENT"] = "bare"
    else:
        lab.tester.write('[tool.flow]\nenvironment = "bare"\n', "pyproject.toml")
    done = lab.flow(*words, "run", str(file), **variables)
    assert done.returncode == 0, done.stdout + done.stderr
    run = lab.tester.left(1)
    assert run.artifact("start", "seen") == (0, "told")
    assert run.artifact("end", "seen") == (2 if both else 0, "told")
    kinds = 2 if both else 1
    assert lab.done() == ["resolve"] * kinds + ["prepare"] * kinds


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("baer", "There is no environment provider 'baer'\n  try:   did you mean 'bare'?"),
        ("locl", "There is no environment provider 'locl'\n  try:   did you mean 'local'?"),
        ("other", "no plugin provides the environment provider 'other': pip install flow-other"),
    ],
)
def test_a_name_of_no_provider(lab, name, told):
    for source in (NAMED, NAMED.replace("@step\ndef start", "@bare(value=1)\n@step\ndef start")):
        done = lab.flow("run", str(lab.write(source)), FLOW_ENVIRONMENT=name)
        assert done.returncode != 0
        assert told in done.stderr
    assert not (lab.path / ".flow" / "runs").exists(), "there is no run"


def test_what_cannot_be_resolved_is_no_run(lab):
    file = lab.write(SMALL.replace("value=1", "wants='nothing'"))
    done = lab.flow("run", str(file))
    assert done.returncode == 1
    assert done.error == {
        "error": "There is nothing",
        "where": "step 'start', here",
        "why": "so it is",
        "try": "ask less",
    }
    assert "There is no run" in lab.flow("why", "F/1").stderr


def test_files_count_by_what_is_in_them(lab):
    file = lab.write(
        SMALL.replace("value=1", "wants='file'").replace("tiny.WORLD", "tiny.FILES['needs.txt']")
    )
    missing = lab.flow("run", str(file))
    assert (
        "The file 'needs.txt' cannot be read, which says what step 'start' needs" in missing.stderr
    )
    for run, text in enumerate(("one", "two"), 1):
        (lab.path / "needs.txt").write_text(text)
        assert lab.flow("run", str(file)).returncode == 0
        assert lab.tester.left(run).artifact("start", "seen") == (1, text)


def test_a_flow_file_that_needs_what_the_environment_lacks(lab):
    file = lab.write(SMALL, "import pytest\n" + HEAD)
    done = lab.flow("run", str(file))
    assert done.returncode == 1
    what = "The flow's file imports 'pytest', which the environment of the step lacks"
    assert what in done.stdout
    assert "Traceback" not in done.stderr + done.stdout
    logs = lab.flow("logs", "F/1/start").stdout
    assert logs.splitlines()[0].endswith(what)
    assert "try:   import it inside of the steps that use it, or ask for it" in logs


def test_a_plugin_that_is_broken_there_is_told(lab):
    lab.install("needy", "import pytest\n", "[flow.plugins]\nneedy = flow_needy\n")
    lab.tester.more_plugins.append("needy")
    done = lab.flow("run", str(lab.write(SMALL)))
    assert done.returncode == 1
    assert "The plugin 'needy' cannot be loaded" in done.stdout
    assert "No module named 'pytest'" in lab.flow("logs", "F/1/start").stdout


CROSSING = """
@bare
@step
def start(self):
    import tiny
    self.thing = tiny.Thing()
    self.things = [tiny.Thing()]
    self.told = {}
    self.next(self.hand_on)

@step
def hand_on(self):
    self.next(self.poor, self.bare_items)

@bare(wants="poor")
@step
def poor(self):
    try:
        self.thing
    except Exception as error:
        self.poor_told = str(error)
    self.next(self.join)

@bare
@step
def bare_items(self):
    self.next(self.item, foreach="things")

@step
def item(self):
    try:
        self.input
    except Exception as error:
        self.item_told = str(error)
    self.next(self.join_items)

@step
def join_items(self, inputs):
    self.item_told = inputs[0].item_told
    self.next(self.join)

@step
def join(self, inputs):
    self.poor_told, self.item_told = inputs.poor.poor_told, inputs.join_items.item_told
    try:
        inputs.poor.thing
    except Exception as error:
        told = {"poor": self.poor_told, "item": self.item_told, "join": str(error)}
    with open("told.json", "w") as file:
        json.dump(told, file)
    self.merge_artifacts(inputs, include=["thing"])
    self.next(self.end)

@step
def end(self):
    self.thing
"""


def test_what_another_environment_cannot_read_tells_of_both(lab):
    file = lab.write(CROSSING)
    done = lab.flow("run", str(file))
    assert done.returncode == 1
    told = json.loads((lab.path / "told.json").read_text())
    document, _ = lab.run_json()
    python = ".".join(map(str, sys.version_info[:3]))
    made = (
        f"made in step 'start' (F/1/start/1): {document.environment_name('start')}, "
        f"Python {sys.version_info[0]}.{sys.version_info[1]}"
    )
    plain = "store plain values in step 'start': numbers, texts, lists, dicts"
    there = document.environment_name("poor")
    read = f"read in step 'poor' (F/1/poor/3): {there}, Python {python}"
    add = "add tiny to the packages of @bare of step 'poor'"
    poor = told["poor"]
    assert poor.splitlines() == [
        "Artifact 'thing' of step 'start' (F/1/start/1) cannot be read in step 'poor' (F/1/poor/3)",
        "  where: F/1/poor/3",
        poor.splitlines()[2],
        f"         {made}",
        f"         {read}",
        f"  try:   let both have the same tiny: {add}; or {plain}",
    ]
    assert "Can't get attribute 'Thing' on <module 'tiny'" in poor.splitlines()[2]
    for step, name in (("item", "things"), ("join", "thing")):
        text = told[step]
        assert f"Artifact '{name}' of step 'start' (F/1/start/1) cannot be read in step" in text
        assert "why:   ModuleNotFoundError: No module named 'tiny'" in text
        assert made in text
        assert f"the launcher's Python, Python {python}, without tiny" in text
        more = f"give step '{step}' an environment that has tiny, as @bare of step 'start' has"
        assert more in text
    assert "Artifact 'thing' of step 'start' (F/1/start/1) cannot be read in step 'end'" in (
        done.stdout + done.stderr
    )
    # and in a script, a notebook
    script = "from flow_core import Task; Task('F/1/start/1', store='.flow').data.thing"
    script = f"import flow_client; flow_client.namespace(None); {script}"
    client = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=lab.path,
        env={**os.environ, **lab.variables()},
        check=False,
    )
    assert "Artifact 'thing' of step 'start' (F/1/start/1) cannot be read in this Python" in (
        client.stderr
    )
    assert f"read in this Python: {sys.prefix}, Python {python}, without tiny" in client.stderr
    assert "try:   pip install 'tiny'; or store plain values" in client.stderr


def test_two_launchers_at_once_build_once(lab):
    file = lab.write(SMALL)
    environment = lab.tester.environment(None, lab.variables())
    code = "from flow_core.cli import main; main()"
    both = [
        subprocess.Popen(
            [sys.executable, "-c", code, "run", str(file)],
            env=environment,
            cwd=lab.path,
            stdout=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]
    assert [process.wait(60) for process in both] == [0, 0]
    assert lab.done().count("prepare") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_build_leaves_nothing_in_use(lab, number):
    file = lab.write(SMALL.replace("value=1", "wants='slow'"))
    process = subprocess.Popen(
        [sys.executable, "-c", "from flow_core.cli import main; main()", "run", str(file)],
        env=lab.tester.environment(None, lab.variables()),
        cwd=lab.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not (lab.notes.exists() and "slow" in lab.notes.read_text()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "Traceback" not in errors
    built = list((lab.environments / "bare").glob("*.json"))
    assert built == []
    if number is not signal.SIGKILL:
        assert [
            p for p in (lab.environments / "bare").iterdir() if p.is_dir() and len(p.name) == 16
        ] == []
    assert "There is no run" in lab.flow("why", "F/1").stderr


def test_a_step_in_an_environment_keeps_what_any_step_can(lab):
    file = lab.write(
        """
        @step
        def start(self):
            self.items = [1, 2, 3]
            self.next(self.work, foreach="items")

        @bare
        @catch(var="failure")
        @step
        def work(self):
            import tiny
            if self.input == 2:
                raise ValueError("two")
            self.value = self.input * tiny.VALUE
            print("said by", self.input)
            self.next(self.join)

        @bare(value=5)
        @step
        def join(self, inputs):
            import tiny
            self.total = [getattr(i, "value", None) for i in inputs] + [tiny.VALUE]
            self.failures = [bool(i.failure) for i in inputs]
            self.next(self.end)

        @step
        def end(self): pass
        """
    )
    done = lab.flow("run", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    left = lab.tester.left(1)
    assert left.artifact("end", "total") == [1, None, 3, 5]
    assert left.artifact("end", "failures") == [False, True, False]
    assert "said by 3" in left.output("work")
    assert len({json.loads(b)["modules"]["tiny"] for b in lab.run_json()[1].values()}) == 2
    assert os.listdir(lab.environments / "bare" / "resolved")


def test_a_run_is_reproduced_from_its_locks(lab):
    words = (
        "self.words = {tiny.Thing, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'}\n    self.next(self.end)"
    )
    file = lab.write(SMALL.replace("self.next(self.end)", words))
    assert lab.flow("run", str(file), WORLD="1").returncode == 0
    assert lab.done() == ["resolve", "prepare"]
    shutil.rmtree(lab.environments)  # as on another machine
    done = lab.flow("reproduce", "F/1", WORLD="2", FLOW_RELOCK="1")
    assert done.returncode == 1, done.stderr
    assert lab.done() == ["prepare"], "nothing is resolved, whatever is there now"
    assert lab.run_json(1)[0].environments == lab.run_json(2)[0].environments
    assert "  in value, not in bytes: words\n" in done.stdout, "it is compared where it was made"
    assert "words  set, " in done.stdout, "here it cannot even be read"
    assert done.stdout.endswith("\n0 of 2 steps are bit-equal, 2 are equal in value.\n")


def test_another_environment_is_told_as_the_cause(lab):
    file = lab.write(SMALL)
    assert lab.flow("run", str(file)).returncode == 0
    file = lab.write(SMALL.replace("value=1", "value=2"))
    assert lab.flow("run", str(file)).returncode == 0
    done = lab.flow("reproduce", "F/1", "--against", "F/2")
    assert done.returncode == 1, done.stderr
    old, new = (lab.run_json(run)[0].environment_name("start") for run in (1, 2))
    assert f"\n  start: environment {old} → {new}\n" in done.stdout
    assert f"  start read the same, in another environment: {old} → {new}\n" in done.stdout
    assert "it begins here" not in done.stdout
