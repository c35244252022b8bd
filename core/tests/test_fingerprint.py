"""Fingerprints of code: what a step can reach counts, how it is written does not."""

import ast
import random
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flow_core.fingerprint import (
    CodeReader,
    Files,
    NormalForm,
    Snapshot,
    code_changes,
    plain_value,
)
from flow_core.own_modules import (
    Module,
    OwnModules,
    code_folder,
    full_name,
    imported_names,
    outside_modules,
    statements,
)
from flow_core.package import pack, read_file

FLOW = """
    import json
    import numpy as np
    import tools.shapes as shapes
    from flow_core import FlowSpec, Parameter, retry, step
    from base import Base
    from helpers import clean, Model, LIMIT
    from helpers import *
    import settings

    class F(Base):
        alpha = Parameter("alpha", default=1)
        RATE = 3

        @retry(times=2)
        @step
        def start(self):
            '''Begin.'''
            self.x = clean(self.alpha)
            self.next(self.shape)

        @step
        def shape(self):
            self.area = shapes.area(self.x) * self.RATE
            self.next(self.train)

        @step
        def train(self):
            model = Model(LIMIT)
            self.score = self.inner(model.fit())
            self.next(self.end)

        def inner(self, value):
            return json.dumps(value)

        def unused(self):
            return 1

        @step
        def end(self):
            from late import last
            last(np.zeros(self.x))
"""
BASE = """
    from flow_core import FlowSpec

    class Base(FlowSpec):
        def inner(self, value):
            return 0
"""
HELPERS = """
    import re
    from deep.inside import strip

    LIMIT = 10
    OTHER = 11

    class Parent:
        def fit(self):
            return strip("x")

    class Model(Parent):
        def __init__(self, limit):
            self.limit = limit

    def clean(x, by=LIMIT):
        def nested(y):
            return strip(str(y))
        return nested(x) + str(by)

    def lonely():
        return OTHER
"""
FILES = {
    "flow.py": FLOW,
    "base.py": BASE,
    "helpers.py": HELPERS,
    "deep/__init__.py": "",
    "deep/inside.py": "def strip(text):\n    return text.strip()\n",
    "tools/__init__.py": "",
    "tools/shapes.py": "from . import numbers\ndef area(x):\n    return numbers.square(x)\n"
    "def volume(x):\n    return x**3\n",
    "tools/numbers.py": "def square(x):\n    return x * x\n",
    "late.py": "def last(x):\n    return first(x)\ndef first(x):\n    return x\n",
    "settings.py": "import os\nVALUE = 3\n",
    "unrelated.py": "def clean(x):\n    return 0\n",
}
STEPS = ("start", "shape", "train", "end")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("code")


def prints(folder, changes=None):
    """Return the fingerprints of the steps, with changes (file → (old, new)) to the files."""
    sources = {name: textwrap.dedent(text).lstrip("\n") for name, text in FILES.items()}
    for name, (old, new) in (changes or {}).items():
        assert old in sources[name] or not old
        sources[name] = sources[name].replace(old, new) if old else sources[name] + new
    return prints_of(folder, sources)


def build(names, folder):
    return pack({name: read_file(str(folder / name))[0] for name in names}, 10)


def prints_of(folder, sources, steps=STEPS):
    for name, text in sources.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    snapshot = Snapshot(build([*sources], folder), "flow.py")
    reader = CodeReader(snapshot, "F", steps, ["alpha"])
    return {step: reader.fingerprint(step) for step in steps}


def affected(folder, changes):
    """Return the steps whose fingerprint a change changes."""
    before, after = prints(folder), prints(folder, changes)
    return [step for step in STEPS if before[step].digest != after[step].digest]


