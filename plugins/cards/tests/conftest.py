"""A laboratory whose processes see flow-cards too."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
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


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """Chromium, headless: one for all tests of a process. In CI it must be there."""
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
