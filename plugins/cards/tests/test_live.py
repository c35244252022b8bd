"""Live pages with real processes in a real browser: what is refreshed is seen, and nothing is lost."""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import sys
import time

import pytest

FLOW = """
    import os, time
    from flow_core import FlowSpec, card, current, step
    from flow_cards import Error, Markdown, ProgressBar, Table

    HOSTILE = "<script>window.hacked=1</script><img src=x onerror='window.hacked=1'></template></script>"

    class F(FlowSpec):
        @card
        @step
        def start(self):
            bar = ProgressBar(max=100, label=HOSTILE)
            current.card.append(Markdown("# Live"))
            current.card.append(bar)
            current.card.append(Markdown("at 0"), id="at")
            current.card.append(Table([[HOSTILE, 1]], [HOSTILE, "n"]), id="table")
            current.card.append(Markdown("filler\\n\\n" * 80))
            n = 0
            while not os.path.exists("stop"):
                n += 1
                bar.update(n % 100, HOSTILE)
                current.card.components["at"].update(f"at {time.time():.3f} {HOSTILE}")
                rows = [[f"{HOSTILE} {row}", n] for row in range(30)]
                current.card.components["table"].update(rows)
                current.card.refresh({"n": n})
                time.sleep(0.25)
            self.result = "what came of it"
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""

# Notes when each value came into the page, and how old it was.
WATCH = """() => {
    window.same = true;
    window.ages = [];
    const look = () => {
        const found = document.body.innerText.match(/at (\\d+\\.\\d+)/);
        if (found && found[1] !== window.last) {
            window.last = found[1];
            window.ages.push(Date.now() / 1000 - Number(found[1]));
        }
    };
    new MutationObserver(look).observe(document.body, {subtree: true, childList: true, characterData: true});
    look();
}"""


@contextlib.contextmanager
def served(tester, *arguments, port=0):
    """Start ``flow card server``; give its process and its address."""
    code = "import sys; from flow_core.cli import main; main()"
    command = [sys.executable, "-c", code, "card", "server", "--port", str(port), *arguments]
    process = subprocess.Popen(
        command,
        cwd=tester.path,
        env=tester.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        line = process.stdout.readline()
        found = re.search(r"http://\S+", line)
        assert found, line + process.stdout.read()
        yield process, found[0]
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
        process.communicate(timeout=20)
        assert "Traceback" not in rest, rest


@contextlib.contextmanager
def running(tester, file):
    """Run a flow meanwhile; it is to end when the file ``stop`` is there."""
    process = subprocess.Popen(
        [sys.executable, str(file), "run"],
        cwd=tester.path,
        env=tester.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        (tester.path / "stop").touch()
        process.communicate(timeout=60)


@pytest.fixture
def page(chromium):
    context = chromium.new_context(viewport={"width": 1100, "height": 700})
    page = context.new_page()
    page.set_default_timeout(30_000)
    yield page
    context.close()


def until(page, expression, seconds=40.0):
    """Wait until something is true in the page, whose policy forbids playwright's way of doing so."""
    deadline = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < deadline, (expression, page.locator("body").inner_text())
        time.sleep(0.05)


