"""Step decorators of a person's own: what runs when, what replaces the body, and what is refused."""

import io
import tarfile

import pytest

from flow_core.errors import DefinitionError, LintError, UsageError
from flow_core.user_decorators import user_step_decorator

HEAD = """
from flow_core import (
    FlowSpec, step, UserStepDecorator, user_step_decorator, USER_SKIP_STEP, Config, current,
)

@user_step_decorator
def outer(step_name, flow, inputs=None, attributes=None):
    log(flow, f"outer before {step_name} {attributes}")
    yield
    log(flow, "outer after")

class inner(UserStepDecorator):
    def init(self, word="w", *, more=None):
        self.word = word
        self.more = more
    def pre_step(self, step_name, flow, inputs=None):
        self.seen = f"{self.word} {self.more}"
        log(flow, f"inner before {step_name} {self.seen} {inputs is not None}")
    def post_step(self, step_name, flow, exception=None):
        log(flow, f"inner after {self.seen} {exception!r}")
        return exception

def log(flow, text):
    flow.log = [*getattr(flow, "log", []), text]

"""


def flow(body, head=""):
    return f"{HEAD}{head}class F(FlowSpec):\n{body}"


def simple(decorators, body="self.log = [*self.log, 'body']", head=""):
    return flow(
        f"""
    {decorators}
    @step
    def start(self):
        {body}
        self.next(self.end)
    @step
    def end(self):
        pass
""",
        head,
    )


class TestOrder:
    def test_they_nest_as_they_are_written(self, flowtester):
        source = simple("@outer\n    @inner('x', more=[1])\n    @outer(a=1)")
        outcome = flowtester.run(source)
        assert outcome.error is None, outcome.error
        assert outcome.artifact("start", "log") == [
            "outer before start {}",
            "inner before start x [1] False",
            "outer before start {'a': 1}",
            "body",
            "outer after",
            "inner after x [1] None",
            "outer after",
        ]

    def test_joins_async_steps_and_configurations(self, flowtester):
        outcome = flowtester.run(
            flow(
                """
    cfg = Config("cfg", default_value={"word": "from config", "section": {"more": 5}})
    @step
    def start(self):
        self.next(self.a, self.b)
    @step
    def a(self):
        self.next(self.join)
    @inner(cfg.word, **cfg.section)
    @step
    async def b(self):
        log(self, "body")
        self.next(self.join)
    @inner
    @step
    def join(self, inputs):
        log(self, str(len(inputs)))
        self.next(self.end)
    @step
    def end(self):
        pass
"""
            )
        )
        assert outcome.error is None, outcome.error
        assert outcome.artifact("b", "log") == [
            "inner before b from config 5 False", "body", "inner after from config 5 None",
        ]  # fmt: skip
        assert outcome.artifact("join", "log")[:2] == ["inner before join w None True", "2"]

    def test_attempts_are_apart_and_what_a_post_part_sets_is_stored(self, flowtester):
        head = """
class count(UserStepDecorator):
    n = 0
    def pre_step(self, step_name, flow, inputs=None):
        self.n += 1
    def post_step(self, step_name, flow, exception=None):
        flow.counted = self.n
        return exception
"""
        source = simple("@count", "if current.retry_count < 1: raise ValueError('x')", head)
        outcome = flowtester.run(source, plugins=["retry"], decorators=["retry:times=1,delay=0"])
        assert outcome.error is None, outcome.error
        assert outcome.artifact("start", "counted") == 1


