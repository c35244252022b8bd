"""The client in a real notebook: what cells show, and what the tab key offers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

FLOW = """
from flow_core import FlowSpec, step


class ShownFlow(FlowSpec):
    @step
    def start(self):
        self.words = ["<b>bold</b>"]
        self.next(self.end)

    @step
    def end(self):
        pass


if __name__ == "__main__":
    ShownFlow()
"""
CELLS = (
    "from flow_core import Run, flows, namespace\n_ = namespace(None)",
    "flows()",
    "flows()['ShownFlow']",
    "Run('ShownFlow/1')",
    "Run('ShownFlow/1')['start']",
    "Run('ShownFlow/1')['start'].task",
    "Run('ShownFlow/1')['start'].task['words']",
    "Run('ShownFlow/1')['start'].task.data",
    "run = Run('ShownFlow/1')\nprint(get_ipython().Completer.complete(line_buffer='run[\"st')[1])",
)


@pytest.mark.slow
def test_cells_show_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    (tmp_path / "shown.py").write_text(FLOW)
    (tmp_path / ".flow").mkdir()
    command = [sys.executable, "shown.py", "run"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in CELLS])
    nbclient.NotebookClient(
        notebook, timeout=60, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    shown = [_html(cell) for cell in notebook.cells[1:8]]
    for html, words in zip(
        shown,
        ("ShownFlow", "succeeded", "start", "seconds", "words", "bytes", "words"),
        strict=True,
    ):
        assert html.startswith("<table><caption>")
        assert words in html
        assert "<b>" not in html
    assert "start" in notebook.cells[8].outputs[0]["text"]


def _html(cell: Any) -> str:
    (output,) = cell.outputs
    html: str = output["data"]["text/html"]
    return html
