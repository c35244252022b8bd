"""The decorator and its hooks, in the memory of the test's process."""

from __future__ import annotations

import json
import time

import pytest

from flow_cards import CardOptions, card
from flow_cards.storage import cards_below
from flow_core.api import DefinitionError, Message, UsageError


class TestOptions:
    @pytest.mark.parametrize(
        ("values", "what", "hint"),
        [
            ({"id": "my card"}, "Option 'id' cannot be 'my card'", "@card(id='my_card')"),
            ({"id": ""}, "Option 'id' cannot be ''", "@card(id='loss')"),
            ({"type": "../x"}, "'../x' cannot be the type of a card", "@card(type='blank')"),
            ({"timeout": 0}, "Option 'timeout' must be above 0, not 0", "@card(timeout=45.0)"),
            (
                {"refresh_interval": -1},
                "Option 'refresh_interval' must be 0 or more, not -1",
                "@card(refresh_interval=0.5)",
            ),
        ],
    )
    def test_what_is_refused(self, values, what, hint):
        with pytest.raises(DefinitionError) as caught:
            card.make(**values)
        assert (caught.value.what, caught.value.hint) == (what, hint)

    def test_text_form(self):
        options = CardOptions(type="html", id="a", options={"a": [1, "b,c=2"]}, timeout=3)
        assert card.parse(card.to_text(options).partition(":")[2]) == options
        with pytest.raises(UsageError, match="there is no option 'tpye'"):
            card.parse("tpye=html")


FLOW = """
    from flow_core import FlowSpec, card, current, step

    class F(FlowSpec):
        {cards}
        @step
        def start(self):
            self.x = 1
            current.card.append("a **b**")
            self.next(self.end)

        @step
        def end(self):
            pass
"""


def run(flowtester, *cards, **options):
    source = FLOW.format(cards="\n        ".join(cards))
    return flowtester.run(source, plugins=["cards"], **options)


def test_cards_of_runs_whose_store_is_in_memory(flowtester):
    done = run(flowtester, "@card", "@card(type='blank', id='b')")
    assert done.error is None
    found = list(cards_below(done.store, "F", "1"))
    assert [(c.number, c.type, c.id) for c in found] == [(0, "default", ""), (1, "blank", "b")]
    (page, other) = (raw.decode() for raw in done.store.read([c.key for c in found]))
    assert "a <strong>b</strong>" in page
    assert "<strong>" not in other


def test_one_that_fails_there(flowtester):
    done = run(flowtester, "@card(type='nope')")
    assert done.error is None
    (found,) = cards_below(done.store, "F", "1")
    assert found.type == "error"
    said = [e.text for e in done.events if isinstance(e, Message)]
    assert said == [
        "Step 'start': no plugin offers the card type 'nope' (known names: blank, default, error, html)",
        (
            "The card 'nope' of F/1/start/1 could not be made: No plugin offers the card type 'nope' "
            "(installed are blank, default, error, html)"
        ),
        "Card of the run: flow card view F/1",
    ]


def test_with_adds_none_to_a_step_that_has_one_like_it(flowtester):
    done = run(flowtester, "@card", decorators=["card"])
    assert done.error is None
    found = list(cards_below(done.store, "F", "1"))
    assert [(c.place[2], c.type) for c in found] == [("end", "default"), ("start", "default")]
    (page,) = (raw.decode() for raw in done.store.read([found[1].key]))
    assert "a <strong>b</strong>" in page, "the card that the step means is no other than before"


def test_the_end_of_a_run_is_waited_for_beyond_the_budget_of_hooks(tester):
    """Cards take their time; a plugin that hangs after them is interrupted by its own budget."""
    (tester.path / "slow_card.py").write_text(
        "import time\n"
        "__flow__ = {'flow.cards': {'slow': 'slow'}}\n"
        "def slow(task):\n    time.sleep(3)\n    return []\n"
    )
    (tester.path / "hangs.py").write_text(
        "import time\n"
        "from flow_core.api import hookimpl\n"
        "@hookimpl(after=['card'])\n"
        "def flow_run_finished(run):\n    time.sleep(60)\n"
    )
    file = tester.write(
        """
        from flow_core import FlowSpec, card, step

        class F(FlowSpec):
            @card(type="slow")
            @step
            def start(self):
                self.next(self.end)

            @step
            def end(self):
                pass
        """
    )
    started = time.monotonic()
    words = ("-p", "slow_card", "-p", "hangs", "run", str(file))
    done = tester.flow(*words, variables={"FLOW_HOOK_BUDGET": "1"}).check()
    assert time.monotonic() - started < 45, "what hangs was interrupted"
    assert "cards_wait" not in done.stdout + done.stderr
    assert "it took longer than its budget of 1 s" in done.stdout + done.stderr
    assert "hangs" in done.stderr
    assert "'card'" not in done.stderr
    listed = tester.flow("card", "list", "F/1", "--json").check()
    assert [c["type"] for c in json.loads(listed.stdout)] == ["run", "slow"]


def test_an_id_twice(flowtester):
    done = run(flowtester, "@card(id='a')", "@card(id='a')")
    assert "Step 'start' has 2 cards with the id 'a'" in str(done.error)


def test_a_task_without_a_card_has_no_current_card(flowtester):
    done = flowtester.run(
        """
        from flow_core import FlowSpec, card, current, step

        class F(FlowSpec):
            @card
            @step
            def start(self):
                self.next(self.end)

            @step
            def end(self):
                self.has = "card" in current
        """,
        plugins=["cards"],
    )
    assert done.artifact("end", "has") is False


def test_hooks_are_loaded_for_flows_with_cards_only(tester):
    file = tester.write(
        """
        import sys
        from flow_core import FlowSpec, step

        class F(FlowSpec):
            @step
            def start(self):
                print([m for m in sys.modules if m.startswith(("flow_cards", "jinja2"))])
                self.next(self.end)

            @step
            def end(self):
                pass

        if __name__ == "__main__":
            F()
        """
    )
    tester.python(file, "run").check()
    assert tester.left().output("start") == "[]\n"


def test_a_task_with_a_card_imports_nothing_that_draws(tester):
    file = tester.write(
        """
        import sys
        from flow_core import FlowSpec, card, current, step
        from flow_cards import Markdown

        class F(FlowSpec):
            @card
            @step
            def start(self):
                current.card.append(Markdown("a"))
                print([m for m in sys.modules if m in ("jinja2", "markdown_it", "flow_cards.drawing")])
                self.next(self.end)

            @step
            def end(self):
                pass

        if __name__ == "__main__":
            F()
        """
    )
    tester.python(file, "run").check()
    assert tester.left().output("start") == "[]\n"
