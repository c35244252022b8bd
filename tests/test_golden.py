"""Golden flows: each construct of the language gives the same artifacts wherever its tasks run.

Each flow runs three times: with tasks forked from the fork server, with an interpreter of its own for
each task, and in this process. What is compared are hashes, states and ways, not what a test thought of.
"""

from __future__ import annotations

import os
import textwrap
from pathlib import Path
from typing import Any

import pytest

from flow_core.api import RunRequest, RunState, Session, Settings, installed, load_flow
from flow_core.testing import RunOutcome
from flow_core.testing.flowtester import default_plugins, main_kept

MODES = {
    "forked": {"FLOW_FORK": "auto"},
    "spawned": {"FLOW_FORK": "never"},
    "in-process": {"FLOW_COMPUTE": "in-process"},
}
MORE_PLUGINS = ("parallel",)
HEAD = "from flow_core import FlowSpec, IncludeFile, JSONType, Parameter, current, step"
LAST = """
@step
def end(self): self.result = self.x
"""

FLOWS: dict[str, str] = {}
PARAMETERS = {"parameters": {"alpha": "0.25", "data": '{"b": [2, 3]}', "flag": "yes"}}


def flow(name: str, steps: str, above: str = "", last: str = LAST) -> None:
    """Keep a flow: what stands above the class, and what stands in it."""
    above, steps, last = (textwrap.dedent(text).strip("\n") for text in (above, steps, last))
    body = textwrap.indent(f"{steps}\n{last}", "    ")
    if "class F(" in above:  # it has bases of its own
        FLOWS[name] = f"{HEAD}\n{above}\n{body}\n"
    else:
        FLOWS[name] = f"{HEAD}\n{above}\nclass F(FlowSpec):\n{body}\n"


# --- transitions --------------------------------------------------------------------------------

flow("linear", "@step\ndef start(self): self.x = 1; self.next(self.end)")
flow(
    "split",
    """
    @step
    def start(self): self.x = 1; self.next(self.a, self.b, self.c)
    @step
    def a(self): self.x += 1; self.next(self.a2)
    @step
    def a2(self): self.x *= 10; self.next(self.join)
    @step
    def b(self): self.y = self.x; self.next(self.join)
    @step
    def c(self): self.next(self.join)
    @step
    def join(self, inputs):
        self.names = (inputs.a2.x, inputs.b.y, inputs[2].x, len(inputs))
        self.x = sum(i.x for i in inputs)
        self.merge_artifacts(inputs)
        self.next(self.end)
    """,
)
for kind, items in {
    "list": "[3, 'a', None]",
    "dict": "{'b': 1, 'a': 2}",
    "set": "{30, 1, 2}",
    "range": "range(2, 8, 3)",
    "tuple": "((1, 2), (3,))",
}.items():
    flow(
        f"foreach over a {kind}",
        f"""
        @step
        def start(self): self.items = {items}; self.next(self.work, foreach="items")
        @step
        def work(self): self.y = (self.index, self.input, self.foreach_stack()); self.next(self.join)
        @step
        def join(self, inputs): self.x = [i.y for i in inputs]; self.next(self.end)
        """,
    )
