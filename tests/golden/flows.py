"""Flows of all constructs. As a script: runs all of them in one mode, and prints what they left.

    python flows.py MODE [FLOW …]

MODE is ``forked``, ``spawned`` (a fresh interpreter makes the flow anew, for all tasks),
``alone`` (one for each task), ``in-process``, or the name of a compute provider, on which four flows run
at a time. The output is one line of JSON: flow → task → artifact → [hash, value as text]. Beside its
artifacts each task has ``(end)``: how it ended and which way it went; and ``(out)`` and ``(err)``, its logs.
"""

import collections
import dataclasses
import enum
import functools
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from flow_core import (
    FlowSpec,
    IncludeFile,
    JSONType,
    Parameter,
    catch,
    current,
    parallel,
    retry,
    step,
)
from flow_core.api import Manifest
from flow_core.manifests import list_manifests

RATE = 3


def scaled(number):
    return RATE * number


@dataclasses.dataclass
class Point:
    x: int
    tags: list[str] = dataclasses.field(default_factory=list)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Shape:
    __slots__ = ("corners", "name")

    def __init__(self, name, corners):
        self.name = name
        self.corners = corners

    def __eq__(self, other):
        return (self.name, self.corners) == (other.name, other.corners)

    __hash__ = None


class Linear(FlowSpec):
    """One step after the other."""

    @step
    def start(self):
        self.x = 1
        self.next(self.middle)

    @step
    def middle(self):
        self.x += scaled(1)
        self.next(self.end)

    @step
    def end(self):
        self.y = self.x * 2


class OneStep(FlowSpec):
    """A flow of one step."""

    @step(start=True, end=True)
    def only(self):
        self.x = "all"


class NamedEnds(FlowSpec):
    """First and last step have names of their own."""

    @step(start=True)
    def begin(self):
        self.x = [1]
        self.next(self.finish)

    @step(end=True)
    def finish(self):
        self.x.append(2)


class Split(FlowSpec):
    """Static branches, one longer than the other."""

    @step
    def start(self):
        self.base = 10
        self.next(self.a, self.b)

    @step
    def a(self):
        self.v = self.base + 1
        self.next(self.a2)

    @step
    def a2(self):
        self.v += 100
        self.next(self.join)

    @step
    def b(self):
        self.v = self.base + 2
        self.next(self.join)

    @step
    def join(self, inputs):
        self.both = (inputs.a2.v, inputs.b.v)
        self.count = len(inputs)
        self.next(self.end)

    @step
    def end(self):
        pass


class NestedSplit(FlowSpec):
    """A split in a split."""

    @step
    def start(self):
        self.next(self.a, self.b)

    @step
    def a(self):
        self.v = 1
        self.next(self.outer)

    @step
    def b(self):
        self.next(self.c, self.d)

    @step
    def c(self):
        self.v = 2
        self.next(self.inner)

    @step
    def d(self):
        self.v = 3
        self.next(self.inner)

    @step
    def inner(self, inputs):
        self.v = [i.v for i in inputs]
        self.next(self.outer)

    @step
    def outer(self, inputs):
        self.all = [i.v for i in inputs]
        self.next(self.end)

    @step
    def end(self):
        pass


class Foreach(FlowSpec):
    """One task for each item."""

    @step
    def start(self):
        self.items = ["a", "b", "c"]
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.found = (self.index, self.input, self.foreach_stack())
        print("item", self.input)
        print("über", self.index, file=sys.stderr)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.all = [i.found for i in inputs]
        self.next(self.end)

    @step
    def end(self):
        pass


class NestedForeach(FlowSpec):
    """A foreach in a foreach; the outer item stays after the inner join."""

    @step
    def start(self):
        self.outer = [1, 2]
        self.next(self.middle, foreach="outer")

    @step
    def middle(self):
        self.inner = [self.input * 10, self.input * 10 + 1]
        self.next(self.work, foreach="inner")

    @step
    def work(self):
        self.stack = self.foreach_stack()
        self.next(self.inner_join)

    @step
    def inner_join(self, inputs):
        self.stacks = [i.stack for i in inputs]
        self.outer_item = self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.all = [(i.outer_item, i.stacks) for i in inputs]
        self.next(self.end)

    @step
    def end(self):
        pass


class ForeachDict(FlowSpec):
    """The items of a dict."""

    @step
    def start(self):
        self.table = {"one": 1, "two": 2}
        self.next(self.work, foreach="table")

    @step
    def work(self):
        self.pair = self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.pairs = [i.pair for i in inputs]
        self.next(self.end)

    @step
    def end(self):
        pass


