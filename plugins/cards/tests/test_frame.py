"""The type ``html``: what a page of somebody else can do in its frame, in a real browser."""

from __future__ import annotations

import json

import pytest

from flow_cards import HtmlPage, Markdown, Table, render
from flow_cards.testing import Page, card_task

FETCHES = """
<!doctype html>
<base href="{url}/base/"><link rel="stylesheet" href="{url}/style.css"><link rel="icon" href="{url}/icon">
<link rel="manifest" href="{url}/manifest"><link rel="preconnect" href="{url}">
<link rel="dns-prefetch" href="{url}"><link rel="prefetch" href="{url}/prefetch">
<link rel="preload" as="image" href="{url}/preload"><link rel="modulepreload" href="{url}/module">
<link rel="preload" as="fetch" crossorigin href="{url}/fetch"><link rel="prerender" href="{url}/prerender">
<style>
@import url({url}/import.css);
@font-face {{ font-family: far; src: url({url}/font.woff2); }}
body {{ font-family: far; background: url({url}/background.png); }}
</style>
<script src="{url}/script.js"></script>
<script type="module">import "{url}/import.js";</script>
<script type="speculationrules">
{{"prefetch": [{{"urls": ["{url}/rules"], "eagerness": "immediate"}}],
 "prerender": [{{"urls": ["{url}/rules-2"], "eagerness": "immediate"}}]}}
</script>
<p>text</p><img src="{url}/image.png" attributionsrc="{url}/attribution"><img src="relative.png">
<img srcset="{url}/set.png 1x"><video autoplay src="{url}/video" poster="{url}/poster"></video>
<audio autoplay src="{url}/audio"></audio><input type="image" src="{url}/input">
<svg><image href="{url}/svg.png" /><use href="{url}/use.svg#a" /></svg>
<iframe srcdoc="<script>fetch('{url}/nested')</script>"></iframe>
<iframe src="javascript:fetch('{url}/nested-script')"></iframe>
<script>
const link = document.createElement("link");
link.rel = "preconnect";
link.href = "{url}";
document.head.append(link);
const tries = [
  () => fetch("{url}/fetch", {{ mode: "no-cors" }}).catch(() => 0),
  () => fetchLater("{url}/later", {{ activateAfter: 0 }}),
  () => {{ const asked = new XMLHttpRequest(); asked.open("GET", "{url}/xhr"); asked.send(); }},
  () => navigator.sendBeacon("{url}/beacon", "x"),
  () => new WebSocket("{socket}"),
  () => new EventSource("{url}/events"),
  () => new WebTransport("https://{stun}/"),
  () => new Worker(URL.createObjectURL(new Blob(["fetch('{url}/worker')"]))),
  () => import("{url}/dynamic.js").catch(() => 0),
  () => {{
    const peer = new RTCPeerConnection({{ iceServers: [{{ urls: "stun:{stun}" }}] }});
    peer.createDataChannel("");
    peer.createOffer().then((offer) => peer.setLocalDescription(offer));
  }},
];
for (const one of tries) try {{ one(); }} catch (error) {{}}
document.body.dataset.tried = "yes";
</script>
"""


def fetches(canary):
    url = canary.url
    return FETCHES.format(url=url, socket=url.replace("http", "ws"), stun=canary.stun)


def test_without_a_frame_all_that_is_tried_is_heard(look, canary):
    """So what is not heard of a frame was not sent."""
    seen = look(fetches(canary))
    seen.page.wait_for_timeout(1000)
    heard = b" ".join(canary.said)
    ways = [
        "style.css",
        "import.css",
        "background.png",
        "script.js",
        "image.png",
        "set.png",
        "video",
    ]
    ways += [
        "poster",
        "svg.png",
        "nested",
        "fetch",
        "xhr",
        "beacon",
        "events",
        "dynamic.js",
        "relative.png",
    ]
    assert [way for way in ways if way.encode() not in heard] == []
    assert any(text[4:8] == b"\x21\x12\xa4\x42" for text in canary.said)  # of STUN