@pytest.mark.parametrize(
    ("changes", "steps"),
    [
        ({"helpers.py": ("str(by)", "str(by) + 'x'")}, ["start"]),
        ({"deep/inside.py": ("text.strip()", "text.lstrip()")}, ["start", "train"]),
        ({"tools/numbers.py": ("x * x", "x + x")}, ["shape"]),
        ({"tools/shapes.py": ("x**3", "x**4")}, []),
        ({"helpers.py": ("LIMIT = 10", "LIMIT = 20")}, ["start", "train"]),
        ({"helpers.py": ("OTHER = 11", "OTHER = 12")}, []),
        ({"helpers.py": ("self.limit = limit", "self.limit = -limit")}, ["train"]),
        ({"helpers.py": ('strip("x")', 'strip("y")')}, ["train"]),  # of the parent class
        ({"flow.py": ("json.dumps(value)", "json.dumps(-value)")}, ["train"]),
        ({"base.py": ("return 0", "return 2")}, ["train"]),  # what super() may call
        ({"flow.py": ("return 1", "return 2")}, []),  # a method that nobody calls
        ({"flow.py": ("RATE = 3", "RATE = 4")}, ["shape"]),
        ({"flow.py": ("default=1", "default=2")}, []),  # the value of a parameter counts
        ({"flow.py": ("times=2", "times=5")}, []),  # decorators of plugins are not the body
        ({"flow.py": ("'''Begin.'''", "'''Start here.'''")}, []),
        ({"late.py": ("return x", "return -x")}, ["end"]),  # imported inside of the step
        ({"unrelated.py": ("return 0", "return 1")}, []),
        ({"settings.py": ("VALUE = 3", "VALUE = 4")}, []),
        ({"settings.py": ("", "os.environ['A'] = '1'\n")}, list(STEPS)),  # done when imported
        ({"flow.py": ("self.next(self.train)", "self.next(self.end)")}, ["shape"]),
        ({"helpers.py": ("", "class Odd:\n    def fit(self): return 3\n")}, ["train"]),
        ({"helpers.py": ("", "class Odd:\n    def fat(self): return 3\n")}, []),
    ],
)
def test_which_steps_a_change_concerns(folder, changes, steps):
    assert affected(folder, changes) == steps


def test_packages_that_are_not_ones_own(folder):
    found = prints(folder)
    assert found["end"].packages == {"numpy"}
    assert found["train"].packages >= {"json"}
    assert "numpy" not in found["start"].packages


def test_changes_are_named(folder):
    before = prints(folder)["start"]
    after = prints(folder, {"deep/inside.py": ("text.strip()", "text.lstrip()")})["start"]
    assert code_changes(before, after) == [
        {
            "name": "strip",
            "file": "deep/inside.py",
            "line": 1,
            "change": "changed",
            "is_step": False,
        }
    ]
    changed = prints(folder, {"flow.py": ("clean(self.alpha)", "clean(2)")})["start"]
    assert [(c["name"], c["is_step"]) for c in code_changes(before, changed)] == [("F.start", True)]
    gone = prints(folder, {"flow.py": ("clean(self.alpha)", "self.alpha")})["start"]
    assert {c["change"] for c in code_changes(before, gone)} == {"changed", "removed"}