def wait_for_more(page, count):
    before = page.evaluate("window.ages.length")
    until(page, f"window.ages.length >= {before + count}")
    return page.evaluate("window.ages")[before:]


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_page_follows_its_task_to_the_end(tester, page, record_property):
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "console",
        lambda m: problems.append(m.text) if "Content Security" in m.text else None,
    )
    file = tester.write(FLOW)
    with running(tester, file) as run, served(tester) as (server, url):
        page.goto(url)  # the list, which shows the card when its task has begun
        page.get_by_role("link", name="start/1").click()
        until(page, "document.body.innerText.includes('at ')")
        page.evaluate(WATCH)
        ages = sorted(wait_for_more(page, 5))
        record_property("seconds from refresh to page", ages)
        print("seconds from refresh to page:", [round(age, 2) for age in ages])
        assert ages[len(ages) // 2] < 2  # a loose bound: others use the machine, too
        assert page.locator(".live.on").inner_text() == "live"

        page.evaluate("window.scrollTo(0, 900)")
        at = page.evaluate("window.scrollY")
        assert at > 500
        wait_for_more(page, 2)
        assert page.evaluate("window.scrollY") == at

        # What the reader does to a part outlives its next versions.
        page.get_by_role("searchbox").fill("hacked=1</script> 1")
        at = page.evaluate("window.scrollY")
        before = page.locator("figure.table td").nth(1).inner_text()
        wait_for_more(page, 2)
        assert page.get_by_role("searchbox").input_value() == "hacked=1</script> 1"
        assert page.evaluate("document.activeElement.type") == "search"
        assert page.locator("figure.table td").nth(1).inner_text() != before
        assert page.evaluate("window.scrollY") == at

        # The server dies, and comes back at the same address.
        port = int(url.rpartition(":")[2].strip("/"))
        server.kill()
        server.wait()
        page.wait_for_selector(".live.off")
        assert "trying again" in page.locator(".live").inner_text()
        with served(tester, port=port):
            wait_for_more(page, 2)
            assert page.evaluate("window.scrollY") == at
            assert page.evaluate("window.same")

            (tester.path / "stop").touch()
            until(page, "document.querySelector('.live').textContent === 'ended'")
            assert run.wait(60) == 0
            assert "what came of it" in page.locator("main").inner_text()
            assert "succeeded" in page.locator("header").inner_text()
            assert page.evaluate("window.same")  # the page was never loaded anew
            assert abs(page.evaluate("window.scrollY") - at) < 5
            page.get_by_role("searchbox").fill("")
            live = page.locator("main .part").all_inner_texts()

            page.reload()  # now it is the file as it is
            (stored,) = (tester.path / ".flow/runs/F/1/start/1/0/cards").glob("*.html")
            assert page.locator(".live").count() == 0
            assert page.locator("main .part").all_inner_texts() == live
            assert page.request.get(page.url).text() == stored.read_text()
    assert page.evaluate("window.hacked") is None
    assert problems == []


HANGS = """
    import os, time
    from flow_cards import Markdown

    def cruel(task):
        '''Hangs, or crashes.'''
        if "crash" in task.options:
            os._exit(66)
        time.sleep(600)

    __flow__ = {"flow.cards": {"cruel": "cruel"}}
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_type_that_hangs_or_crashes_shows_an_error_and_the_server_lives_on(tester, page):
    file = tester.write(
        FLOW.replace(
            "        @card\n",
            "        @card(type='cruel', timeout=0.7)\n"
            "        @card(type='cruel', id='b', options={'crash': 1})\n"
            "        @card(type='blank', id='c', customize=True)\n",
        ).replace(
            "n = 0\n",
            "n = 0\n"
            "            current.card['b'].append('x')\n"
            "            current.card['b'].refresh()\n"
            "            current.card.get('cruel')[0].append('x')\n"
            "            current.card.get('cruel')[0].refresh()\n",
        )
    )
    tester.write(HANGS, "cruel_cards.py")
    plain = tester.environment
    tester.environment = lambda *a: {
        **plain(*a),
        "FLOW_PLUGINS": plain(*a)["FLOW_PLUGINS"] + ",cruel_cards",
        "FLOW_CARDS_WAIT": "5",
    }
    with running(tester, file), served(tester) as (_, url):
        deadline = time.monotonic() + 30
        while not page.request.get(url + "api/latest").json()["steps"]:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        for number, said in ((0, "took longer than 0.7 s"), (1, "ended with status 66")):
            page.goto(f"{url}card/F/1/start/1/{number}")
            until(page, f"document.body.innerText.includes('{said}')")
        page.goto(f"{url}card/F/1/start/1/2")
        until(page, "document.body.innerText.includes('at ')")


CHART = """
    import os, time
    from flow_core import FlowSpec, card, current, step
    from flow_cards import Markdown, VegaChart

    def spec(count):
        rows = [{"epoch": n, "loss": 1 / (n + 1)} for n in range(count)]
        encoding = {
            "x": {"field": "epoch", "type": "quantitative"},
            "y": {"field": "loss", "type": "quantitative"},
        }
        return {"data": {"values": rows}, "mark": "point", "encoding": encoding}

    class F(FlowSpec):
        @card(refresh_interval=0.2)
        @step
        def start(self):
            current.card.append(Markdown("# Live"))
            current.card.refresh(force=True)
            while not os.path.exists("chart"):
                time.sleep(0.1)
            chart = VegaChart(spec(1), title="Loss")
            current.card.append(chart)
            n = 1
            while not os.path.exists("stop"):
                n += 1
                chart.update(spec(n))
                current.card.refresh()
                time.sleep(0.3)
            self.points = n
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""

# Notes how often the page was without a drawing after it had one.
WATCH_CHART = """() => {
    window.gaps = 0;
    window.counts = new Set();
    new MutationObserver(() => {
        const points = document.querySelectorAll(".drawing .mark-symbol.role-mark path").length;
        window.counts.add(points);
        if (window.counts.size > 2 && points === 0) window.gaps += 1;
    }).observe(document.body, { subtree: true, childList: true });
}"""


def test_a_chart_gets_new_data_without_a_gap(tester, page):
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    file = tester.write(CHART)
    with running(tester, file), served(tester) as (_, url):
        page.goto(url)
        page.get_by_role("link", name="start/1").click()
        page.get_by_role("heading", name="Live", exact=True).wait_for()
        page.evaluate(WATCH_CHART)
        (tester.path / "chart").touch()  # what draws it comes into the page only now
        until(page, "window.counts.size > 5")
        assert page.evaluate("window.gaps") == 0
        (tester.path / "stop").touch()
        until(page, "document.querySelector('.live').textContent === 'ended'")
        until(page, "document.querySelectorAll('.drawing svg.marks').length === 1")
        assert page.evaluate("window.gaps") == 0
        assert "points" in page.locator("main").inner_text()
    assert problems == []
