"""Cards for everybody: axe-core finds nothing serious, and the keyboard reaches what the mouse does."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import pytest

from flow_cards import (
    Component,
    Error,
    Facts,
    HtmlPage,
    Image,
    Markdown,
    ProgressBar,
    PythonCode,
    Section,
    Table,
    ValueBox,
    render,
)
from flow_cards.components import BUILT_IN, THEMES
from flow_cards.run_card import run as run_card
from flow_cards.testing import card_run, card_task
from flow_cards.types import default, error
from flow_core.api import AttemptRecord, AttemptState, Failure

TEXT = """# Result

A [link](https://example.com) in a line, `code`, **strong**, ~~gone~~.

> said by somebody

* one
* two

| n | x |
|--:|---|
| 1 | a |

```
some code
```
"""
PICTURE = b"<svg xmlns='http://www.w3.org/2000/svg' width='40' height='20'><rect width='40' height='20'/></svg>"


def examples() -> Iterator[Component]:
    """Yield every component, some of them in several forms."""
    yield Markdown(TEXT)
    yield Table([[n, f"name {n}", n / 7] for n in range(60)], ["n", "name", "x"], "60 rows")
    yield Table([[ProgressBar(10, value=3), "text"]], ["how far", "what"])
    yield Table([[1, 2]])
    yield Table()
    yield ProgressBar(max=10, value=3, label="Rows", unit="rows", metadata="goes on")
    for theme in THEMES:
        yield ValueBox("accuracy", 0.93, "of the test set", theme, "+3 % since yesterday")
    yield Facts({"Machine": "m1", "Peak memory": "345 MB"})
    yield Image(PICTURE, "a black box")
    yield Image(b"no picture")
    yield PythonCode(code_string="def f(x):\n    return x + 1\n" + "# a long line " * 40)
    yield Error(ValueError("no good"))
    yield Section("Outer", [Markdown("text"), Section("Inner", [Markdown("deeper")])])
    for kind in BUILT_IN.values():
        needed = [p for p in inspect.signature(kind).parameters.values() if p.default is p.empty]
        yield kind(**{p.name: "x" for p in needed})


def run_default() -> str:
    failure = Failure("error", "ValueError", "no good", "Traceback …\nValueError: no good")
    task = card_task(
        {"numbers": list(range(20)), "text": "x" * 300, "table": {"a": 1}},
        {"rate": 0.1},
        state="failed",
        failure=failure,
        attempt=1,
        tags=("a", "b"),
        foreach=(("start", 3, 10),),
        logs={"stdout": "line\n" * 100, "stderr": "warning"},
        flow_doc="What the flow does.",
        step_doc="What the **step** does.",
        components=(Markdown("# Seen"), ValueBox("loss", 0.1)),
    )
    return render(default, task)


def run_run() -> str:
    def attempts() -> Iterator[AttemptRecord]:
        for task in range(1, 100):
            state = AttemptState.FAILED if task == 50 else AttemptState.SUCCEEDED
            step = "start" if task == 1 else "work"
            record = AttemptRecord("TrainFlow", "3", step, task, 0, state)
            yield record._replace(started_at=100.0 + task, finished_at=103.0 + task)

    graph = {
        "end": "end",
        "steps": {
            "start": {"kind": "foreach", "foreach": "x", "targets": ["work"], "doc": "Begin."},
            "work": {"kind": "linear", "targets": ["end"], "parents": ["start"]},
            "end": {"kind": "end", "joins": True, "targets": [], "parents": ["work"]},
        },
    }
    run = card_run(
        {"table": [{"n": n, "x": n / 7} for n in range(30)], "text": "long " * 300},
        {"rate": 0.1, "file": "a,b\n" * 3000},
        graph=graph,
        attempts=tuple(attempts()),
        tags=("nightly",),
    )
    return render(run_card, run)


PAGES = {
    "default": run_default,
    "run": run_run,
    "every component": lambda: render(lambda task: [*examples()], card_task()),
    "error": lambda: render(
        error, card_task(options={"title": "No card", "text": "Traceback\n" * 80})
    ),
    "html": lambda: render(
        lambda task: HtmlPage("<!doctype html><p>theirs"),
        card_task(components=(Markdown("added"),)),
    ),
}


@pytest.mark.parametrize("page", PAGES)
def test_axe_finds_nothing_serious(axe, page):
    assert axe(PAGES[page]()) == {}


# Every element that does something when it is clicked, in the order of the document.
CONTROLS = """() => [...document.querySelectorAll("a[href], button, input, select, summary, [tabindex]")]
  .filter((one) => one.tabIndex >= 0 && !one.disabled && one.checkVisibility())
  .map((one) => (one.dataset.control = controls++, one.dataset.control))"""
FOCUSED = """() => {
  const one = document.activeElement;
  if (one === document.body) return null;
  const style = getComputedStyle(one);
  const ring = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 1;
  return [one.dataset.control, ring || style.boxShadow !== "none", one.outerHTML.slice(0, 100)];
}"""


def test_the_keyboard_reaches_each_control_and_shows_where_it_is(look):
    page = look(PAGES["every component"]()).page
    page.evaluate("window.controls = 0")
    controls = page.evaluate(CONTROLS)
    reached: dict[str, Any] = {}
    for _ in range(3 * len(controls) + 10):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        if focused is None:
            break
        number, ring, html = focused
        assert ring, f"no focus is seen: {html}"
        reached[number] = html
    assert [number for number in controls if number not in reached] == []
    assert len(controls) >= 5