class TestExceptions:
    HEAD = """
@user_step_decorator
def swallow(step_name, flow, inputs=None, attributes=None):
    try:
        yield
    except ValueError as error:
        flow.swallowed = str(error)

@user_step_decorator
def rename(step_name, flow):
    try:
        yield
    except ValueError as error:
        raise KeyError("other") from error

class swap(UserStepDecorator):
    def post_step(self, step_name, flow, exception=None):
        return KeyError("swapped")
"""

    def test_the_step_goes_on_after_a_swallowed_one(self, flowtester):
        source = simple("@outer\n    @swallow", "self.x = 1; raise ValueError('bad')", self.HEAD)
        outcome = flowtester.run(source)
        assert outcome.error is None, outcome.error
        (start,) = outcome.manifests("start")
        assert start.state.value == "succeeded"
        assert outcome.artifact("end", "swallowed") == "bad"
        assert outcome.artifact("end", "x") == 1
        assert outcome.artifact("end", "log")[-1] == "outer after"

    def test_a_switch_whose_failure_is_swallowed(self, flowtester):
        steps = """
    @swallow
    @step
    def start(self):
        raise ValueError("bad")
        self.next({"a": self.a, "b": self.b}, condition="kind")
    @step
    def a(self):
        self.next(self.end)
    @step
    def b(self):
        self.next(self.end)
    @step
    def end(self):
        pass
"""
        outcome = flowtester.run(flow(steps, self.HEAD))
        (failed,) = outcome.manifests("start")
        assert "did not say which way its switch goes" in failed.failure.message
        assert "@swallow handled ValueError: bad, before self.next" in failed.failure.traceback

    @pytest.mark.parametrize(
        ("decorator", "message"), [("rename", "'other'"), ("swap", "'swapped'"), ("inner", "bad")]
    )
    def test_another_one_in_its_place(self, flowtester, decorator, message):
        outcome = flowtester.run(simple(f"@{decorator}", "raise ValueError('bad')", self.HEAD))
        (start,) = outcome.manifests("start")
        assert start.failure.message == message

    def test_the_traceback_shows_the_step_and_not_us(self, flowtester):
        outcome = flowtester.run(simple("@inner", "raise ValueError('bad')"))
        trace = outcome.manifests("start")[0].failure.traceback
        assert "in start" in trace
        assert "user_decorators" not in trace
        assert "task.py" not in trace


class TestInPlaceOfTheBody:
    HEAD = """
def other(flow):
    flow.x = "other"

def itself(flow):
    flow.x = "itself"
    flow.next(flow.end)

async def later(flow):
    flow.x = "later"

@user_step_decorator
def replace(step_name, flow, inputs=None, attributes=None):
    yield globals()[attributes["by"]]

class instead(UserStepDecorator):
    def pre_step(self, step_name, flow, inputs=None):
        return other

@user_step_decorator
def skip(step_name, flow):
    flow.x = "skipped"
    yield USER_SKIP_STEP

class skipping(UserStepDecorator):
    def pre_step(self, step_name, flow, inputs=None):
        flow.x = "skipping"
        self.skip_step = True
"""

    @pytest.mark.parametrize(
        ("decorator", "x"),
        [
            ("replace(by='other')", "other"),
            ("replace(by='itself')", "itself"),
            ("replace(by='later')", "later"),
            ("instead", "other"),
            ("skip", "skipped"),
            ("skipping", "skipping"),
        ],
    )
    def test_replaced_or_skipped(self, flowtester, decorator, x):
        source = simple(f"@outer\n    @{decorator}\n    @inner", "self.body = 1", self.HEAD)
        outcome = flowtester.run(source)
        assert outcome.error is None, outcome.error
        assert outcome.artifact("end", "x") == x
        assert outcome.artifact("start", "log") == ["outer before start {}", "outer after"]
        assert "body" not in outcome.manifests("start")[0].artifacts

    WAYS = """
    @{start}
    @step
    def start(self):
        self.kind = "y"
        self.next({{"x": self.a, "y": self.b}}, condition="kind")
    @step
    def a(self):
        self.went = "a"
        self.next(self.split)
    @step
    def b(self):
        self.went = "b"
        self.next(self.split)
    @{split}
    @step
    def split(self):
        self.next(self.work, foreach="items")
    @step
    def work(self):
        self.next(self.join)
    @step
    def join(self, inputs):
        self.merge_artifacts(inputs, include=["went"])
        self.count = len(inputs)
        self.next(self.end)
    @step
    def end(self):
        pass
"""
    WAYS_HEAD = """
@user_step_decorator
def choose(step_name, flow, inputs=None, attributes=None):
    for name, value in attributes["set"].items():
        setattr(flow, name, value)
    yield attributes["give"]
"""

    def ways(self, flowtester, start=None, split=None):
        def of(given, default):
            values, answer = given or default
            return f"choose(set={values!r}, give={answer!r})"

        body = self.WAYS.format(
            start=of(start, ({"kind": "x"}, {"condition": "kind"})),
            split=of(split, ({"items": [1, 2, 3]}, {})),
        )
        return flowtester.run(flow(body, self.WAYS_HEAD))

    def test_every_way_on(self, flowtester):
        outcome = self.ways(flowtester)
        assert outcome.error is None, outcome.error
        assert outcome.artifact("join", "went") == "a"
        assert outcome.artifact("join", "count") == 3
        outcome = self.ways(
            flowtester,
            ({"kind": "y"}, {"condition": "kind"}),
            ({"items": [1]}, {"foreach": "items"}),
        )
        assert outcome.error is None, outcome.error
        assert outcome.artifact("join", "went") == "b"

    @pytest.mark.parametrize(
        ("step", "given", "message"),
        [
            ("start", ({}, {}), "Step 'start': its body did not say which way its switch goes"),
            ("start", ({}, {"condition": "kind"}), "condition='kind', but self.kind was never set"),
            ("start", ({"kind": "z"}, {"condition": "kind"}), "no case for self.kind"),
            ("start", ({"kind": "x"}, {"foreach": "kind"}), "gives foreach= for its self.next"),
            ("split", ({}, {}), "foreach='items', but self.items was never set"),
        ],
    )
    def test_a_way_that_is_not_known(self, flowtester, step, given, message):
        outcome = self.ways(flowtester, **{step: given})
        (failed,) = outcome.manifests(step)
        assert message in failed.failure.message
        assert "@choose" in failed.failure.traceback or "self.kind" in message or step == "split"


