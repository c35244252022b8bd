"""The graph: an immutable value read from source."""

import pytest

FLOW = '''
from flow_core import FlowSpec, step
class F(FlowSpec):
    """A flow.

        Deeper.
    Back.
    """
    @step
    def start(self):
        """First.
        Second line."""
        self.items = [1]
        self.next(self.work, foreach="items")
    @step
    def work(self): self.next(self.a, self.b)
    @step
    def a(self): self.next(self.j)
    @step
    def b(self): self.next(self.j)
    @step
    def j(self, inputs): self.next(self.k)
    @step
    def k(self, inputs): self.next(self.end)
    @step
    def end(self): pass
'''


@pytest.fixture
def graph(flowtester):
    return flowtester.session(flowtester.load(FLOW)).graph


def test_every_node_knows_its_place_and_its_way(graph):
    assert (graph.name, graph.line, graph.doc) == ("F", 2, "A flow.\n\n    Deeper.\nBack.")
    assert [n.name for n in graph] == ["start", "work", "a", "b", "j", "k", "end"]
    start = graph["start"]
    assert (start.kind, start.targets, start.foreach) == ("foreach", ("work",), "items")
    assert (start.line, start.next_line) == (9, 13)
    assert start.doc == "First.\nSecond line."
    assert start.file.endswith("flow.py")
    assert [n.kind for n in graph] == [
        "foreach",
        "split",
        "linear",
        "linear",
        "linear",
        "linear",
        "end",
    ]
    assert [n.joins for n in graph] == [False, False, False, False, True, True, False]
    assert graph["j"].parents == ("a", "b")
    assert "work" in graph
    assert "nothing" not in graph
    assert len(graph) == 7


def test_order_puts_parents_first(graph):
    names = [n.name for n in graph.order()]
    assert names == ["start", "work", "a", "b", "j", "k", "end"]


def test_it_cannot_be_changed(graph):
    with pytest.raises(TypeError):
        graph.nodes["x"] = graph["start"]
    with pytest.raises(AttributeError):
        graph["start"].kind = "end"


def test_json(graph):
    import json

    data = json.loads(json.dumps(graph.to_json()))
    assert data["steps"]["start"]["foreach"] == "items"
    assert "problems" not in data["steps"]["start"]
    assert (data["start"], data["end"], data["doc"][:7]) == ("start", "end", "A flow.")


def test_a_file_that_was_written_again_is_read_again(flowtester):
    flowtester.load(FLOW)
    assert "work" in flowtester.session(flowtester.load(FLOW)).graph
    other = FLOW.replace("self.a, self.b", "self.b, self.a")
    assert flowtester.session(flowtester.load(other)).graph["work"].targets == ("b", "a")


def test_steps_of_base_classes_in_other_files_keep_their_place(flowtester):
    flowtester.write(FLOW.replace("class F", "class Base"), "base_of_flow.py")
    flow = flowtester.load(
        "from base_of_flow import Base\nfrom flow_core import step\nclass F(Base):\n"
        "    @step\n    def a(self): self.next(self.j)\n"
    )
    graph = flowtester.session(flow).graph
    assert graph["start"].file.endswith("base_of_flow.py")
    assert graph["a"].file.endswith("flow.py")
    assert (graph["a"].line, graph.line) == (5, 3)
