"""The conformance suite for types of cards: ``pip install 'flow-cards[testing]'``, and subclass it.

    class TestConfusion(CardSuite):
        card = "confusion"
        artifacts = {"matrix": [[5, 1], [0, 7]], "classes": ["cat", "dog"]}

`card_task` makes the data of a task for tests of your own; `flow_cards.render` draws it.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
import re
import selectors
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from html.parser import HTMLParser
from importlib import resources
from typing import Any

try:
    import pytest
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"flow_cards.testing needs pytest, which is not installed ({error}): "
        "pip install 'flow-cards[testing]'",
        name=error.name,
    ) from None

from flow_cards.authored import TAGS
from flow_cards.children import Children, Outcome
from flow_cards.codec import decode, encode
from flow_cards.components import Component, Markdown, Table
from flow_cards.contract import GROUP, LARGE, CardRun, CardTask, CardType, Value
from flow_cards.drawing import render, script
from flow_cards.markdown import ADDRESS
from flow_cards.previews import preview
from flow_core.api import Failure, installed

CANARY = "canary7f3a"
"""Stands in each hostile text, so that it can be found in a page."""

HOSTILE: Sequence[str] = (
    # HTML
    f"<script>alert('{CANARY}')</script>",
    f"</script><script>alert('{CANARY}')</script>",
    f"<img src=x onerror=alert('{CANARY}')>",
    f"<svg/onload=alert('{CANARY}')>",
    f"<svg><animate onbegin=alert('{CANARY}') attributeName=x dur=1s></svg>",
    f"<svg><foreignObject><iframe srcdoc='<script>parent.alert()</script>{CANARY}'>",
    f"<math><mtext><style><img src=x onerror=alert('{CANARY}')></style></mtext></math>",
    f"<math href='javascript:alert(1)'>{CANARY}</math>",
    f'"><iframe src="javascript:alert(\'{CANARY}\')"></iframe>',
    f"' onmouseover='alert(\"{CANARY}\")",
    f'" autofocus onfocus="alert(\'{CANARY}\')" tabindex="0',
    f"x onpointerenter=alert('{CANARY}') y",
    f"` onerror=`alert('{CANARY}')`",
    f"<details open ontoggle=alert('{CANARY}')><summary>x</summary></details>",
    f"<input autofocus onfocus=alert('{CANARY}')>",
    f"<video><source onerror=alert('{CANARY}')></video>",
    f"<img srcset='https://attacker.example/{CANARY}.png 1x'>",
    f"<object data='https://attacker.example/{CANARY}'></object><embed src='{CANARY}'>",
    f"<template><script>alert('{CANARY}')</script></template>",
    f"<div><template shadowrootmode=open><script>alert('{CANARY}')</script></template></div>",
    f"<noscript><p title='</noscript><img src=x onerror=alert(1)>'>{CANARY}",
    f"<textarea></textarea><xmp></xmp><plaintext>{CANARY}",
    f"<title></title></head><body onload=alert('{CANARY}')>",
    f"<meta http-equiv=refresh content='0;url=https://attacker.example/{CANARY}'>",
    f"<base href=https://attacker.example/{CANARY}/>",
    f"<form action=https://attacker.example/><input name={CANARY}></form>",
    f"<a href='javascript:alert(1)' ping='https://attacker.example/'>{CANARY}</a>",
    f"<table><tr><td>{CANARY}</table></table></main></body></html>",
    f"<!-- {CANARY}",
    f"--><b>{CANARY}</b>",
    f"<!--><script>alert('{CANARY}')</script>-->",
    f"]]><b>{CANARY}</b>",
    f"<![CDATA[<b>{CANARY}</b>]]><?php {CANARY} ?>",
    f"&lt;b&gt;{CANARY}&#60;script&#62;",
    f"&#x3c;img src=x onerror=alert(1)&#x3e; {CANARY}",
    # scripts, data in them, templates
    f"\"}}</script><script>alert('{CANARY}')</script>{{\"",
    f"'-alert('{CANARY}')-'\\'//",
    f"${{alert('{CANARY}')}}",
    f"{{{{ 7*7 }}}}{{% for x in () %}}{CANARY}",
    f"{{{{ ''.__class__.__mro__ }}}}<%= {CANARY} %>#{{7*7}}",
    f"__proto__ constructor toString {CANARY}",
    # styles
    f"<style>@import url(https://attacker.example/{CANARY}.css)</style>",
    f"</style><link rel=stylesheet href=https://attacker.example/{CANARY}>",
    f"red; background: url(https://attacker.example/{CANARY}.png)",
    f"x}} body {{ background: url('https://attacker.example/{CANARY}.png') }}",
    # Markdown
    f"[{CANARY}](javascript:alert(1))",
    f"[{CANARY}](java\nscript:alert(1))",
    f"[{CANARY}](\x01javascript:alert(1)) [{CANARY}](JaVaScRiPt&colon;alert(1))",
    f"[{CANARY}](data:text/html;base64,PHNjcmlwdD4=)",
    f"[{CANARY}](vbscript:x) [{CANARY}](file:///etc/passwd)",
    f"[{CANARY}][1]\n\n[1]: javascript:alert(1) 'onload=alert(1)'",
    f"[{CANARY}](https://attacker.example/ '\" onmouseover=\"alert(1)')",
    f"<javascript:alert('{CANARY}')> <https://attacker.example/{CANARY}>",
    f"![{CANARY}](https://attacker.example/pixel.png)",
    f"![{CANARY}](//attacker.example/pixel.png) ![{CANARY}](pixel.png)",
    f"![{CANARY}](data:text/html;base64,PHNjcmlwdD4=)",
    f"![{CANARY}](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9ImFsZXJ0KDEpIi8+)",
    f"[![{CANARY}](https://attacker.example/a.png)](javascript:alert(1))",
    f"![![{CANARY}](https://attacker.example/b.png)](data:image/png;base64,AAAA)",
    f'![{CANARY}" onerror="alert(1)](data:image/png;base64,AAAA)',
    f"<div>\n\n<script>alert('{CANARY}')</script>\n\n</div>",
    f"``` {CANARY}\n~~~\n<script>x</script>",
    f"```<script>alert('{CANARY}')</script>\n```",
    f"|{CANARY}|<b>|\n|:-:|--:|\n|<script>alert(1)</script>|![x](//attacker.example/c)|",
    # letters
    f"\x1b[31m{CANARY}\x1b[0m\x1b]0;title\x07",
    f"{CANARY}\x00\x0b\ud800\uffff\u202e\u2028",
    f"\udfff\ud83d{CANARY}\u2029\u2066\u2067\u200f\ufeff\x85",
    f"\uff1cscript\uff1ealert(1)\uff1c/script\uff1e {CANARY}",
    f"{CANARY}" + "e\u0301\u0336" * 200,
    f"{CANARY}" + "<" * 1500,
)
"""Texts that try to be more than text."""

PAGE_LIMIT = 2_000_000
"""Bytes that a page may have over what the artifacts of its task hold."""

_TAGS = frozenset(
    [
        "a",
        "b",
        "blockquote",
        "body",
        "br",
        "code",
        "dd",
        "del",
        "details",
        "div",
        "dl",
        "dt",
        "em",
        "figcaption",
        "figure",
        "g",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "head",
        "header",
        "hr",
        "html",
        "iframe",
        "img",
        "li",
        "line",
        "main",
        "meta",
        "ol",
        "p",
        "path",
        "polyline",
        "pre",
        "progress",
        "rect",
        "script",
        "section",
        "span",
        "strong",
        "style",
        "summary",
        "s",
        "summary",
        "svg",
        "table",
        "tbody",
        "td",
        "text",
        "th",
        "thead",
        "title",
        "tr",
        "ul",
    ]
)
_VOID = frozenset({"br", "col", "hr", "img", "meta", "wbr"})
_LOADS = frozenset(
    {"src", "srcset", "poster", "data", "background", "action", "formaction", "ping"}
)


def card_task(
    artifacts: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    **facts: Any,
) -> CardTask:
    """Return the data of a task that never ran: what a type of cards is given.

    Args:
        artifacts, parameters: values by name.
        facts: other fields of `CardTask`: ``options={"title": "x"}``, ``failure=…``.

    Since 0.1.
    """
    given: dict[str, Any] = {
        "flow": "TrainFlow",
        "run": "3",
        "step": "train",
        "task": 7,
        "started": 1_795_000_000.0,
        "finished": 1_795_000_012.5,
        "cpu_seconds": 11.2,
        "peak_memory": 345_000_000,
        "host": "machine",
        "user": "ada",
        "artifacts": values(artifacts or {}),
        "parameters": values(parameters or {}),
        "own": tuple(artifacts or ()),
        **facts,
    }
    return CardTask(**given)


def card_run(
    artifacts: Mapping[str, Any] | None = None,
    parameters: Mapping[str, Any] | None = None,
    **facts: Any,
) -> CardRun:
    """Return the data of a run that never was: what a type of cards of runs is given.

    Args:
        artifacts, parameters: values by name; the artifacts are those of its end step.
        facts: other fields of `CardRun`: ``attempts=…``, ``failures=…``.

    Since 0.1.
    """
    given: dict[str, Any] = {
        "flow": "TrainFlow",
        "run": "3",
        "user": "ada",
        "host": "machine",
        "started": 1_795_000_000.0,
        "finished": 1_795_000_012.5,
        "artifacts": values(artifacts or {}),
        "parameters": values(parameters or {}),
        "own": tuple(artifacts or ()),
        **facts,
    }
    return CardRun(**given)


def values(given: Mapping[str, Any]) -> dict[str, Value]:
    """Return artifacts, or parameters, with these values."""
    return {
        name: Value(
            name, type(value).__qualname__, len(preview(value)), functools.partial(_same, value)
        )
        for name, value in given.items()
    }


def _same(value: Any) -> Any:
    return value


def _raise(error: BaseException) -> Any:
    raise error


class Page(HTMLParser):
    """What stands in a page of HTML.

    Attributes:
        tags: each tag with its attributes, in order.
        text: all text that is seen.
        problems: what a page may not have: tags that run or load something, tags without an end.
    """

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.problems: list[str] = []
        self._seen: list[str] = []
        self._open: list[str] = []
        self._scripts: list[tuple[str, str]] = []  # type, text
        self.feed(html)
        self.close()
        self.problems += [problem for one in self._scripts if (problem := self._script(*one))]
        self.problems += [f"<{tag}> has no end" for tag in self._open]

    @property
    def text(self) -> str:
        """All text that is seen, without what was left out of it."""
        return "".join(self._seen)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag."""
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append((tag, attributes))
        if tag not in _TAGS | TAGS:
            self.problems.append(f"the tag <{tag}>")
        for name, value in attributes.items():
            self._check(tag, name, value)
        if tag not in _VOID:
            self._open.append(tag)
        if tag == "script":
            self._scripts.append((attributes.get("type", ""), ""))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag that is written ``<br />``, or ``<path />``."""
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        """Note the end of a tag."""
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"</{tag}> ends nothing")

    def handle_data(self, data: str) -> None:
        """Note text."""
        if self._open[-1:] == ["script"]:
            kind, text = self._scripts.pop()
            self._scripts.append((kind, text + data))
        elif self._open[-1:] != ["style"]:
            self._seen.append(data)
        elif re.search(r"@import|url\(|expression|</", data):
            self.problems.append(f"a style that loads something: {data:.80}")

    def handle_comment(self, data: str) -> None:
        """Note a comment: ours has none."""
        self.problems.append(f"a comment: {data:.80}")

    def _script(self, kind: str, text: str) -> str:
        """Return what is wrong with a script: it is data, or the policy names it."""
        if kind == "application/json":
            json.loads(text)
            return "data that is HTML, too" if re.search("[<>&]", text) else ""
        policies = [a.get("content", "") for t, a in self.tags if a.get("http-equiv")]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        allowed = any(f"'sha256-{digest}'" in policy for policy in policies)
        if any("'unsafe-inline'" in policy for policy in policies):  # of a page with a frame
            allowed = text in _own_scripts()
        return "" if allowed else f"a script that the policy does not name: {text:.80}"

    def _check(self, tag: str, name: str, value: str) -> None:
        plain = re.sub(r"[\x00-\x20]", "", value).lower()
        if name.startswith("on"):
            self.problems.append(f"<{tag} {name}=…> runs something")
        elif name in _LOADS and not (tag == "img" and plain.startswith("data:image/")):
            self.problems.append(f"<{tag} {name}={value:.60}> loads something")
        elif name == "href" and not ADDRESS.match(plain):
            self.problems.append(f"<{tag} href={value:.60}> is no address")
        elif name == "style":
            self.problems.append(f"<{tag} style=…>, which the page's policy forbids")


def _own_scripts() -> set[str]:
    folder = resources.files("flow_cards") / "scripts"
    return {script(file.name.removesuffix(".js")) for file in folder.iterdir()}


@pytest.mark.usefixtures("no_leaks")
class CardSuite:
    """What every type of cards must do. Since 0.1.

    Attributes:
        card: the name of the type, as in ``@card(type=…)``; or the function itself.
        artifacts: artifacts of a task that it is made for, by name.
        options: options that it needs.
        seconds: how long it may take.
    """

    card: Any = ""
    artifacts: Mapping[str, Any] = {}
    options: Mapping[str, Any] = {}
    seconds: float = 10.0

    # --- helpers ---

    def make(self) -> CardType:
        """Return the function."""
        chosen = vars(type(self)).get("card", self.card)
        if isinstance(chosen, staticmethod):
            chosen = chosen.__func__
        if isinstance(chosen, str):
            assert chosen, "the subclass of CardSuite must say its card"
            loaded: CardType = installed().load(GROUP, chosen)
            return loaded
        found: CardType = chosen
        return found

    def task(self, **facts: Any) -> CardTask:
        """Return the data of a task as the card is made for."""
        artifacts = facts.pop("artifacts", self.artifacts)
        return card_task(artifacts, **{"options": self.options, **facts})

    def draw(self, task: CardTask) -> str:
        """Return the page; fail when that takes too long."""
        began = time.monotonic()
        html = render(self.make(), task)
        took = time.monotonic() - began
        assert took < self.seconds, f"it took {took:.1f} s"
        return html

    def check(self, html: str) -> Page:
        """Assert that a page is sound, and return what stands in it."""
        page = Page(html)
        assert not page.problems, page.problems
        policy = [a["content"] for t, a in page.tags if a.get("http-equiv")]
        assert policy, "the page has no policy"
        assert "default-src 'none'" in policy[0]
        return page

    def check_hostile(self, text: str, task: CardTask) -> Page:
        """Assert that the page of a task which holds a hostile text is sound."""
        try:
            return self.check(self.draw(task))
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} with {text!r}: {error}") from error

    # --- what it is ---

    def test_is_a_function_that_says_what_it_shows(self) -> None:
        make = self.make()
        assert callable(make)
        assert (getattr(make, "__doc__", None) or "").strip(), "its docstring says what it shows"

    def test_draws_a_task(self) -> None:
        page = self.check(self.draw(self.task()))
        assert "train" in page.text

    def test_gives_the_same_for_the_same_data(self) -> None:
        assert self.draw(self.task()) == self.draw(self.task())

    def test_changes_nothing_outside(self, tmp_path: Any, monkeypatch: Any, capfd: Any) -> None:
        monkeypatch.chdir(tmp_path)
        before = dict(os.environ)
        self.draw(self.task())
        assert dict(os.environ) == before, "it changes variables"
        assert os.listdir(tmp_path) == [], "it leaves files behind"
        assert "".join(capfd.readouterr()) == "", "it prints"

    def test_does_not_change_its_data(self) -> None:
        artifacts = dict(self.artifacts)
        before = repr(artifacts)
        self.draw(self.task(artifacts=artifacts))
        assert repr(artifacts) == before

    def test_is_a_document_that_needs_nothing_else(self) -> None:
        html = self.draw(self.task())
        assert html.startswith("<!doctype html>")
        assert '<meta charset="utf-8">' in html
        assert html.isprintable() or not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", html)

    # --- every kind of task ---

    def test_draws_a_task_without_artifacts(self) -> None:
        self.check(self.draw(self.task(artifacts={})))

    def test_draws_a_failed_task(self) -> None:
        failure = Failure("error", "ValueError", "no good", "Traceback …\nValueError: no good")
        self.check(self.draw(self.task(state="failed", failure=failure, artifacts={})))

    def test_draws_a_task_that_still_runs(self) -> None:
        """As ``flow card server`` does: there are no artifacts yet."""
        self.check(self.draw(self.task(state="running", artifacts={}, finished=0.0)))

    def test_draws_a_task_that_was_killed(self) -> None:
        failure = Failure("killed", "", "killed by SIGKILL")
        self.check(
            self.draw(self.task(state="failed", failure=failure, artifacts={}, finished=0.0))
        )

    def test_draws_a_task_of_which_hardly_anything_is_known(self) -> None:
        task = CardTask("F", "1", "start", 1, options=self.options)
        self.check(self.draw(task))

    def test_draws_an_item_of_a_foreach(self) -> None:
        self.check(self.draw(self.task(foreach=(("start", 3, 10_000), ("inner", 0, 1)))))

    def test_draws_without_its_options(self) -> None:
        self.check(self.draw(self.task(options={})))

    def test_draws_artifacts_of_other_types(self) -> None:
        """A flow may give its artifacts other types than expected: the card says so."""
        for value in (None, 0, "", [], {}, "text", [[]], float("nan"), object()):
            task = self.task(artifacts=dict.fromkeys(self.artifacts, value))
            try:
                html = self.draw(task)
            except Exception as error:
                said = str(error).strip()
                if not said:
                    pytest.fail(f"{type(error).__name__} does not say what is wrong")
            else:
                self.check(html)

    def test_draws_without_an_artifact_that_cannot_be_read(self) -> None:
        error = ImportError("No module named 'elsewhere'")
        broken = Value("elsewhere", "elsewhere.Thing", 100, functools.partial(_raise, error))
        task = self.task()
        task = replace(task, artifacts={**task.artifacts, "elsewhere": broken})
        self.check(self.draw(task))

    def test_draws_an_artifact_that_cannot_be_shown(self) -> None:
        class Broken:
            def __repr__(self) -> str:
                raise RuntimeError("no words")

        self.check(self.draw(self.task(artifacts={**self.artifacts, "broken": Broken()})))

    def test_does_not_read_what_is_large(self) -> None:
        read = AssertionError("200 MB are read for a preview")
        large = Value("large", "bytes", LARGE + 1, functools.partial(_raise, read))
        task = self.task()
        task = replace(task, artifacts={**task.artifacts, "large": large})
        html = self.draw(task)
        assert "200 MB are read" not in html

    def test_draws_ten_thousand_artifacts(self) -> None:
        many = {f"artifact_{n}": n for n in range(10_000)}
        html = self.draw(self.task(artifacts={**self.artifacts, **many}))
        self.check(html)
        assert len(html.encode()) < PAGE_LIMIT + self._own_size()

    def test_draws_long_values(self) -> None:
        long = {"text": "x" * 5_000_000, "numbers": list(range(1_000_000))}
        html = self.draw(self.task(artifacts={**self.artifacts, **long}))
        assert len(html.encode()) < PAGE_LIMIT + self._own_size()

    def _own_size(self) -> int:
        return 2 * sum(len(repr(value)) for value in self.artifacts.values())

    # --- what the step added ---

    def test_shows_what_the_step_added_once(self) -> None:
        added = (Markdown(f"first {CANARY}"), Table([[f"second {CANARY}"]]))
        page = self.check(self.draw(self.task(components=added)))
        counts = Counter(re.findall(rf"(\w+) {CANARY}", page.text))
        assert counts == {"first": 1, "second": 1}

    # --- hostile data ---

    def test_escapes_what_the_step_added(self) -> None:
        for text in HOSTILE:
            added = (Markdown(text), Table([[text]], [text]))
            page = self.check_hostile(text, self.task(components=added))
            assert CANARY in page.text, f"{text!r} is not shown"

    def test_escapes_facts(self) -> None:
        for text in HOSTILE:
            failure = Failure("error", text, text, text)
            task = self.task(
                flow=text,
                step=text,
                host=text,
                user=text,
                tags=(text,),
                state=text,
                failure=failure,
                flow_doc=text,
                step_doc=text,
                foreach=((text, 0, 1),),
                logs={"stdout": text, text: text},
                parameters=values({text: text}),
                data={text: text},
            )
            self.check_hostile(text, task)

    def test_escapes_artifacts(self) -> None:
        """Also what stands in its own ones, where these are text, or hold some."""
        for text in HOSTILE:
            artifacts = {name: poisoned(value, text) for name, value in self.artifacts.items()}
            kind = Value(text, text, 10, functools.partial(_same, text))
            task = self.task(artifacts={**artifacts, "more": [text], "deep": {text: {text: text}}})
            task = replace(task, artifacts={**task.artifacts, text: kind}, own=(*task.own, text))
            self.check_hostile(text, task)

    def test_escapes_options(self) -> None:
        for text in HOSTILE:
            options = {name: poisoned(value, text) for name, value in self.options.items()}
            try:
                html = self.draw(self.task(options={**options, "title": text}))
            except Exception:  # it is told in the card's stead
                continue
            self.check(html)

    # --- in a process of its own ---

    def test_draws_in_a_process_of_its_own(self) -> None:
        outcomes: list[Outcome] = []
        task = self.task()
        _in_child(lambda: self.check(self.draw(task)), self.seconds, outcomes.append)
        assert outcomes == [Outcome()], outcomes


class ComponentSuite:
    """What every component must do. Since 0.1.

        class TestScore(ComponentSuite):
            component = Score
            arguments = {"name": "accuracy", "value": 0.93}

    Attributes:
        component: the class.
        arguments: arguments to make one, by name.
    """

    component: type[Component]
    arguments: Mapping[str, Any] = {}

    def make(self, **changes: Any) -> Component:
        """Return one, with other arguments than those of the suite."""
        made: Component = self.component(**{**self.arguments, **changes})
        return made

    def draw(self, component: Component) -> Page:
        """Return what stands in a page with it; assert that it is sound."""
        page = Page(render(lambda task: [component], card_task()))
        assert not page.problems, page.problems
        return page

    def test_says_what_it_shows(self) -> None:
        doc = vars(self.component).get("__doc__") or ""
        made_up = doc.startswith(f"{self.component.__name__}(")  # by dataclass
        assert doc.strip(), "its docstring says what it shows"
        assert not made_up, "its docstring says what it shows"

    def test_is_frozen_data(self) -> None:
        params = getattr(self.component, "__dataclass_params__", None)
        assert params is not None, "it is a dataclass"
        assert params.frozen, "it is frozen: @dataclass(frozen=True)"

    def test_draws(self) -> None:
        shown = self.draw(self.make())
        assert shown.tags

    def test_gives_the_same_for_the_same_data(self) -> None:
        assert encode(self.make()) == encode(self.make())

    def test_shows_the_same_when_it_was_stored(self) -> None:
        """It goes as JSON from the task to the process that draws it, and needs no code of its own there."""
        made = self.make()
        stored = decode(json.loads(json.dumps(encode(made))))
        assert self.draw(stored).text.split() == self.draw(made).text.split()

    def test_can_be_updated(self) -> None:
        made = self.make()
        names = {one.name for one in fields(made)}  # type: ignore[arg-type]
        assert {*made.live} <= names, f"live names fields: {', '.join(sorted(names))}"
        before = encode(made)
        same = made.changed({name: getattr(made, name) for name in sorted(names)})
        assert encode(same) == before
        assert encode(made) == before, "a change changes the component itself"

    def test_escapes_its_texts(self) -> None:
        for text in HOSTILE:
            try:
                made = self.make(**poisoned(dict(self.arguments), text))
            except (TypeError, ValueError):  # it refuses this text
                continue
            try:
                self.draw(made)
            except Exception as error:
                raise AssertionError(f"{type(error).__name__} with {text!r}: {error}") from error


def poisoned(value: Any, text: str) -> Any:
    """Return ``value`` with each text in it replaced."""
    if isinstance(value, str):
        return text
    if isinstance(value, dict):
        return {key: poisoned(part, text) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(poisoned(part, text) for part in value)
    return value


def _in_child(job: Callable[[], object], timeout: float, then: Callable[[Outcome], None]) -> None:
    with selectors.DefaultSelector() as selector:
        children = Children(selector)
        children.start(job, timeout, then)
        while len(children):
            for key, _ in selector.select(children.wait_time()):
                children.readable(key.fd)
            children.end_overdue()


__all__ = [
    "CANARY",
    "HOSTILE",
    "CardSuite",
    "ComponentSuite",
    "Page",
    "card_run",
    "card_task",
    "render",
    "values",
]