class ForeachSet(FlowSpec):
    """The items of a set have the same order everywhere."""

    @step
    def start(self):
        self.names = {"ada", "grace", "alan", "edsger"}
        self.next(self.work, foreach="names")

    @step
    def work(self):
        self.mine = self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.order = [i.mine for i in inputs]
        self.next(self.end)

    @step
    def end(self):
        pass


class EmptyForeach(FlowSpec):
    """No items, and a join of nothing."""

    @step
    def start(self):
        self.items = []
        self.next(self.work, foreach="items", allow_empty=True)

    @step
    def work(self):
        self.next(self.join)

    @step
    def join(self, inputs):
        self.count = len(inputs)
        self.next(self.end)

    @step
    def end(self):
        pass


class ForeachGenerator(FlowSpec):
    """Items that are made one by one."""

    @step
    def start(self):
        self.items = range(2, 5)
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.square = self.input**2
        self.next(self.join)

    @step
    def join(self, inputs):
        self.total = sum(i.square for i in inputs)
        self.next(self.end)

    @step
    def end(self):
        pass


class ForeachWithSplit(FlowSpec):
    """Branches for each item."""

    @step
    def start(self):
        self.items = [1, 2]
        self.next(self.work, foreach="items")

    @step
    def work(self):
        self.n = self.input
        self.next(self.a, self.b)

    @step
    def a(self):
        self.v = self.n + 1
        self.next(self.meet)

    @step
    def b(self):
        self.v = self.n * 10
        self.next(self.meet)

    @step
    def meet(self, inputs):
        self.v = inputs.a.v + inputs.b.v
        self.next(self.join)

    @step
    def join(self, inputs):
        self.all = [i.v for i in inputs]
        self.next(self.end)

    @step
    def end(self):
        pass


class Switch(FlowSpec):
    """One of several ways."""

    @step
    def start(self):
        self.kind = "b"
        self.next({"a": self.first, "b": self.second}, condition="kind")

    @step
    def first(self):
        self.way = 1
        self.next(self.end)

    @step
    def second(self):
        self.way = 2
        self.next(self.end)

    @step
    def end(self):
        self.seen = self.way


class SwitchInForeach(FlowSpec):
    """Each item goes its way."""

    @step
    def start(self):
        self.items = [1, 2, 3]
        self.next(self.choose, foreach="items")

    @step
    def choose(self):
        self.odd = bool(self.input % 2)
        self.next({True: self.odd_step, False: self.even_step}, condition="odd")

    @step
    def odd_step(self):
        self.word = f"odd {self.input}"
        self.next(self.join)

    @step
    def even_step(self):
        self.word = f"even {self.input}"
        self.next(self.join)

    @step
    def join(self, inputs):
        self.words = [i.word for i in inputs]
        self.next(self.end)

    @step
    def end(self):
        pass


class Recursion(FlowSpec):
    """A step that chooses itself."""

    @step
    def start(self):
        self.n = 0
        self.seen = []
        self.next(self.loop)

    @step
    def loop(self):
        self.seen.append(current.iteration)
        self.n += 1
        self.go = "again" if self.n < 3 else "done"
        self.next({"again": self.loop, "done": self.end}, condition="go")

    @step
    def end(self):
        pass


class Gang(FlowSpec):
    """Tasks that start together."""

    @step
    def start(self):
        self.next(self.train, num_parallel=2)

    @parallel
    @step
    def train(self):
        self.place = (current.parallel.node_index, current.parallel.num_nodes)
        self.next(self.join)

    @step
    def join(self, inputs):
        self.places = [i.place for i in inputs]
        self.next(self.end)

    @step
    def end(self):
        pass


class Base(FlowSpec):
    """Steps, a parameter and a constant for others."""

    factor = Parameter("factor", default=2)
    unit = "m"

    @step
    def start(self):
        self.x = self.factor
        self.next(self.work)

    @step
    def work(self):
        self.x *= 10
        self.next(self.end)

    @step
    def end(self):
        self.text = f"{self.x} {self.unit}"


class Inherited(Base):
    """All steps are inherited."""


class Mixed:
    """No flow, but what flows use."""

    def helped(self, number):
        return number + 1000


class Overridden(Mixed, Base):
    """One step, and the constant, are another."""

    unit = "km"

    @step
    def work(self):
        self.x = self.helped(self.x)
        self.next(self.end)


class Caught(FlowSpec):
    """A failure that is allowed."""

    @step
    def start(self):
        self.next(self.risky)

    @catch(var="problem")
    @step
    def risky(self):
        self.before = "kept"
        raise ValueError("bad luck")
        self.next(self.end)

    @step
    def end(self):
        self.what = (self.before, str(self.problem))


