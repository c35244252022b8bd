"""Python as Markdown: signatures as people write them, docstrings, classes with what they have."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeGuard

DOCS = Path(__file__).parent
NOTE = "<!-- Written by docs/generate.py from the code: change the docstring, not this page. -->\n"
BEGIN, END = "<!-- generated -->\n", "<!-- end of generated -->\n"


def between(page: str, make: Callable[[], str]) -> Callable[[], str]:
    """Return a maker of a page that is written by hand but for what stands between the marks."""

    def content() -> str:
        before, _, rest = (DOCS / page).read_text(encoding="utf-8").partition(BEGIN)
        _, _, after = rest.partition(END)
        return before + BEGIN + "\n" + make() + "\n" + END + after

    return content


# --- signatures and docstrings ------------------------------------------------------------------


def signature(function: ast.FunctionDef) -> str:
    """Return the head of a function as source, without ``self``, broken when it is long."""
    copy = ast.FunctionDef(
        function.name, function.args, [ast.Pass()], [], returns=function.returns, lineno=0
    )
    head = text_of(copy).partition("\n")[0].removesuffix(":")
    opening, closing = head.index("("), _closing(head)
    arguments = [a for a in _split(head[opening + 1 : closing]) if a not in ("self", "")]
    # As people write it: unparse leaves no blanks around the "=" of a default.
    arguments = [re.sub(r"^(\w+: [^=]+)=", r"\1 = ", a) for a in arguments]
    short = head[: opening + 1] + ", ".join(arguments) + head[closing:]
    if len(short) <= 88:
        return short
    return head[: opening + 1] + "\n    " + ",\n    ".join(arguments) + ",\n" + head[closing:]


def _closing(head: str) -> int:
    """Return where the bracket of the arguments closes."""
    depth = 0
    for position in range(head.index("("), len(head)):
        depth += (head[position] in "([{") - (head[position] in ")]}")
        if depth == 0:
            return position
    raise ValueError(head)


def text_of(node: ast.AST) -> str:
    """Return source, with double quotes, as the formatter would write it."""
    text = ast.unparse(node)
    return text if '"' in text else text.replace("'", '"')


def _split(arguments: str) -> list[str]:
    """Split at the commas that are in no brackets."""
    parts, depth = [""], 0
    for char in arguments:
        depth += (char in "([{") - (char in ")]}")
        if char == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


_SECTION = re.compile(r"(Args|Attributes|Returns|Raises):$")


def markdown(doc: str | None) -> str:
    """Return a docstring as Markdown: double backticks, lists of arguments, indented examples."""
    out: list[str] = []
    section = example = False
    for line in inspect.cleandoc(doc or "").replace("``", "`").splitlines():
        if found := _SECTION.match(line):
            out += [f"*{found.group(1)}*", ""]
            section = True
        elif not line.startswith("    "):
            section = section and not line
            if example:
                out, example = [*_strip(out), "```", ""], False
            out.append(line)
        elif section:
            out += _item(line[4:])
        else:
            if not example:
                out, example = [*out, "```py"], True
            out.append(line[4:])
    return "\n".join([*out, "```"] if example else out).strip()


def _strip(lines: list[str]) -> list[str]:
    return lines[:-1] if lines and not lines[-1] else lines


def _item(line: str) -> list[str]:
    name, colon, text = line.partition(": ")
    if line.startswith(" "):
        return [f"  {line.strip()}"]
    if colon and re.fullmatch(r"[\w.`]+(, [\w.`]+)*", name):
        names = ", ".join(f"`{n.strip('` ')}`" for n in name.split(","))
        return [f"* {names}: {text}"]
    return [f"* {line}"]


def first_sentence(doc: str | None) -> str:
    """Return the first sentence of a docstring, on one line."""
    paragraph = inspect.cleandoc(doc or "").partition("\n\n")[0].replace("\n", " ")
    found = re.match(r"(.+?\.)(?=\s|$)", paragraph.replace("``", "`"))
    return found.group(1) if found else paragraph.replace("``", "`")


def cell(text: str) -> str:
    """Return a text that may stand in a table."""
    return text.replace("|", "\\|")


def source_of(module: Any) -> tuple[str, ast.Module]:
    """Return the source of a module, and the same parsed."""
    text = inspect.getsource(module)
    return text, ast.parse(text)


def banners_of(text: str) -> dict[int, str]:
    """Return line → title of the ``# --- title ---`` lines of a module."""
    lines = enumerate(text.splitlines(), 1)
    return {n: m.group(1) for n, line in lines if (m := re.match(r" *# --- (.+?) -+$", line))}