def test_the_same_from_a_snapshot_and_from_files(folder, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    found = prints(folder)
    reader = CodeReader(Files(str(folder / "flow.py")), "F", STEPS, ["alpha"])
    for step in STEPS:
        live = reader.fingerprint(step)
        assert {k: p.hash for k, p in live.parts.items()} == {
            k: p.hash for k, p in found[step].parts.items()
        }


@pytest.mark.parametrize(
    ("source", "counts"),
    [
        (
            "import helpers\nclass F(FlowSpec):\n  @step\n  def start(self):\n    use(helpers)\n",
            True,
        ),
        (
            (
                "import helpers\nclass F(FlowSpec):\n  @step\n  def start(self):\n"
                "    getattr(helpers, self.alpha)()\n"
            ),
            True,
        ),
        (
            (
                "from helpers import odd as even\nclass F(FlowSpec):\n  @step\n  def start(self):\n"
                "    f = lambda: [even(x) for x in y]\n"
            ),
            True,
        ),
        (
            (
                "from helpers import odd\nclass F(FlowSpec):\n  @step\n  def start(self):\n"
                "    odd = 3\n    return odd\n"
            ),
            False,
        ),
        (
            (
                "import helpers\nTABLE = {'a': helpers.odd}\nclass F(FlowSpec):\n  @step\n"
                "  def start(self):\n    TABLE['a']()\n"
            ),
            True,
        ),
        (
            (
                "from helpers import odd\ndef deco(f):\n  odd()\n  return f\n"
                "class F(FlowSpec):\n  @deco\n  @step\n  def start(self):\n    pass\n"
            ),
            True,
        ),
        (
            (
                "from helpers import odd\nclass F(FlowSpec):\n  @property\n  def p(self):\n"
                "    return odd()\n  @step\n  def start(self):\n    getattr(self, 'p')\n"
            ),
            True,
        ),
        (
            (
                "from helpers import odd\nclass F(FlowSpec):\n  def p(self):\n"
                "    return odd()\n  @step\n  def start(self):\n    getattr(self, self.alpha)()\n"
            ),
            True,
        ),
        (
            (
                "from helpers import odd\ntry:\n  import fast as f\nexcept ImportError:\n  f = odd\n"
                "class F(FlowSpec):\n  @step\n  def start(self):\n    f()\n"
            ),
            True,
        ),
        (
            (
                "from helpers import odd\nREGISTRY = []\ndef register(f):\n  REGISTRY.append(f)\n"
                "@register\ndef hidden():\n  odd()\n"
                "class F(FlowSpec):\n  @step\n  def start(self):\n    REGISTRY[0]()\n"
            ),
            True,
        ),
        (
            (
                "from helpers import odd\nclass Money:\n  def __add__(self, x):\n    return odd()\n"
                "class F(FlowSpec):\n  @step\n  def start(self):\n    self.a + self.b\n"
            ),
            True,
        ),
        (
            (
                "from helpers import odd\nclass G(FlowSpec):\n  @step\n  def start(self):\n"
                "    odd()\nclass F(FlowSpec):\n  @step\n  def start(self):\n    pass\n"
            ),
            False,
        ),
        (
            (
                "from helpers import odd\nif __name__ == '__main__':\n  odd()\n"
                "class F(FlowSpec):\n  @step\n  def start(self):\n    pass\n"
            ),
            False,
        ),
    ],
)
def test_ways_to_reach_code(tmp_path, source, counts):
    head = "from flow_core import FlowSpec, step\n"
    helpers = "def odd():\n  return {}\n"
    found = [
        prints_of(tmp_path, {"flow.py": head + source, "helpers.py": helpers.format(n)}, ["start"])
        for n in (1, 2)
    ]
    assert (found[0]["start"].digest != found[1]["start"].digest) is counts


def test_a_file_that_is_not_python_harms_nothing(tmp_path):
    source = "import broken\nclass F(FlowSpec):\n  @step\n  def start(self):\n    broken.f()\n"
    prints_of(tmp_path, {"flow.py": source, "broken.py": "def f(:\n"}, ["start"])


# --- the normal form ----------------------------------------------------------------------------

names = st.sampled_from(["a", "b", "total", "value", "row", "x1"])


@st.composite
def functions(draw):
    """Return a function's source with its local names as ``{0}``, ``{1}``, ``{2}``."""
    expressions = ["{0} + {1}", "[{2} for {2} in {0}]", "len({1})", "(lambda arg: arg + {0})({1})"]
    expressions += ["{{{2}: {0} for {2} in range(3)}}", "max({0}, {1}, key=str)", "helper({0})"]
    lines = ["{0}, {1} = argument, 2"]
    for _ in range(draw(st.integers(1, 5))):
        kind, expression = draw(st.integers(0, 4)), draw(st.sampled_from(expressions))
        lines += {
            0: ["{0} = " + expression],
            1: ["for {2} in " + expression + ":", "    {1} = {2}"],
            2: ["if {0}:", "    {1} = " + expression],
            3: ["def inner(argument):", "    {2} = {0}", "    return {2} + argument"],
            4: ["with open({0}) as {2}:", "    {2}.write({1})"],
        }[kind]
    return "def f(argument):\n" + "".join(f"    {line}\n" for line in [*lines, "return {0}, {1}"])


@given(functions(), st.permutations(["a", "b", "total", "value", "row"]), st.randoms())
@settings(max_examples=60)
def test_local_names_and_formatting_do_not_count(source, renamed, rng):
    plain = source.format("u", "v", "w")
    other = source.format(*renamed[:3])
    noisy = []
    for line in other.splitlines():
        noisy.append(line + ("  # why" if rng.random() < 0.3 else ""))
        if rng.random() < 0.3:
            noisy.append("")
    noisy.insert(1, '    """A text."""')
    forms = [NormalForm(ast.parse(text).body[0]) for text in (plain, "\n".join(noisy))]
    assert forms[0].text == forms[1].text
    assert forms[0].chains == forms[1].chains


@given(functions(), functions())
@settings(max_examples=60)
def test_different_code_has_a_different_form(one, other):
    texts = [ast.unparse(ast.parse(source.format("u", "v", "w"))) for source in (one, other)]
    forms = [NormalForm(ast.parse(text).body[0]).text for text in texts]
    assert (forms[0] == forms[1]) == (texts[0] == texts[1])


def test_two_locals_that_are_swapped_are_not_the_same():
    one = "def f():\n    a, b = 1, 2\n    return a - b"
    other = "def f():\n    a, b = 1, 2\n    return b - a"
    assert NormalForm(ast.parse(one).body[0]).text != NormalForm(ast.parse(other).body[0]).text


def test_names_count_where_the_code_can_see_them():
    one, other = (
        NormalForm(ast.parse(f"def f():\n    {name} = 1\n    return locals()").body[0]).text
        for name in ("a", "b")
    )
    assert one != other


# --- random programs ----------------------------------------------------------------------------


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_a_change_concerns_the_steps_that_can_reach_it(folder, seed):
    """Random modules whose functions call each other: compared with a plain search."""
    rng = random.Random(seed)
    functions = [f"f{n}" for n in range(8)]
    home = {name: f"m{rng.randrange(3)}" for name in functions}
    calls = {name: rng.sample(functions, rng.randrange(3)) for name in functions}
    steps = {f"s{n}": rng.sample(functions, rng.randrange(3)) for n in range(3)}

    def sources(changed):
        found = {}
        for module in ("m0", "m1", "m2"):
            lines = [f"import {other}" for other in ("m0", "m1", "m2") if other != module]
            for name in (n for n in functions if home[n] == module):
                called = [n if home[n] == module else f"{home[n]}.{n}" for n in calls[name]]
                extra = "  return 1\n" if name == changed else ""
                lines.append(
                    f"def {name}():\n" + "".join(f"  {c}()\n" for c in called) + extra + "  pass"
                )
            found[f"{module}.py"] = "\n".join(lines) + "\n"
        body = ["import m0, m1, m2", "from flow_core import FlowSpec, step", "class F(FlowSpec):"]
        for step, called in steps.items():
            uses = "".join(f"    {home[c]}.{c}()\n" for c in called)
            body.append(f"  @step\n  def {step}(self):\n{uses}    pass")
        found["flow.py"] = "\n".join(body) + "\n"
        return found

    def reached(step):
        waiting, seen = list(steps[step]), set()
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting.extend(calls[name])
        return seen

    changed = rng.choice(functions)
    before, after = (prints_of(folder, sources(c), list(steps)) for c in (None, changed))
    for step in steps:
        assert (before[step].digest != after[step].digest) == (changed in reached(step))


# --- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value", [1, "a", None, list(range(100_000)), [1, {"a": (2, 3.5)}], {1, 2}, b"x", True, 1j]
)
def test_plain_data_is_text(value):
    assert plain_value(value) is not None


