"""``--artifacts-module``: a Python file whose dict ``ARTIFACTS`` stands for inputs of the task."""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any

from flow_core.api import (
    Manifest,
    NotFound,
    RunDocument,
    Session,
    TaskSpec,
    UsageError,
    did_you_mean,
    manifest_key,
    unpack_inputs,
)

_NAME = "ARTIFACTS"
_EXAMPLES = '{"x": 3}   {"12/train/7": {"x": 3}} for one branch of a join'


def load(path: str) -> dict[str, Any]:
    """Return the dict ``ARTIFACTS`` of a Python file.

    Raises:
        UsageError: there is no such file or dict, or the file fails.
    """
    if not os.path.isfile(path):
        raise UsageError(f"There is no file '{path}'", where="--artifacts-module")
    module = types.ModuleType("artifacts_module")
    module.__file__ = os.path.abspath(path)
    sys.path.append(os.path.dirname(module.__file__))
    try:
        with open(path, "rb") as file:
            exec(compile(file.read(), path, "exec", dont_inherit=True), module.__dict__)
    except Exception as error:
        raise UsageError(
            f"The artifacts module '{path}' cannot be loaded",
            where=f"{path}:{_line(path, error)}",
            why=f"{type(error).__name__}: {error}",
        ) from error
    found = getattr(module, _NAME, None)
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise UsageError(
            f"The artifacts module '{path}' has no dict {_NAME} whose keys are names",
            where="--artifacts-module",
            hint=f"{_NAME} = {_EXAMPLES}",
        )
    return found


def _line(path: str, error: Exception) -> int:
    import traceback

    if isinstance(error, SyntaxError):
        return error.lineno or 1
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == path]
    return lines[-1] or 1 if lines else 1


class Overrides:
    """What is to be read instead of what the earlier tasks left.

    Args:
        values: the dict of the module: name → value, for all inputs; or pathspec of an input →
            such a dict, which comes first.

    Attributes:
        everywhere: name → value.
        by_task: (step, task) → {name: value}.
    """

    def __init__(self, values: Mapping[str, Any], manifest: Manifest) -> None:
        self.everywhere = {k: v for k, v in values.items() if "/" not in k}
        self.by_task: dict[tuple[str, int], dict[str, Any]] = {}
        inputs = {(ref.step, ref.task) for ref in unpack_inputs(manifest.inputs)}
        for key, table in values.items():
            if "/" in key:
                self.by_task[_input(key, manifest, inputs)] = _table(key, table)

    def parameters(self, document: RunDocument) -> dict[str, Any]:
        """Take out those of the values that are parameters of the run; return them."""
        names = {name.replace("-", "_"): name for name in document.parameters}
        mine = [name for name in self.everywhere if name in names]
        return {names[name]: self.everywhere.pop(name) for name in mine}

    def check(self, manifest: Manifest, document: RunDocument) -> None:
        """Raise `UsageError` for values that nothing would read: the first step has no inputs."""
        if not manifest.inputs and self.everywhere:
            name = next(iter(self.everywhere))
            raise UsageError(
                f"{_NAME} has '{name}', but step '{manifest.step}' has no inputs",
                where="--artifacts-module",
                why="it is the first step, which reads parameters only",
                hint=did_you_mean(name, document.parameters),
            )

    def write(self, session: Session, spec: TaskSpec) -> None:
        """Let the inputs of an attempt have the values: in the store of spins only."""
        if self.everywhere or self.by_task:
            session.store.write(list(self._records(session, spec)))

    def _records(self, session: Session, spec: TaskSpec) -> Iterator[tuple[str, bytes]]:
        refs = list(unpack_inputs(spec.inputs))
        keys = [manifest_key(spec.flow, spec.run, *ref) for ref in refs]
        for ref, key, raw in zip(refs, keys, session.store.read(keys), strict=True):
            values = {**self.everywhere, **self.by_task.get((ref.step, ref.task), {})}
            if not values:
                continue
            if raw is None:
                raise NotFound("The record of an input is missing", where=key)
            manifest = Manifest.decode(raw, key)
            new = {name: session.artifacts.save(name, value) for name, value in values.items()}
            changed = manifest._replace(run=spec.run, artifacts={**manifest.artifacts, **new})
            yield key, changed.encode()


def _input(key: str, manifest: Manifest, inputs: set[tuple[str, int]]) -> tuple[str, int]:
    *before, step, task = key.split("/")
    place = "/".join(before)
    own = (f"{manifest.flow}/{manifest.run}", manifest.run, "")
    if place in own and task.isdigit() and (step, int(task)) in inputs:
        return step, int(task)
    known = [f"{manifest.run}/{step}/{task}" for step, task in sorted(inputs)]
    raise UsageError(
        f"{_NAME} has '{key}', which is no input of {manifest.pathspec}",
        where="--artifacts-module",
        why="its inputs: " + ", ".join(known[:5]) + (", …" if len(known) > 5 else ""),
        hint=did_you_mean(key, known),
    )


def _table(key: str, table: Any) -> dict[str, Any]:
    if isinstance(table, dict) and all(isinstance(name, str) for name in table):
        return table
    raise UsageError(
        f"{_NAME}['{key}'] is a {type(table).__name__}, not a dict of artifacts",
        where="--artifacts-module",
        hint=f"{_NAME} = {_EXAMPLES}",
    )
