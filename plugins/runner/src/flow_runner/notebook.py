"""`NBRunner`: a `Runner` for a flow that a cell of a notebook defines."""

from __future__ import annotations

import ast
import linecache
import os
import sys
import tempfile
from collections.abc import Mapping
from types import FunctionType
from typing import Any

from flow_core.api import FlowError, FlowSpec, UsageError
from flow_runner.runner import Runner


class NotInNotebook(FlowError):
    """`NBRunner` was used where there is no notebook, or for a flow that no cell defines."""


class NBRunner(Runner):
    """Starts a flow of a notebook as a process of its own: its cell is written to a file.

    The cell must have all that the flow needs: imports, helper functions, constants. What stands
    below the last class or function of the cell is left out, so that the runner may be called in
    the same cell. (``MyFlow.run()`` takes what the flow uses from all cells.)

    Args:
        flow: the flow class; None = that of the cell which runs now.
        show_output, profile, env, top_level: as for `Runner`.
        base_dir: folder for the file; None = a temporary one. Tasks run in the current folder.

    Raises:
        NotInNotebook: see there.

    Since 0.1.
    """

    def __init__(
        self,
        flow: type[FlowSpec] | None = None,
        show_output: bool = True,
        profile: str | None = None,
        env: Mapping[str, str] | None = None,
        base_dir: str | os.PathLike[str] | None = None,
        **top_level: Any,
    ) -> None:
        source = flow_source(_cell(flow))
        self._temporary = tempfile.TemporaryDirectory(prefix="flow-notebook-")
        name = flow.__name__ if flow is not None else "notebook_flow"
        path = os.path.join(os.fspath(base_dir or self._temporary.name), f"{name}.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(source)
        self._written = path
        # Modules beside the notebook are found as they are from its cells.
        search = os.pathsep.join(filter(None, [os.getcwd(), os.environ.get("PYTHONPATH")]))
        super().__init__(
            path if flow is None else f"{path}:{name}",
            show_output,
            profile,
            {"PYTHONPATH": search, **(env or {})},
            None,
            **top_level,
        )

    def nbrun(self, **parameters: Any) -> Any:
        """Run the flow, wait for the end, clean up; return the client's `Run`.

        A run that failed is returned like any other: see ``run.successful``. Errors as
        `Runner.run`.
        """
        return self._last(lambda: self.run(**parameters))

    def nbresume(self, *arguments: Any, **options: Any) -> Any:
        """Resume a run, as `nbrun`."""
        return self._last(lambda: self.resume(*arguments, **options))

    def _last(self, start: Any) -> Any:
        try:
            return start().run
        finally:
            self.cleanup()

    def cleanup(self) -> None:
        """End what runs, and remove the file. Nothing can be started after it."""
        super().cleanup()
        if os.path.exists(self._written):
            os.remove(self._written)
        self._temporary.cleanup()


def _cell(flow: type[FlowSpec] | None) -> str:
    """Return the source of the cell that defines the flow."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        raise NotInNotebook(
            "NBRunner works in a notebook",
            why="this is no IPython session",
            hint='Runner("my_flow.py"), or MyFlow.run()',
        )
    if flow is None:
        text: str = shell.transform_cell(shell.user_ns["In"][-1])
        return text
    functions = [v for v in vars(flow).values() if isinstance(v, FunctionType)]
    file = functions[0].__code__.co_filename if functions else ""
    lines = linecache.getlines(file)
    if not lines or os.path.isfile(file):
        raise NotInNotebook(
            f"Flow '{flow.__name__}' is of no cell of this notebook",
            where=file or None,
            hint=f'Runner("{file}")' if lines else f"{flow.__name__}.run()",
        )
    return "".join(lines)


def flow_source(cell: str) -> str:
    """Return a cell as a flow file, line by line: without what stands below its last definition,
    and without what only a notebook understands.

    Raises:
        UsageError: it defines no class.
    """
    tree = ast.parse(cell)
    kinds = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    last = max((n for n, node in enumerate(tree.body) if isinstance(node, kinds)), default=-1)
    if not any(isinstance(node, ast.ClassDef) for node in tree.body):
        raise UsageError(
            "This cell defines no flow",
            why="NBRunner() without a flow takes that of the cell in which it is called",
            hint="NBRunner(MyFlow)",
        )
    lines = cell.splitlines()
    for number, node in enumerate(tree.body):
        if number > last or _is_magic(node):
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", ()))])
            end = node.end_lineno or first
            lines[first - 1 : end] = [""] * (end - first + 1)
    return "\n".join(lines).rstrip() + "\n"


def _is_magic(node: ast.stmt) -> bool:
    """Whether a statement is a magic or a shell command, which IPython makes into calls."""
    return any(isinstance(n, ast.Name) and n.id == "get_ipython" for n in ast.walk(node)) and (
        not isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
    )
