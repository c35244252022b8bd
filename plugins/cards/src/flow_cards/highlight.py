"""Source code and YAML with a class for each kind of token: ``<span class="kw">def</span>``.

Classes: ``kw`` keyword, ``str`` text, ``num`` number, ``key`` name that something gets, ``com`` comment.
"""

from __future__ import annotations

import io
import keyword
import re
import token
import tokenize
from collections.abc import Iterator
from typing import NamedTuple

from markupsafe import Markup, escape

_LONGEST = 200_000
_DEEPEST = 20


def _span(kind: str, text: str) -> Markup:
    return Markup('<span class="{}">{}</span>').format(kind, text) if kind else escape(text)


# --- Python -------------------------------------------------------------------------------------


def python(code: str) -> Markup:
    """Return Python code with its tokens marked; as it is where it is no Python."""
    if len(code) > _LONGEST:
        return escape(code)
    try:
        tokens = [*_tokens(code)]
    except (tokenize.TokenError, SyntaxError, ValueError):
        return escape(code)
    return Markup("").join(_span(kind, text) for kind, text in tokens)


def _tokens(code: str) -> Iterator[tuple[str, str]]:
    """Yield the whole text in pieces, with the class of each."""
    starts = [0]
    for line in io.StringIO(code):
        starts.append(starts[-1] + len(line))
    done, before = 0, ""
    for one in tokenize.generate_tokens(io.StringIO(code).readline):
        if one.type in (token.INDENT, token.DEDENT, token.ENDMARKER):
            continue
        start = starts[one.start[0] - 1] + one.start[1]
        end = starts[one.end[0] - 1] + one.end[1]
        kind = _kind(one, before)
        before = one.string
        if kind and start >= done:
            yield "", code[done:start]
            yield kind, code[start:end]
            done = end
    yield "", code[done:]


def _kind(one: tokenize.TokenInfo, before: str) -> str:
    name = token.tok_name[one.type]
    if name == "NAME":
        if keyword.iskeyword(one.string):
            return "num" if one.string in ("True", "False", "None") else "kw"
        return "key" if before in ("def", "class", "@") else ""
    if name == "STRING" or name.startswith(("FSTRING", "TSTRING")):
        return "str"
    return {"NUMBER": "num", "COMMENT": "com"}.get(name, "")


# --- YAML ---------------------------------------------------------------------------------------

_LINE = re.compile(
    r"""(?P<indent>\s*(?:-\s+)*)"""
    r"""(?P<key>"(?:[^"\\]|\\.)*"|'[^']*'|[^\s#'"\[\]{},&*!|>%@`-][^:#]*?)(?P<colon>\s*:)(?=\s|$)"""
)
_COMMENT = re.compile(r"(?:^|\s)#.*$")
_BLOCK = re.compile(r"(?::|-|^)\s*[|>][-+\d]*\s*$")
_NUMBER = re.compile(r"[-+]?(\d[\d_]*(\.\d*)?|\.\d+)(e[-+]?\d+)?", re.IGNORECASE)
_WORDS = frozenset(["true", "false", "null", "yes", "no", "on", "off", "~"])


class Line(NamedTuple):
    """A line of YAML, and those that stand below it.

    Attributes:
        html: the line, with its tokens marked.
        below: the lines that are indented by more.
    """

    html: Markup
    below: list[Line]


def yaml_lines(text: str) -> list[Line]:
    """Return the lines of YAML text; each holds those which it is the title of."""
    top: list[Line] = []
    open_at: list[tuple[int, list[Line]]] = [(-1, top)]
    empty: list[Line] = []  # they belong to the line after them
    block = None  # the indent of the line whose text goes on below it
    for line in text.split("\n"):
        said = line.lstrip(" ")
        if not said:
            empty.append(Line(escape(line), []))
            continue
        indent = len(line) - len(said)
        if block is not None and indent <= block:
            block = None
        # The items of a list may stand as far to the left as the name of the list.
        depth = 2 * indent + said.startswith("- ")
        while open_at[-1][0] >= depth:
            open_at.pop()
        below: list[Line] = []
        html = _yaml_line(line) if block is None else _span("str", line)
        open_at[-1][1].extend([*empty, Line(html, below)])
        empty = []
        if len(open_at) <= _DEEPEST:
            open_at.append((depth, below))
        if block is None and _BLOCK.search(line):
            block = indent
    return top + empty


def _yaml_line(line: str) -> Markup:
    comment = _COMMENT.search(line)
    if comment and (
        line[: comment.start()].count('"') % 2 or line[: comment.start()].count("'") % 2
    ):
        comment = None  # it stands within text
    said, remark = (line[: comment.start()], line[comment.start() :]) if comment else (line, "")
    found = _LINE.match(said)
    if found is None:
        dash = re.match(r"\s*(?:-\s+)*", said)
        start = dash.end() if dash else 0
        return escape(said[:start]) + _scalar(said[start:]) + _span("com" if remark else "", remark)
    return (
        escape(found["indent"])
        + _span("key", found["key"])
        + escape(found["colon"])
        + _scalar(said[found.end() :])
        + _span("com" if remark else "", remark)
    )


def _scalar(text: str) -> Markup:
    word = text.strip()
    if not word or word in "|>-[]{}," or word[0] in "[{":
        return escape(text)
    plain = word.rstrip(",")
    kind = "num" if _NUMBER.fullmatch(plain) or plain.lower() in _WORDS else "str"
    return _span(kind, text)