def test_plain_data_is_told_apart():
    values = [1, 1.0, True, "1", [1], (1,), {1}, frozenset({1}), {1: 1}, {"1": 1}, b"1"]
    assert len({plain_value(value) for value in values}) == len(values)
    assert plain_value({"b", "a"}) == plain_value({"a", "b"})


def test_what_is_no_plain_data():
    endless = []
    endless.append(endless)
    for value in (object(), [object()], print, endless, list(range(300_000))):
        assert plain_value(value) is None


PACKAGE = {
    "pkg/__init__.py": "",
    "pkg/common.py": "def twice(x):\n    return x * 2\n",
    "pkg/flows/__init__.py": "",
    "pkg/flows/parts.py": "from ..common import twice\ndef work(x):\n    return twice(x)\n",
    "pkg/flows/mine.py": """
        from flow_core import FlowSpec, step
        import beside
        from .parts import work
        RATE = 3
        class F(FlowSpec):
            @step
            def start(self):
                work(RATE)
            @step
            def end(self):
                from .. import common
                beside.plus(1)
                common.twice(2)
        """,
    "beside.py": "import deeper.inside\ndef plus(x):\n    return deeper.inside.one(x)\n",
    "deeper/__init__.py": "",
    "deeper/inside.py": "def one(x):\n    return x + 1\n",
    "stranger.py": "import beside\n",
}


def write(folder, sources):
    for name, text in sources.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text).lstrip("\n"))
    return str(folder / "pkg/flows/mine.py")


def imported(main):
    start, seen = Module(full_name(main), main), {main}
    names = imported_names([start], {}, seen, statements)
    return outside_modules(names, OwnModules(code_folder(main)), {}, seen, statements)


class TestFlowInAPackage:
    """Relative imports lead on from the full name of the module, whatever it was loaded as."""

    CHANGES = (
        ({"pkg/common.py": "def twice(x):\n    return x * 3\n"}, ["start", "end"]),
        ({"deeper/inside.py": "def one(x):\n    return x + 2\n"}, ["end"]),
    )

    @pytest.mark.parametrize(("change", "steps"), CHANGES)
    def test_in_a_snapshot(self, tmp_path, change, steps):
        def prints():
            modules = [Module("pkg.flows.mine", main), *imported(main)]
            archive = pack({m.file: read_file(m.path)[0] for m in modules}, 10)
            reader = CodeReader(Snapshot(archive, "pkg/flows/mine.py"), "F", ["start", "end"])
            return {step: reader.fingerprint(step).digest for step in ("start", "end")}

        main = write(tmp_path, PACKAGE)
        before = prints()
        write(tmp_path, change)
        after = prints()
        assert [step for step in before if before[step] != after[step]] == steps

    @pytest.mark.parametrize(("change", "steps"), CHANGES)
    @pytest.mark.parametrize("module", ["__main__", "pkg.flows.mine"])
    def test_on_disk(self, tmp_path, change, steps, module):
        def prints():
            reader = CodeReader(Files(main), "F", ["start", "end"], module=module)
            return {step: reader.fingerprint(step).digest for step in ("start", "end")}

        main = write(tmp_path, PACKAGE)
        before = prints()
        write(tmp_path, change)
        after = prints()
        assert [step for step in before if before[step] != after[step]] == steps
