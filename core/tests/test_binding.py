"""What stands behind flow objects: inputs, merging, laziness."""

import pytest

from flow_core.errors import MergeError
from flow_core.hookspecs import hookimpl
from flow_core.records import blob_key
from flow_core.testing import MemoryStore

HEAD = "from flow_core import FlowSpec, step, Parameter\n"
BIG = "list(range(9000))"


def branches(a="pass", b="pass", join="pass", start="pass", before=""):
    """Source of a flow whose steps 'a' and 'b' are joined."""

    def indented(text):
        return "\n        ".join(text.splitlines())

    return f"""{HEAD}
{before}
class F(FlowSpec):
    alpha = Parameter("alpha", default=7)
    @step
    def start(self):
        {indented(start)}
        self.next(self.a, self.b)
    @step
    def a(self):
        {indented(a)}
        self.next(self.join)
    @step
    def b(self):
        {indented(b)}
        self.next(self.join)
    @step
    def join(self, inputs):
        {indented(join)}
        self.next(self.end)
    @step
    def end(self): pass
"""


def merged(flowtester, call, **steps):
    """Run with ``call`` in the join; return its artifacts, or what went wrong as text."""
    caught = (
        f"try:\n    {call}\nexcept Exception as error:\n"
        "    self.failed = (type(error).__name__, str(error), getattr(error, 'artifact_names', None))"
    )
    outcome = flowtester.run(branches(**{"join": caught, **steps}))
    assert outcome.error is None, outcome.error
    return outcome.artifacts("join")[0]


class CountingStore(MemoryStore):
    """Counts what is read and written."""

    def __init__(self):
        super().__init__()
        self.read_keys = []
        self.written = []

    def read(self, keys):
        self.read_keys.extend(keys)
        return super().read(keys)

    def write(self, items, *, create_only=False):
        items = list(items)
        self.written.extend(key for key, _ in items)
        return super().write(items, create_only=create_only)

    def blobs_read(self):
        return [key for key in self.read_keys if key.startswith("blobs/")]


class TestInputs:
    def test_they_are_a_sequence(self, flowtester):
        outcome = flowtester.run(
            HEAD
            + """
class F(FlowSpec):
    @step
    def start(self):
        self.items = list("abcd")
        self.next(self.work, foreach="items")
    @step
    def work(self):
        self.got = self.input
        self.next(self.join)
    @step
    def join(self, inputs):
        self.length = len(inputs)
        self.single = inputs[0].got + inputs[-1].got
        self.sliced = [i.got for i in inputs[1:3]]
        self.looped = [i.got for i in inputs]
        self.reverse = [i.got for i in inputs[::-1]]
        self.indices = [i.index for i in inputs]
        self.same = inputs[0] is inputs[0]
        try: inputs[4]
        except IndexError: self.beyond = True
        try: inputs.work
        except AttributeError as error: self.many = str(error)
        try: inputs.wrk
        except AttributeError as error: self.none = str(error)
        try: inputs[0].got = 1
        except AttributeError as error: self.assigned = str(error)
        try: del inputs[0].got
        except AttributeError as error: self.deleted = str(error)
        self.text = repr(inputs)
        self.empty = hasattr(self, "got")
        self.next(self.end)
    @step
    def end(self): pass
"""
        )
        assert outcome.error is None, outcome.error
        found = outcome.artifacts("join")[0]
        assert found["length"] == 4
        assert found["single"] == "ad"
        assert found["sliced"] == ["b", "c"]
        assert found["looped"] == list("abcd")
        assert found["reverse"] == list("dcba")
        assert found["indices"] == [0, 1, 2, 3]
        assert found["beyond"] is True
        assert found["many"] == "inputs.work is not one branch but 4: loop over 'inputs'"
        assert found["none"] == "No branch ends with step 'wrk' (did you mean 'work'?)"
        assert "elements of 'inputs' are read-only; assign to self.got" in found["assigned"]
        assert "cannot be deleted" in found["deleted"]
        assert found["text"] == "<inputs: 4 from work>"
        assert found["empty"] is False

    @pytest.mark.parametrize("name", ["count", "owner", "manifests", "keys"])
    def test_a_step_may_have_any_name(self, flowtester, name):
        source = branches(a="self.x = 5", join="self.x = inputs.a.x")
        outcome = flowtester.run(
            source.replace("self.a,", f"self.{name},")
            .replace("def a(", f"def {name}(")
            .replace("inputs.a.", f"inputs.{name}.")
        )
        assert outcome.error is None, outcome.error
        assert outcome.artifact("end", "x") == 5

    def test_an_element_lives_only_as_long_as_it_is_held(self, flowtester):
        check = """
import gc
first = inputs[0]
assert inputs[0] is first
for element in inputs:
    RESULT.append(weakref.ref(element))
del element, first
gc.collect()
self.alive = sum(r() is not None for r in RESULT)
"""
        outcome = flowtester.run(branches(join=check.strip(), before="import weakref\nRESULT = []"))
        assert outcome.error is None, outcome.error
        assert outcome.artifact("join", "alive") == 0

    def test_isinstance_sequence(self, flowtester):
        outcome = flowtester.run(
            branches(
                before="from collections.abc import Sequence",
                join="self.is_sequence = isinstance(inputs, Sequence)",
            )
        )
        assert outcome.artifact("join", "is_sequence") is True

    def test_parameters_are_on_self_and_on_inputs(self, flowtester):
        outcome = flowtester.run(branches(join="self.x = (self.alpha, inputs.a.alpha)"))
        assert outcome.artifact("end", "x") == (7, 7)

    def test_an_artifact_of_the_branches_is_not_on_self(self, flowtester):
        found = merged(flowtester, "self.x", a="self.x = 1", b="self.x = 1")
        assert "In a join, artifacts of the branches are on 'inputs'." in found["failed"][1]