# --- classes and functions ----------------------------------------------------------------------


def describe(module: Any, name: str) -> Iterator[str]:
    """Yield the description of a class or function of a module."""
    _, tree = source_of(module)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            yield from describe_class(node)
        elif isinstance(node, ast.FunctionDef) and node.name == name:
            head = f"### `{name}` (function)\n\n```py\n{signature(node)}\n```\n"
            yield f"{head}\n{markdown(ast.get_docstring(node))}\n"


def describe_class(node: ast.ClassDef) -> Iterator[str]:
    """Yield the description of a class: its head, its docstring, what it has."""
    bases = [ast.unparse(base).removeprefix("typing.") for base in node.bases]
    kind = "protocol" if "Protocol" in bases else "record" if "NamedTuple" in bases else "class"
    yield f"### `{node.name}` ({kind})\n"
    if kind == "record":
        yield f"```py\n{_fields(node)}\n```\n"
    elif call := _call(node):
        yield f"```py\n{call}\n```\n"
    yield f"{markdown(ast.get_docstring(node))}\n"
    if members := [
        text_of(n) for n in node.body if isinstance(n, ast.Assign) and not _is_private(n)
    ]:
        yield "\n".join(["```py", *members, "```\n"])
    forms: dict[str, list[str]] = {}
    for number, entry in enumerate(node.body):
        if _is_private(entry):
            continue
        if _is(entry, "overload"):
            forms.setdefault(entry.name, []).append(signature(entry))
        elif isinstance(entry, ast.AnnAssign) and kind != "record":
            following = node.body[number + 1] if number + 1 < len(node.body) else None
            yield f"#### `{text_of(entry)}`\n" + _comment(following)
        elif isinstance(entry, ast.FunctionDef):
            name = f"{node.name}.{entry.name}"
            head = "\n".join(forms.get(entry.name, [signature(entry)]))
            if _is(entry, "property"):
                head = "@property\n" + head
            doc = markdown(ast.get_docstring(entry))
            yield f"#### `{name}`\n\n```py\n{head}\n```\n\n{doc}\n"


def _is(entry: ast.stmt, decorator: str) -> TypeGuard[ast.FunctionDef]:
    return isinstance(entry, ast.FunctionDef) and decorator in map(
        ast.unparse, entry.decorator_list
    )


def _is_private(entry: ast.stmt) -> bool:
    if isinstance(entry, ast.FunctionDef):
        hidden = entry.name.startswith("_") and entry.name != "__call__"
        return hidden or "For the kernel." in (ast.get_docstring(entry) or "")
    if isinstance(entry, (ast.Assign, ast.AnnAssign)):
        return ast.unparse(entry).startswith("_")
    return False


def _call(node: ast.ClassDef) -> str:
    """Return the call that makes an object of a class which has a constructor of its own."""
    for entry in node.body:
        if isinstance(entry, ast.FunctionDef) and entry.name == "__init__":
            head = signature(entry).removeprefix("def __init__").rpartition(" -> ")[0]
            return "" if head == "()" else node.name + head
    return ""


def _fields(node: ast.ClassDef) -> str:
    """Return the fields of a record as the call that makes one."""
    fields = [text_of(n) for n in node.body if isinstance(n, ast.AnnAssign)]
    short = f"{node.name}({', '.join(fields)})"
    if len(short) <= 88:
        return short
    return f"{node.name}(\n    " + ",\n    ".join(fields) + ",\n)"


def _comment(node: ast.AST | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return f"\n{markdown(str(node.value.value))}\n"
    return ""