flow(
    "nested foreach",
    """
    @step
    def start(self): self.rows = {"a": [1, 2], "b": [3]}; self.next(self.row, foreach="rows")
    @step
    def row(self): self.name_of_row, self.cells = self.input; self.next(self.cell, foreach="cells")
    @step
    def cell(self): self.y = (self.name_of_row, self.input); self.next(self.inner)
    @step
    def inner(self, inputs): self.y = (self.input, [i.y for i in inputs]); self.next(self.outer)
    @step
    def outer(self, inputs): self.x = [i.y for i in inputs]; self.next(self.end)
    """,
)
flow(
    "split in a foreach",
    """
    @step
    def start(self): self.items = [1, 2]; self.next(self.fork, foreach="items")
    @step
    def fork(self): self.next(self.a, self.b)
    @step
    def a(self): self.y = self.input; self.next(self.both)
    @step
    def b(self): self.y = -self.input; self.next(self.both)
    @step
    def both(self, inputs): self.y = [i.y for i in inputs]; self.next(self.join)
    @step
    def join(self, inputs): self.x = [i.y for i in inputs]; self.next(self.end)
    """,
)
flow(
    "foreach in a split, a join that splits again",
    """
    @step
    def start(self): self.next(self.many, self.one)
    @step
    def many(self): self.items = "ab".split("b"); self.next(self.work, foreach="items")
    @step
    def work(self): self.y = self.input * 2; self.next(self.gather)
    @step
    def gather(self, inputs): self.y = [i.y for i in inputs]; self.next(self.both)
    @step
    def one(self): self.y = 1; self.next(self.both)
    @step
    def both(self, inputs): self.ys = [i.y for i in inputs]; self.next(self.again, foreach="ys")
    @step
    def again(self): self.next(self.join)
    @step
    def join(self, inputs): self.x = [i.input for i in inputs]; self.next(self.end)
    """,
)
flow(
    "empty foreach",
    """
    @step
    def start(self):
        self.x, self.items = 7, []
        self.next(self.work, foreach="items", allow_empty=True)
    @step
    def work(self): self.next(self.join)
    @step
    def join(self, inputs): self.merge_artifacts(inputs); self.n = len(inputs); self.next(self.end)
    """,
)
flow(
    "switch",
    """
    @step
    def start(self): self.x, self.kind = 1, "b"; self.next({"a": self.a, "b": self.b}, condition="kind")
    @step
    def a(self): self.x = "a"; self.next(self.end)
    @step
    def b(self): self.x = "b"; self.next(self.end)
    """,
)
flow(
    "switch that skips, in a foreach",
    """
    @step
    def start(self): self.items = [1, 2, 3]; self.next(self.odd, foreach="items")
    @step
    def odd(self):
        self.y, self.way = self.input, self.input % 2
        self.next({1: self.work, 0: self.after}, condition="way")
    @step
    def work(self): self.y *= 100; self.next(self.after)
    @step
    def after(self): self.next(self.join)
    @step
    def join(self, inputs): self.x = [i.y for i in inputs]; self.next(self.end)
    """,
)
flow(
    "switch between two splits",
    """
    @step
    def start(self): self.way = True; self.next({True: self.f, False: self.g}, condition="way")
    @step
    def f(self): self.next(self.a, self.b)
    @step
    def g(self): self.items = [1]; self.next(self.c, foreach="items")
    @step
    def a(self): self.y = 1; self.next(self.join)
    @step
    def b(self): self.y = 2; self.next(self.join)
    @step
    def c(self): self.y = 3; self.next(self.join)
    @step
    def join(self, inputs): self.x = [i.y for i in inputs]; self.next(self.end)
    """,
)
flow(
    "step that repeats",
    """
    @step
    def start(self): self.x = []; self.next(self.again)
    @step
    def again(self):
        self.x.append(current.iteration)
        self.state = "more" if len(self.x) < 3 else "enough"
        self.next({"more": self.again, "enough": self.end}, condition="state")
    """,
)
flow(
    "step that repeats in a foreach",
    """
    @step
    def start(self): self.items = [1, 3]; self.next(self.again, foreach="items")
    @step
    def again(self):
        self.more = current.iteration + 1 < self.input
        self.next({True: self.again, False: self.join}, condition="more")
    @step
    def join(self, inputs): self.x = [i.input for i in inputs]; self.next(self.end)
    """,
)
flow(
    "gang",
    """
    @step
    def start(self): self.next(self.train, num_parallel=2)
    @parallel
    @step
    def train(self): self.y = (current.parallel.node_index, self.input); self.next(self.join)
    @step
    def join(self, inputs): self.x = [i.y for i in inputs]; self.next(self.end)
    """,
    above="from flow_core import parallel",
)

# --- classes ------------------------------------------------------------------------------------

flow("one step", "@step(start=True, end=True)\ndef only(self): self.x = 1", last="")
flow(
    "other names of the ends",
    """
    @step(start=True)
    def begin(self): self.x = 1; self.next(self.finish)
    @step(end=True)
    def finish(self): self.x += 1
    """,
    last="",
)
flow(
    "base classes",
    """
    @step
    def middle(self): self.x = (self.base, self.mixed); self.next(self.end)
    """,
    above="""
    class Base(FlowSpec):
        factor = 3
        @step
        def start(self): self.base = self.factor; self.next(self.middle)
    class Mixin(FlowSpec):
        @step
        def middle(self): self.next(self.end)
        @property
        def mixed(self): return "mixed"
    class F(Base, Mixin):
    """,
)
flow(
    "async steps",
    """
    @step
    async def start(self): self.x = await double(2); self.next(self.end)
    """,
    above="""
    import asyncio
    async def double(n):
        await asyncio.sleep(0)
        return 2 * n
    """,
)
flow(
    "constants, properties, nested classes",
    """
    limits = {"low": 1}
    class Nested:
        size = 3
    @property
    def twice(self): return 2 * self.x
    @step
    def start(self): self.x = self.limits["low"] + self.Nested.size; self.next(self.more)
    @step
    def more(self): self.y = self.twice; self.next(self.end)
    """,
)
flow(
    "parameters",
    """
    alpha = Parameter("alpha", type=float, default=0.5)
    data = Parameter("data", type=JSONType, default={"a": 1})
    flag = Parameter("flag", default=False)
    day = Parameter("day", default=lambda context: context.flow_name)
    @step
    def start(self): self.x = (self.alpha, self.data, self.flag, self.day); self.next(self.end)
    """,
)
flow(
    "files",
    """
    text = IncludeFile("text", default="flow.py")
    raw = IncludeFile("raw", default="flow.py", is_text=False)
    @step
    def start(self): self.x = (len(self.text), self.raw[:4]); self.next(self.end)
    """,
)