class TestMerge:
    def test_takes_what_all_agree_on(self, flowtester):
        found = merged(
            flowtester,
            "self.merge_artifacts(inputs)",
            start="self.common = [1, 2]",
            a="self.only_a = 1\nself.same = (3,)",
            b="self.same = (3,)",
        )
        assert found == {"common": [1, 2], "only_a": 1, "same": (3,)}

    def test_exclude_and_names_set_already(self, flowtester):
        found = merged(
            flowtester,
            "self.x = 'mine'; self.merge_artifacts(inputs, exclude=['y'])",
            a="self.x = 1\nself.y = 1\nself.z = 1",
            b="self.x = 2\nself.y = 2",
        )
        assert found == {"x": "mine", "z": 1}

    @pytest.mark.parametrize("include", ["['z']", "('z',)", "'z'"])
    def test_include_takes_only_these(self, flowtester, include):
        found = merged(
            flowtester,
            f"self.merge_artifacts(inputs, include={include})",
            a="self.x = 1\nself.z = [1]",
            b="self.x = 2",
        )
        assert found == {"z": [1]}

    def test_a_name_alone_is_one_name(self, flowtester):
        found = merged(
            flowtester, "self.merge_artifacts(inputs, exclude='xy')", a="self.xy = 1\nself.x = 3"
        )
        assert found == {"x": 3}

    @pytest.mark.parametrize(
        ("one", "other", "agree"),
        [
            ("{'a': 1, 'b': 2}", "{'b': 2, 'a': 1}", True),
            ("{8, 0}", "{0, 8}", True),
            ("frozenset([8, 0])", "frozenset([0, 8])", True),
            ("{'a': 1}", "{'a': 2}", False),
            ("{'a': 1, 'b': 2}", "{'b': 2, 'a': True}", False),
            ("{1, 2}", "{True, 2}", False),
            ("{8, 0}", "frozenset([0, 8])", False),
            ("[8, 0]", "[0, 8]", False),
            ("{1: np.arange(3), 2: 0}", "{2: 0, 1: np.arange(3)}", False),
        ],
    )
    def test_sets_and_dicts_are_equal_in_any_order(self, flowtester, one, other, agree):
        found = merged(
            flowtester,
            "self.merge_artifacts(inputs)",
            a=f"self.x = {one}",
            b=f"self.x = {other}",
            before="import numpy as np",
        )
        assert ("x" in found) == agree
        assert ("failed" not in found) == agree

    def test_differing_values(self, flowtester):
        found = merged(
            flowtester,
            "self.merge_artifacts(inputs)",
            a="self.x = 1\nself.y = 1",
            b="self.x = 2\nself.y = 3",
        )
        kind, text, names = found["failed"]
        assert kind == "MergeError"
        assert names == ("x", "y")
        lines = text.splitlines()
        assert lines[0] == "merge_artifacts: the branches have different values of 'x', 'y'"
        assert "flow.py:" in lines[1]
        assert "step 'join'" in lines[1]
        assert lines[2] == (
            "  try:   set self.x = … before merging, or leave it out: exclude=['x', 'y']"
        )

    def test_included_but_nowhere(self, flowtester):
        found = merged(
            flowtester, "self.merge_artifacts(inputs, include=['resul'])", a="self.result = 1"
        )
        kind, text, names = found["failed"]
        assert (kind, names) == ("MergeError", ("resul",))
        assert "no branch has 'resul'" in text
        assert "did you mean 'result'?" in text

    @pytest.mark.parametrize(
        ("call", "words"),
        [
            ("self.merge_artifacts(inputs, include=['x'], exclude=['y'])", "not both"),
            ("self.merge_artifacts([1])", "works in a join only"),
            ("inputs[0].merge_artifacts(inputs)", "on an element of 'inputs'"),
            ("inputs[0].next(self.end)", "next() was called on an element of 'inputs'"),
        ],
    )
    def test_wrong_calls(self, flowtester, call, words):
        assert words in merged(flowtester, call)["failed"][1]

    def test_only_in_a_join(self, flowtester):
        outcome = flowtester.run(branches(a="self.merge_artifacts([])"))
        assert "works in a join only" in outcome.manifests("a")[0].failure.message

    def test_equal_flow_classes_instances_agree(self, flowtester):
        found = merged(
            flowtester,
            "self.merge_artifacts(inputs); self.x = self.p.x",
            before="class P:\n    def __init__(self, x): self.x = x",
            start="self.p = P(3)",
            a="self.p",
            b="self.p",
        )
        assert found["x"] == 3

    def test_names_are_sorted_without_duplicates(self):
        assert MergeError("…", ["b", "a", "b"]).artifact_names == ("a", "b")