class Retried(FlowSpec):
    """A failure, and then none."""

    @step
    def start(self):
        self.next(self.flaky)

    @retry(times=2)
    @step
    def flaky(self):
        self.attempt = current.retry_count
        if current.retry_count < 2:
            self.lost = True
            raise OSError("not yet")
        self.next(self.end)

    @step
    def end(self):
        self.seen = (self.attempt, hasattr(self, "lost"))


class CaughtAtLast(FlowSpec):
    """A failure in all attempts, allowed in the end; of some items."""

    @step
    def start(self):
        self.items = [0, 1, 2]
        self.next(self.risky, foreach="items")

    @catch(var="problem")
    @retry(times=1)
    @step
    def risky(self):
        self.attempt = current.retry_count
        self.share = 10 // self.input
        self.next(self.join)

    @step
    def join(self, inputs):
        self.found = [(i.attempt, getattr(i, "share", None), bool(i.problem)) for i in inputs]
        self.next(self.end)

    @step
    def end(self):
        pass


class Merged(FlowSpec):
    """What branches agree on is taken over, with exceptions."""

    @step
    def start(self):
        self.same = {"a": [1, 2]}
        self.big = list(range(5000))
        self.next(self.a, self.b)

    @step
    def a(self):
        self.of_a = 1
        self.differs = "a"
        self.next(self.join)

    @step
    def b(self):
        self.of_b = 2
        self.differs = "b"
        self.next(self.join)

    @step
    def join(self, inputs):
        self.merge_artifacts(inputs, exclude=["differs"])
        self.next(self.end)

    @step
    def end(self):
        self.sum = self.of_a + self.of_b + len(self.big)


class MergedByName(FlowSpec):
    """Only what is named is taken over; what is set already stays."""

    @step
    def start(self):
        self.one, self.two = 1, 2
        self.next(self.a, self.b)

    @step
    def a(self):
        self.v = 1
        self.next(self.join)

    @step
    def b(self):
        self.v = 2
        self.next(self.join)

    @step
    def join(self, inputs):
        self.v = "mine"
        self.merge_artifacts(inputs, include=["one"])
        self.next(self.end)

    @step
    def end(self):
        self.has_two = hasattr(self, "two")


class Constants(FlowSpec):
    """Data of the class, and a property."""

    numbers = [1, 2, 3]
    name_of_it = "constants"

    class Nested:
        """Does no harm."""

        value = 7

    @property
    def doubled(self):
        return [2 * n for n in self.numbers]

    @step
    def start(self):
        self.first = self.doubled
        self.next(self.end)

    @step
    def end(self):
        self.second = (self.doubled, self.Nested.value, self.name_of_it)


class Parameters(FlowSpec):
    """Values from outside, of all types."""

    count = Parameter("count", default=3)
    ratio = Parameter("the-ratio", default=0.5)
    flag = Parameter("flag", default=True)
    text = Parameter("text", default="ü")
    config = Parameter("the-settings", type=JSONType, default={"a": [1, None]})
    computed = Parameter("computed", default=lambda context: context.flow_name, type=str)
    nothing = Parameter("nothing", type=int)
    source = IncludeFile("source", default="data.txt")

    @step
    def start(self):
        self.config["a"].append("changed")  # of this task alone
        self.next(self.end)

    @step
    def end(self):
        self.all = (self.count, self.ratio, self.flag, self.text, self.config, self.computed)
        self.more = (self.nothing, self.source)


class Instances(FlowSpec):
    """Objects of the file's own classes."""

    @step
    def start(self):
        self.point = Point(1, ["a"])
        self.shape = Shape("square", 4)
        self.colour = Colour.RED
        self.many = {"points": [Point(2), Point(3)], "kind": Point}
        self.next(self.end)

    @step
    def end(self):
        assert isinstance(self.point, Point)
        assert self.shape == Shape("square", 4)
        assert self.colour is Colour.RED
        assert self.many["kind"] is Point
        self.point.x += 1
        self.last = self.many["points"][-1]


class Functions(FlowSpec):
    """Functions as artifacts."""

    @step
    def start(self):
        factor = 5
        self.named = scaled
        self.local = lambda n: factor * n
        self.part = functools.partial(scaled, 2)
        self.next(self.end)

    @step
    def end(self):
        self.values = (self.named(1), self.local(2), self.part())


class Arrays(FlowSpec):
    """NumPy arrays: small, big, of records, and views."""

    @step
    def start(self):
        self.small = np.arange(6).reshape(2, 3)
        self.big = np.linspace(0, 1, 50_000)
        self.view = self.big[::7]
        self.records = np.array([(1, 2.0)], dtype=[("n", "i4"), ("x", "f8")])
        self.next(self.work)

    @step
    def work(self):
        self.small[0, 0] = 100
        self.big *= 2
        self.next(self.end)

    @step
    def end(self):
        self.total = float(self.big.sum() + self.small.sum())