class TestItsScripts:
    def test_run(self, look):
        html = """
            <!doctype html><title>t</title><p id="out">-</p><button onclick="out.textContent += '!'">more</button>
            <script>out.textContent = eval("6 * 7") + new Function("return 1")()</script>
            <img src="data:image/gif;base64,R0lGODlhAQABAAAAACw="><style>#out { color: rgb(1, 2, 3) }</style>
            """
        seen = look(render(lambda task: HtmlPage(html), card_task()))
        frame = seen.page.frames[1]
        frame.locator("button").click()
        assert frame.locator("#out").inner_text() == "43!"
        assert frame.evaluate("document.compatMode") == "CSS1Compat"
        assert frame.evaluate("getComputedStyle(out).color") == "rgb(1, 2, 3)"
        assert seen.requests == [] or all(url.startswith("data:") for url in seen.requests)

    def test_do_not_where_it_is_not_wanted(self, look):
        html = "<p id='out'>-</p><script>out.textContent = 'run'</script>"
        page = HtmlPage(html, scripts=False)
        seen = look(render(lambda task: page, card_task()))
        assert seen.page.frames[1].locator("#out").inner_text() == "-"

    def test_fetch_nothing_and_connect_to_nobody(self, look, canary):
        seen = look(render(lambda task: HtmlPage(fetches(canary)), card_task()))
        assert seen.page.frames[1].locator("body").get_attribute("data-tried") == "yes"
        seen.page.wait_for_timeout(1200)
        assert (canary.opened, canary.said) == (0, [])

    def test_do_not_reach_the_server_that_a_live_page_asks(self, look, canary):
        """The page around may ask its server what is new: its policy allows that, to the page."""
        from flow_cards.drawing import draw, page

        drawn = draw(lambda task: HtmlPage(fetches(canary)), card_task())
        html = page("t", "", *drawn, live='{"events": "x", "state": "", "scripts": []}')
        html = html.replace("connect-src &#39;self&#39;", f"connect-src {canary.url}")
        assert f"connect-src {canary.url}" in html
        seen = look(html)
        assert seen.page.frames[1].locator("body").get_attribute("data-tried") == "yes"
        seen.page.wait_for_timeout(500)
        assert (canary.opened, canary.said) == (0, [])

    def test_see_nothing_outside_of_the_frame(self, look):
        reach = """
            <script>
            const tries = {
              dom: () => parent.document.body, dom2: () => top.document.title, frame: () => frameElement.id,
              local: () => localStorage.length, session: () => sessionStorage.length,
              cookie: () => (document.cookie = "a=1", document.cookie),
              caches: () => indexedDB.open("x").name, opener: () => open("about:blank").document,
              alert: () => { alert(1); throw 0; }, top: () => { top.location = "about:blank"; },
            };
            document.documentElement.dataset.got = JSON.stringify(Object.keys(tries).filter((name) => {
              try { tries[name](); return true; } catch (error) { return false; }
            }));
            </script>
            """
        seen = look(render(lambda task: HtmlPage(reach), card_task()))
        got = seen.page.frames[1].locator("html").get_attribute("data-got")
        assert json.loads(got) == []
        assert seen.dialogs == []
        assert seen.page.url.startswith("file://")

    # A browser may open a connection before it refuses to go there, but it sends nothing.
    @pytest.mark.parametrize(
        "html",
        [
            "<script>location = '{url}/?secret'</script>",
            "<meta http-equiv=refresh content='0;url={url}/?secret'>",
            "<a id=a href='{url}/?secret' ping='{url}/ping'>x</a><script>a.click()</script>",
            "<a id=a target=_top href='{url}/?secret'>x</a><script>a.click()</script>",
            "<a id=a target=_blank href='{url}/?secret'>x</a><script>a.click()</script>",
            "<a id=a download href='{url}/?secret'>x</a><script>a.click()</script>",
            "<form id=f action='{url}/'><input name=secret></form><script>f.submit()</script>",
            "<script>window.open('{url}/?secret'); top.location = '{url}/?secret'</script>",
            "<iframe src='{url}/?secret'></iframe><object data='{url}/'></object><embed src='{url}/'>",
            "<iframe srcdoc=\"<script>location = '{url}/'; parent.location = '{url}/'</script>\"></iframe>",
            "<script>location = 'data:text/html,<script src={url}></' + 'script>'</script>",
            "<script>location = URL.createObjectURL(new Blob(['<img src={url}>'], {{type: 'text/html'}}))</script>",
        ],
    )
    def test_lead_nowhere(self, look, canary, html):
        seen = look(render(lambda task: HtmlPage(html.format(url=canary.url)), card_task()))
        seen.page.wait_for_timeout(250)
        assert canary.said == []
        assert len(seen.page.context.pages) == 1
        assert seen.page.url.startswith("file://")
        assert seen.page.locator("h1").count() == 1


class TestThePageAroundIt:
    def test_has_its_own_components(self, look):
        task = card_task(components=(Markdown("ADDED"), Table([[1]])))
        seen = look(render(lambda task: HtmlPage("<p>theirs</p>"), task))
        assert seen.page.locator("main").get_by_text("ADDED").count() == 1
        assert seen.page.frames[1].locator("p").inner_text() == "theirs"

    def test_is_not_left_by_what_its_html_says(self, look):
        html = (
            '"></iframe><script>window.__pwned = 1</script><img src=x onerror="window.__pwned = 1">'
        )
        seen = look(render(lambda task: HtmlPage(html), card_task()))
        seen.page.wait_for_timeout(100)
        assert seen.page.evaluate("window.__pwned") is None
        assert seen.page.locator("iframe, script, img").count() == 1


@pytest.mark.parametrize(
    ("html", "start"),
    [
        ("<!DOCTYPE html>\n<p>x", "<!DOCTYPE html>"),
        (
            "\n<!-- made by -->\n<!doctype html PUBLIC 'x'><p>",
            "\n<!-- made by -->\n<!doctype html PUBLIC 'x'>",
        ),
        ("<p><!doctype html>", ""),
        ("", ""),
    ],
)
def test_what_guards_it_stands_behind_the_doctype(html, start):
    (frame,) = [
        a
        for tag, a in Page(render(lambda task: HtmlPage(html), card_task())).tags
        if tag == "iframe"
    ]
    assert frame["srcdoc"].startswith(start + '<meta http-equiv="Content-Security-Policy"')
    assert frame["srcdoc"].endswith(html[len(start) :])