class TestRefused:
    def test_a_generator_without_a_yield(self):
        with pytest.raises(DefinitionError) as caught:

            @user_step_decorator
            def timing(step_name, flow):
                pass

        assert caught.value.what == "The step decorator @timing has no yield"
        assert caught.value.where.startswith(f"{__file__}:")

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("if False: yield", "@bad ended without a yield"),
            ("yield\n    yield", "@bad yielded twice"),
            ("yield 3", "@bad yielded 3"),
            ("yield\n    return 3", "@bad returned 3 after the step"),
        ],
    )
    def test_a_generator_that_does_something_else(self, flowtester, source, message):
        head = f"@user_step_decorator\ndef bad(step_name, flow):\n    {source}\n"
        outcome = flowtester.run(simple("@bad", "pass", head))
        (failed,) = outcome.manifests("start")
        assert message in failed.failure.message
        assert f"{flowtester.path / 'flow.py'}:" in failed.failure.traceback

    @pytest.mark.parametrize(
        ("decorator", "message", "hint"),
        [
            ("inner(1, 2)", "@inner was given arguments that it does not take", "word='w'"),
            ("inner(size=1)", "unexpected keyword argument 'size'", "@inner(word='w'"),
            ("plain(1)", "@plain was given arguments", "def init(self"),
            ("simple(a=1)", "@simple takes no arguments", "attributes=None"),
            ("outer(1)", "@outer takes its arguments by name only", "@outer(name=value)"),
            ("broken", "@broken cannot be made: ZeroDivisionError", "broken.init"),
        ],
    )
    def test_arguments(self, flowtester, decorator, message, hint):
        head = """
class plain(UserStepDecorator):
    pass
class broken(UserStepDecorator):
    def init(self):
        1 / 0
@user_step_decorator
def simple(step_name, flow):
    yield
"""
        cls = flowtester.load(simple(f"@{decorator}", "pass", head))
        with pytest.raises(LintError) as caught:
            flowtester.session(cls).definition
        assert message in str(caught.value)
        assert hint in str(caught.value)

    @pytest.mark.parametrize(
        ("source", "message"),
        [
            ("@inner\nclass F(FlowSpec): pass", "@inner must stand above @step"),
            (
                "class F(FlowSpec):\n    @step\n    @inner\n    def start(self): pass",
                "@step was put on @inner, which is no plain function",
            ),
            (
                "@user_step_decorator\ndef odd(step): yield",
                "@odd does not take what it is given\n  where: FILE:25\n  why:   too many positional",
            ),
            (
                "@user_step_decorator\ndef odd(step_name, flow, times): yield",
                "missing a required argument: 'times'",
            ),
            (
                "class odd(UserStepDecorator):\n    def pre_step(self, step_name, flow): pass",
                "arguments\n  try:   def pre_step(self, step_name, flow, inputs=None):",
            ),
            (
                "class odd(UserStepDecorator):\n    def post_step(self, step_name): pass",
                "try:   def post_step(self, step_name, flow, exception=None):",
            ),
            (
                "class own(UserStepDecorator):\n    def __init__(self): pass\n@own\ndef f(): pass",
                "own has an __init__, which is never called",
            ),
        ],
    )
    def test_places(self, flowtester, source, message):
        with pytest.raises(DefinitionError) as caught:
            flowtester.load(HEAD + source)
        assert message in str(caught.value).replace(str(flowtester.path / "flow.py"), "FILE")


