"""Hooks of mkdocs: the page of changes is gathered from the changelog and the news fragments."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fill the page of changes; leave all others as they are."""
    return _changes() if page.file.src_uri == "changelog.md" else markdown


def _changes() -> str:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    intro, _, releases = changelog.partition("<!-- towncrier release notes start -->")
    waiting = [
        f"* {' '.join(path.read_text(encoding='utf-8').split())}"
        for path in sorted((ROOT / "news").glob("*.*.md"))
    ]
    parts = [_without_links(intro).strip(), "## Next release", "\n".join(waiting), releases]
    return "\n\n".join(part for part in parts if part.strip())


def _without_links(text: str) -> str:
    """Links between files of the repository lead nowhere on the site."""
    return re.sub(r"\[([^\]]+)\]\((?!https?:)[^)]+\)", r"\1", text)
