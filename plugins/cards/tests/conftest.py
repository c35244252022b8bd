"""A laboratory whose processes see flow-cards too."""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from flow_core.testing import FlowTester


@pytest.fixture
def tester(flowtester: FlowTester) -> FlowTester:
    flowtester.more_plugins = ["cards"]
    return flowtester


@pytest.fixture
def pages(tester: FlowTester) -> Callable[..., dict[str, str]]:
    """Return a function: ``step/number-type-id`` → the page, of all cards of a run."""

    def read(run: int | str = 1, flow: str = "F") -> dict[str, str]:
        folder = tester.path / ".flow" / "runs" / flow / str(run)
        return {
            f"{p.parts[-5]}/{p.name.rpartition('-')[0]}": p.read_text()
            for p in sorted(folder.glob("*/*/*/cards/*.html"))
        }

    return read


# --- a real browser -----------------------------------------------------------------------------

_ARGUMENTS = (
    "--no-sandbox",  # tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what opens a browser."""
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")


# Playwright keeps an event loop running in this thread while a browser is open, in which asyncio.run
# cannot be called: so not for the whole session, in which other tests follow.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Chromium, headless: one for all tests of a module. In CI it must be there."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("no chromium on this machine: apt-get install chromium")
        pytest.skip("no chromium on this machine: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        yield browser
        browser.close()


class Seen:
    """A page in the browser, and what it did.

    Attributes:
        page: playwright's page.
        requests: what it asked for, but for itself.
        problems: what it wrote to the console as errors or warnings, violations of its policy too.
        dialogs: texts of ``alert`` and the like.
    """

    def __init__(self, page: Any) -> None:
        self.page = page
        self.requests: list[str] = []
        self.problems: list[str] = []
        self.dialogs: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("dialog", self._dialog)

    def _said(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(message.text)

    def _dialog(self, dialog: Any) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()


@pytest.fixture
def look(chromium: Any, tmp_path: Path) -> Iterator[Callable[..., Seen]]:
    """Return a function that opens a page of HTML from a file: ``look(html, dark=False, width=1100)``."""
    contexts = []

    def open_page(html: str, *, dark: bool = False, width: int = 1100, height: int = 800) -> Seen:
        context = chromium.new_context(
            color_scheme="dark" if dark else "light",
            viewport={"width": width, "height": height},
        )
        contexts.append(context)
        file = tmp_path / f"page-{len(contexts)}.html"
        file.write_text(html, encoding="utf-8")
        seen = Seen(context.new_page())
        seen.page.goto(file.as_uri())
        seen.requests.remove(file.as_uri())
        return seen

    yield open_page
    for context in contexts:
        context.close()


# --- where hostile texts want to go -------------------------------------------------------------


class Canary:
    """Ports of this machine that nobody has reason to speak to.

    Attributes:
        url: the address of a server of HTTP, with no slash at its end.
        stun: ``host:port`` of a socket of UDP.
        opened: how many connections were opened.
        said: what was sent, in the order in which it came.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagrams.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.stun = f"127.0.0.1:{self._datagrams.getsockname()[1]}"
        self.opened = 0
        self.said: list[bytes] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._datagrams, selectors.EVENT_READ)
            while not self._stopping.is_set():
                for key, _ in selector.select(0.05):
                    self._hear(selector, key.fileobj)
            for key in list(selector.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]

    def _hear(self, selector: selectors.BaseSelector, source: Any) -> None:
        if source is self._listener:
            connection, _ = self._listener.accept()
            self.opened += 1
            selector.register(connection, selectors.EVENT_READ)
            return
        with contextlib.suppress(ConnectionError):
            text = source.recv(2000)
            if text:
                self.said.append(text)
                if source is self._datagrams:
                    return
                source.sendall(
                    b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
        selector.unregister(source)
        source.close()

    def close(self) -> None:
        """Close the ports."""
        self._stopping.set()
        self._thread.join()


@pytest.fixture
def canary() -> Iterator[Canary]:
    """A server to which no card may open a connection."""
    bird = Canary()
    yield bird
    bird.close()


_RUN_AXE = """async () => {
  const { violations } = await axe.run(document, { iframes: false });
  return violations.filter((one) => ["serious", "critical"].includes(one.impact)).map((one) =>
    `${one.id}: ${one.help}: ` + one.nodes.slice(0, 3).map((node) =>
      `${node.html.slice(0, 200)} (${node.any.concat(node.all, node.none).map((c) => c.message).join("; ")})`
    ).join(" | "));
}"""


@pytest.fixture
def axe(look: Callable[..., Seen]) -> Callable[[str], dict[str, list[str]]]:
    """Return a function: what axe-core finds serious or critical in a page, in both themes and widths."""

    code = resources.files("axe_playwright_python").joinpath("axe.min.js").read_text("utf-8")

    def find(html: str) -> dict[str, list[str]]:
        found = {}
        for dark in (False, True):
            seen = look(html, dark=dark)
            seen.page.evaluate(f"{code}; undefined")
            for width in (1100, 390):
                seen.page.set_viewport_size({"width": width, "height": 800})
                if problems := seen.page.evaluate(_RUN_AXE):
                    found[f"dark={dark}, {width} px"] = problems
        return found

    return find