# --- artifacts ----------------------------------------------------------------------------------

flow(
    "changes in place, two names of one value, deleted names",
    """
    @step
    def start(self):
        self.x = self.y = [1]
        self.gone, self._private, self.__never = 1, 2, 3
        self.next(self.middle)
    @step
    def middle(self):
        self.x.append(2)
        del self.gone
        self.seen = (hasattr(self, "gone"), self._private, hasattr(self, "_F__never"), self.y)
        self.next(self.end)
    """,
)
flow(
    "functions and classes of the file",
    """
    @step
    def start(self):
        self.x, self.function, self.kind = Point(1, {"a"}), add, Colour.RED
        self.next(self.use)
    @step
    def use(self): self.y = self.function(self.x.n, 2); self.same = type(self.x) is Point; self.next(self.end)
    """,
    above="""
    import enum
    from dataclasses import dataclass
    class Colour(enum.Enum):
        RED = 1
    @dataclass(frozen=True)
    class Point:
        n: int
        names: set
    def add(a, b): return a + b
    """,
)
flow(
    "arrays",
    """
    @step
    def start(self):
        self.x = numpy.arange(40_000.0).reshape(200, 200)
        self.small = numpy.float32(1.5)
        self.next(self.end)
    """,
    above="import numpy",
)
flow(
    "merged artifacts",
    """
    @step
    def start(self): self.kept, self.x = {1, 2}, 0; self.next(self.a, self.b)
    @step
    def a(self): self.x, self.only = 1, "here"; self.next(self.join)
    @step
    def b(self): self.x = 2; self.next(self.join)
    @step
    def join(self, inputs):
        try:
            self.merge_artifacts(inputs)
        except MergeError as error:
            self.differ = list(error.artifact_names)
        self.x = 3
        self.merge_artifacts(inputs, exclude=["differ"])
        self.next(self.end)
    """,
    above="from flow_core.api import MergeError",
)

# --- failures -----------------------------------------------------------------------------------

flow(
    "retry",
    """
    @retry(times=2, delay=0)
    @step
    def start(self):
        self.x = current.retry_count
        if self.x < 2: raise ValueError(self.x)
        self.next(self.end)
    """,
    above="from flow_core import retry",
)
flow(
    "catch",
    """
    @step
    def start(self): self.items = [0, 1]; self.next(self.work, foreach="items")
    @catch(var="trouble")
    @step
    def work(self): self.before = self.input; self.y = 1 / self.input; self.next(self.join)
    @step
    def join(self, inputs):
        self.x = [(i.before, str(i.trouble), getattr(i, "y", None)) for i in inputs]
        self.next(self.end)
    """,
    above="from flow_core import catch",
)
flow(
    "variables",
    """
    @environment(vars={"GOLDEN": "yes"})
    @step
    def start(self): self.x = os.environ["GOLDEN"]; self.next(self.after)
    @step
    def after(self): self.y = os.environ.get("GOLDEN"); self.next(self.end)
    """,
    above="import os\nfrom flow_core import environment",
)


def run(folder: Path, name: str, mode: str) -> Any:
    """Run a flow in a mode; return all that must be equal in all modes."""
    place = folder / mode
    place.mkdir()
    variables = {"HOME": str(folder), "FLOW_USER": "tester", **MODES[mode]}
    chosen = [f"only:{p}" for p in (*default_plugins(), *MORE_PLUGINS, "inprocess")]
    before = os.getcwd()
    os.chdir(place)
    try:
        with main_kept():
            cls = load_flow(str(folder / "flow.py"))
            index = installed().choose(chosen)
            with Session(cls, settings=Settings(variables, str(place)), index=index) as session:
                session.execute(RunRequest(parameters=PARAMETERS.get(name, {})))
                store, metadata = session.store, session.metadata
                outcome = RunOutcome("F", store, metadata, state=RunState.SUCCEEDED, run="1")
                return {step: _facts(outcome, step) for step in session.graph.nodes}
    finally:
        os.chdir(before)


def _facts(outcome: RunOutcome, step: str) -> list[Any]:
    return sorted(
        (
            [frame.index for frame in manifest.foreach],
            manifest.iteration,
            manifest.attempt,
            manifest.state.value,
            manifest.transition.targets if manifest.transition else None,
            {name: ref.hash for name, ref in sorted(manifest.artifacts.items())},
        )
        for manifest in outcome.manifests(step)
    )


def test_there_are_thirty():
    assert len(FLOWS) >= 30


@pytest.mark.slow
@pytest.mark.parametrize("name", FLOWS)
def test_the_same_artifacts_in_each_mode(name, tmp_path):
    (tmp_path / "flow.py").write_text(FLOWS[name], encoding="utf-8")
    forked, spawned, here = (run(tmp_path, name, mode) for mode in MODES)
    assert forked
    assert spawned == forked
    assert here == forked