class TestLaziness:
    def test_what_a_step_does_not_touch_is_never_loaded(self, flowtester):
        store = CountingStore()
        outcome = flowtester.run(
            branches(
                start=f"self.big = {BIG}",
                a="self.other = 1",
                join="self.merge_artifacts(inputs)\nself.n = 1",
            ),
            providers={("store", "local"): store},
        )
        assert outcome.error is None
        assert store.blobs_read() == []
        assert outcome.artifact("end", "big") == list(range(9000))

    def test_what_was_read_but_not_changed_is_not_written_again(self, flowtester):
        store = CountingStore()
        outcome = flowtester.run(
            branches(start=f"self.big = {BIG}", a="self.n = len(self.big)"),
            providers={("store", "local"): store},
        )
        assert outcome.error is None
        key = blob_key(outcome.manifests("start")[0].artifacts["big"].hash)
        assert store.written.count(key) == 1
        assert len([k for k in store.written if k.startswith("blobs/")]) == 2  # and the code
        assert (
            outcome.manifests("a")[0].artifacts["big"]
            == (outcome.manifests("start")[0].artifacts["big"])
        )

    def test_a_parameter_is_read_once_per_task(self, flowtester):
        store = CountingStore()
        outcome = flowtester.run(
            branches(join="self.same = self.alpha is self.alpha"),
            parameters={"alpha": 3},
            providers={("store", "local"): store},
        )
        assert outcome.artifact("end", "same") is True

    def test_a_manifest_that_is_gone_is_named(self, flowtester):
        store = MemoryStore()

        class Thief:
            @hookimpl
            def flow_task_finished(self, task, manifest):
                if task.step == "a":
                    store.delete([manifest.key])

        outcome = flowtester.run(
            branches(join="[i.n for i in inputs]"),
            providers={("store", "local"): store},
            modules=[Thief()],
        )
        found = outcome.manifests("join")[0].failure
        assert found.type == "flow_core.errors.IntegrityError"
        assert found.message == (
            "The record of a finished task is missing: the file was removed after the task had ended"
        )
        assert "runs/F/1/a/2/0/manifest" in found.traceback