class TestByName:
    @pytest.fixture
    def package(self, flowtester, monkeypatch):
        flowtester.write("", "lib/team_x/__init__.py")
        flowtester.write(HEAD, "lib/team_x/decos.py")
        flowtester.write(HEAD, "lib/team_x/others.py")
        monkeypatch.syspath_prepend(flowtester.path / "lib")
        return flowtester

    def test_with_adds_them_to_every_step_outside_of_those_in_the_code(self, package):
        source = "@inner\n    @step"
        cls = package.load(simple("@inner").replace("@step\n    def end", f"{source}\n    def end"))
        texts = ["team_x.decos.outer:a=1,b=x y", "team_x.decos.inner:0=[1,2],more=true"]
        session = package.session(cls, decorators=texts)
        assert [u.name for u in session.definition.steps["start"].uses] == [
            "outer",
            "inner",
            "inner",
        ]
        assert session.graph["end"].decorators == ("outer", "inner", "inner")
        outcome = package.run(cls, decorators=texts)
        assert outcome.error is None, outcome.error
        assert outcome.artifact("start", "log")[:3] == [
            "outer before start {'a': 1, 'b': 'x y'}",
            "inner before start [1, 2] True False",
            "inner before start w None False",
        ]

    def test_the_snapshot_has_their_modules(self, package):
        cls = package.load(package.write(simple(""), "own/flow.py"))
        outcome = package.run(cls, decorators=["team_x.decos.inner"])
        assert outcome.error is None, outcome.error
        code = next(
            e.key for e in outcome.store.list("blobs/")
            if b"class inner" in (next(iter(outcome.store.read([e.key]))) or b"")
        )  # fmt: skip
        raw = next(iter(outcome.store.read([code])))
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            names = archive.getnames()
        assert {"flow.py", "team_x/__init__.py", "team_x/decos.py"} <= set(names)

    def test_what_is_wrong_with_one_is_told_once(self, package):
        flow = package.load(simple("", "pass"))
        with pytest.raises(LintError, match="has 1 problem"):
            package.session(flow, decorators=["flow.inner:size=1"]).definition

    def test_short_names_and_mistakes(self, package):
        cls = package.load(simple("@outer"))

        def attach(*texts):
            return package.session(cls, decorators=texts).definition

        attach("team_x.decos.inner", "team_x.others.inner")
        assert [u.kind.__module__ for u in attach("others.inner").steps["end"].uses] == [
            "team_x.others"
        ]
        for text, message in (
            ("team_x.decos.iner", "did you mean 'team_x.decos.inner'"),
            ("team_y.decos.inner", "There is no decorator 'team_y.decos.inner'"),
            ("team_x.decos.inner:3", "'3' is not of the form argument=value"),
            ("team_x.decos.inner:1=a", "the positions 1 leave one out"),
        ):
            with pytest.raises(UsageError) as caught:
                attach(text)
            assert message in str(caught.value)
            assert caught.value.exit_code == 2

    def test_an_ambiguous_name(self, package):
        package.load(simple("@outer"))
        with pytest.raises(UsageError) as caught:
            package.session(
                package.load(simple("@outer")),
                decorators=["team_x.decos.inner", "team_x.others.inner", "inner"],
            ).definition
        assert "'inner' can be more than one decorator" in str(caught.value)
        assert "team_x.decos.inner" in caught.value.hint
