"""The words that begin a task: a shell that finds a Python, and the program which that runs."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable
from importlib.resources import files

PYTHONS = ("python3", "python")
"""What is tried behind all others."""

SCRIPT = """\
fail() {
  line="FLOW-BOOT-FAILED {\\"what\\": \\"$1\\", \\"where\\": \\"$2\\", \\"why\\": \\"$3\\", \\"hint\\": \\"$4\\"}"
  echo "$line" >&2
  log="${FLOW_TERMINATION_LOG:-/dev/termination-log}"
  if [ -n "$FLOW_TERMINATION_LOG" ] || [ -w "$log" ]; then echo "$line" >"$log"; fi
  exit 202
}
boot="$1"
shift
here="$(uname -m 2>/dev/null) $(uname -n 2>/dev/null)"
seen=""
[ -z "$FLOW_PYTHON" ] || set -- "$FLOW_PYTHON"
for python in "$@"; do
  case "$python" in
    */*) [ -e "$python" ] || continue ;;
    *) python="$(command -v "$python" 2>/dev/null)" || continue ;;
  esac
  told="$("$python" -E -S -c 'import sys
v = sys.version_info
print("flow %d.%d.%d" % v[:3])
sys.exit(v < (3, 10))' 2>&1)"
  code=$?
  case "$code $told" in
    "0 flow "*) exec "$python" -c "$boot" ;;
    "1 flow "*) seen="$seen; $python is ${told#flow }, older than 3.10" ;;
    *[Ee]"xec format error"*|*"cannot execute binary"*|*"yntax error"*)
      seen="$seen; $python is for another processor than this one (Exec format error)" ;;
    127*) seen="$seen; $python cannot be executed here (its loader is not found: another libc?)" ;;
    126*) seen="$seen; $python may not be executed" ;;
    *) seen="$seen; $python does not run here (it ends with status $code)" ;;
  esac
done
[ -n "$seen" ] || seen="; none of these is there: $*"
fail "There is no Python here that can run flow-core" "$here" "${seen#; }" \\
  "use an image with Python 3.10 or newer (python:3.12-slim), or name one: FLOW_PYTHON=/path/to/python"
"""
"""For any POSIX shell; its arguments are the program, and the Pythons to try."""


def boot_command(
    pythons: Iterable[str] = (), version: str | None = None, *, program: str | None = None
) -> tuple[str, ...]:
    """Return the words that begin a task on any machine with a shell and a Python.

    They hold no secrets, and are the same for all tasks of a run: what the task is stands in the
    variable ``FLOW_TASK``. The shell replaces itself by the Python that it finds, so that signals
    reach this. ``FLOW_PYTHON``, a variable of the task, names the only one that is tried.

    Args:
        pythons: paths or names of interpreters that are preferred, in order.
        version: the launcher's version of Python, ``3.12``: one that is like it comes before others.
        program: the text of the program; None = `boot_program`.

    Since 0.1.
    """
    like = (f"python{version}",) if version else ()
    words = dict.fromkeys((*pythons, *like, *PYTHONS))
    return ("/bin/sh", "-c", SCRIPT, "flow-task", program or boot_program(), *words)


@functools.cache
def boot_program() -> str:
    """Return the text of `flow_remote.boot`, without what only people read. Since 0.1."""
    return lean(files("flow_remote").joinpath("boot.py").read_text(encoding="utf-8"))


@functools.cache
def lean(source: str) -> str:
    """Return the text of a module without comments, docstrings and annotations of functions.

    It travels with each task: half of it is for people. What is left can still be read. Since 0.1.
    """
    tree = _Lean().visit(ast.parse(source))
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


class _Lean(ast.NodeTransformer):
    def visit_Module(self, node: ast.Module) -> ast.AST:
        return self._without_texts(node)

    def visit_If(self, node: ast.If) -> ast.AST | None:
        """Leave out what only type checkers read."""
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return None
        self.generic_visit(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._without_texts(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._without_texts(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def _without_texts(self, node: ast.Module | ast.ClassDef | ast.FunctionDef) -> ast.AST:
        self.generic_visit(node)
        node.body = [part for part in node.body if not _is_text(part)] or [ast.Pass()]
        return node


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