class Async(FlowSpec):
    """Coroutines as steps."""

    @step
    async def start(self):
        import asyncio

        async def double(number):
            await asyncio.sleep(0.001)
            return 2 * number

        self.found = await asyncio.gather(*map(double, range(3)))
        self.next(self.end)

    @step
    async def end(self):
        self.last = self.found[-1]


class Untouched(FlowSpec):
    """What nobody reads travels by reference; what was changed in place is kept."""

    @step
    def start(self):
        self.heavy = {n: str(n) * 100 for n in range(100)}
        self.changed = {"list": []}
        self.alias = self.changed
        self.next(self.middle)

    @step
    def middle(self):
        self.changed["list"].append(1)
        self.next(self.end)

    @step
    def end(self):
        self.apart = (self.changed, self.alias)
        del self.changed


class Kinds(FlowSpec):
    """Values of many types."""

    @step
    def start(self):
        self.none, self.yes, self.number, self.ratio = None, True, 10**30, 1e-300
        self.nan = float("nan")
        self.data = b"\x00\xff"
        self.text = "ü\n\ud800"
        self.pair = (1, (2, [3]))
        self.numbers = {3, 1, 2}
        self.ordered = collections.OrderedDict(a=1)
        self.counted = collections.Counter("abca")
        self.error = ValueError("kept", 1)
        self._private = "stored"
        self.__hidden = "not stored"
        self.next(self.end)

    @step
    def end(self):
        self.types = [type(v).__name__ for v in (self.none, self.error, self.ordered, self.data)]
        self.private = self._private


class Nothing(FlowSpec):
    """Steps without artifacts."""

    @step
    def start(self):
        self.next(self.end)

    @step
    def end(self):
        pass


ALL = {
    value.__name__: value
    for value in list(globals().values())
    if isinstance(value, type) and issubclass(value, FlowSpec) and value is not FlowSpec
}


def left(run):
    """Return what the tasks of a run left: place → artifact → [hash, value as text]."""
    found, records = {}, {}
    for key, content in list_manifests(run.store, run.parent.id, run.id):
        record = Manifest.decode(content, key)
        known = records.setdefault((record.step, record.task), record)
        if record.attempt > known.attempt:
            records[record.step, record.task] = record
    for each in sorted(run, key=lambda s: s.id):
        # By place: which of two foreaches is split first is a matter of timing.
        for number, task in enumerate(sorted(each, key=place)):
            record = records[each.id, int(task.id)]
            found[f"{each.id}[{number}]"] = {
                **{a.id: [a.sha, shown(a.data)] for a in task},
                **{f"{name}'s type": ["", ref.type] for name, ref in record.artifacts.items()},
                "(end)": ["", how(record)],
                "(out)": ["", task.stdout],
                "(err)": ["", "\n".join(without_places(task.stderr))],
            }
    found["run"] = {"(state)": ["", f"{run.finished} {run.successful}"]}
    return found


def how(record):
    """Return how an attempt ended, and which way it went."""
    failure = record.failure and (record.failure.cause, record.failure.type, record.failure.message)
    return f"{record.state.value} {record.attempt} {record.transition} {failure}"


def without_places(log):
    """Yield the lines of a log, without those of a traceback that say where the code lies."""
    return [line for line in log.splitlines() if not line.lstrip().startswith('File "')]


def place(task):
    """Return where a task stands in its step, in every run."""
    return (*task.foreach_indices, task.iteration)


def shown(value):
    """Return a value as text that is the same everywhere."""
    if isinstance(value, (set, frozenset)):
        return repr(sorted(value))
    text = repr(value)
    return text if " at 0x" not in text else type(value).__name__


def drive(mode, names):
    """Run flows in a mode; return what they left."""
    options = {
        "forked": {},
        "spawned": {},
        "alone": {"settings": {"fork": "never"}},
        "in-process": {"compute": "in-process"},
    }.get(mode)

    def leave(name):
        return left(ALL[name].run(show=False, **options))

    if options is None:  # tasks elsewhere: most of the time is waiting
        options = {"compute": mode, "max_workers": 4}
        with ThreadPoolExecutor(4) as pool:
            return dict(zip(names, pool.map(leave, names), strict=True))
    found = {}

    def work():
        found.update({name: leave(name) for name in names})

    if mode == "spawned":  # tasks are not forked from a process that runs a flow in a thread
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    else:
        work()
    return found


if __name__ == "__main__":
    print(json.dumps(drive(sys.argv[1], sys.argv[2:] or list(ALL))))
