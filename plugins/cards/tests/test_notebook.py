"""Cards in a notebook: each stands in a sandboxed frame."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

FLOW = """
    from flow_core import FlowSpec, card, current, step
    from flow_cards import Markdown

    class F(FlowSpec):
        @card(type="blank")
        @card(type="html", id="page")
        @step
        def start(self):
            current.card["page"].append("<b>added</b>")
            self.html = "<script>parent.document.title = 'theirs'</script>"
            self.next(self.end)

        @step
        def end(self):
            pass

    if __name__ == "__main__":
        F()
"""


class Frames(HTMLParser):
    def __init__(self, html):
        super().__init__()
        self.found = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


@pytest.mark.slow
def test_a_notebook_shows_each_card_in_a_frame(tester, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    tester.python(tester.write(FLOW), "run").check()
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    code = "from flow_core import Task, get_cards, namespace\n_ = namespace(None)\nget_cards(Task('F/1/start/1'))"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    where = {"metadata": {"path": str(tester.path)}}
    nbclient.NotebookClient(notebook, timeout=60, resources=where).execute()
    (output,) = notebook.cells[0].outputs
    assert output["data"]["text/plain"] == "<2 cards>"
    tags = Frames(output["data"]["text/html"]).found
    assert [tag for tag, _ in tags] == ["iframe", "iframe"]
    assert [attributes["sandbox"] for _, attributes in tags] == ["allow-scripts"] * 2
    assert all(attributes["srcdoc"].startswith("<!doctype html>") for _, attributes in tags)
