"""The key of a step: all that its tasks depend on but what they read, as one hash and in words."""

from __future__ import annotations

import json
import os
import platform
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from blake3 import blake3

from flow_cache import CacheOptions
from flow_core.api import (
    CodeReader,
    Files,
    Fingerprint,
    Session,
    StepDefinition,
    TaskPlan,
    code_changes,
    plain_value,
)

FORMAT = 1
_NEUTRAL = frozenset({"cache", "retry", "timeout", "resources"})
"""Decorators that change how often and where a step runs, but not what comes of it."""


def digest(data: Any) -> str:
    """Return the hash of JSON data."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return blake3(text.encode()).hexdigest()[:32]


class StepKey(NamedTuple):
    """What the tasks of one step depend on, beside what they read.

    Attributes:
        code: key of a part → (name, file, line, hash); see `flow_core.api.Fingerprint`.
        of_step: the keys of those that are the step itself.
        values: module variables and constants that are plain data → hash of the value.
        environment: name → version or value: Python, packages, variables of the step.
        decorators: the decorators that may change the result.
        salt: as in the options.
    """

    code: Mapping[str, tuple[str, str, int, str]]
    of_step: tuple[str, ...]
    values: Mapping[str, str]
    environment: Mapping[str, str]
    decorators: Mapping[str, str]
    salt: str

    def digest(self, flow: str, step: str) -> str:
        """Return one hash of everything. Where a function stands in its file does not count."""
        code = {key: part[3] for key, part in self.code.items()}
        rest = (self.values, self.environment, self.decorators, self.salt)
        return digest([FORMAT, flow, step, code, *rest])

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> StepKey:
        """Undo `_asdict` and JSON."""
        code = {key: tuple(part) for key, part in data["code"].items()}
        return cls(
            code,
            tuple(data["of_step"]),
            dict(data["values"]),
            dict(data["environment"]),
            dict(data["decorators"]),
            data["salt"],
        )

    def differences(self, earlier: StepKey) -> list[dict[str, Any]]:
        """Return, as reasons, in what it differs from an earlier key of the step."""
        found: list[dict[str, Any]] = []
        changes = code_changes(earlier.fingerprint(), self.fingerprint())
        if changes:
            found.append({"kind": "code", "changes": changes})
        for kind in ("values", "environment", "decorators"):
            before, now = getattr(earlier, kind), getattr(self, kind)
            for name in sorted({*before, *now}):
                old, new = before.get(name, "(none)"), now.get(name, "(none)")
                if old != new:
                    word = {"values": "value", "decorators": "decorator"}.get(kind, kind)
                    known = {} if kind == "values" else {"old": old, "new": new}
                    found.append({"kind": word, "name": name, **known})
        if self.salt != earlier.salt:
            found.append({"kind": "salt", "old": earlier.salt, "new": self.salt})
        return found

    def fingerprint(self) -> Fingerprint:
        """Return the code as `code_changes` takes it."""
        from flow_core.api import Part

        parts = {key: Part(*part) for key, part in self.code.items()}
        nothing: frozenset[Any] = frozenset()
        return Fingerprint(parts, frozenset(self.of_step), nothing, nothing, nothing)


class StepKeys:
    """Makes the keys of the steps of a flow, from its files as they are now."""

    def __init__(self, session: Session) -> None:
        assert session.flow is not None
        self._session = session
        self._flow = session.flow
        definition = session.definition
        self._files = Files(session.graph.file, session.index.modules())
        self._reader = CodeReader(
            self._files,
            self._flow.__name__,
            definition.steps,
            [p.attribute for p in definition.parameters],
            self._flow.__module__,
        )
        self._states: dict[str, tuple[int, int]] = {}

    def key(self, step: StepDefinition, plan: TaskPlan, options: CacheOptions) -> StepKey:
        """Return the key of a step."""
        print_ = self._reader.fingerprint(step.name)
        self._remember(print_.files)
        return StepKey(
            code={key: (p.name, p.file, p.line, p.hash) for key, p in print_.parts.items()},
            of_step=tuple(sorted(print_.step)),
            values=self._values(print_),
            environment=self._environment(print_.packages, plan),
            decorators={a.name: _text(a.options) for a in step.attached if a.name not in _NEUTRAL},
            salt=options.salt,
        )

    def unchanged(self) -> bool:
        """Whether the files are still those that the keys were made of."""
        return all(_state(path) == state for path, state in self._states.items())

    def _environment(self, packages: Iterable[str], plan: TaskPlan) -> dict[str, str]:
        lock = self._session.environments.lock(plan.step) if plan.environment else None
        if lock is None:
            found = _own_environment(packages)
        else:  # it says all: Python, and each package with what that needs
            found = {"environment": f"{lock.provider} {lock.hash[:16]}"}
        found.update({f"${name}": value for name, value in plan.variables.items()})
        return found

    def _remember(self, labels: Iterable[str]) -> None:
        for label in labels:
            path = self._files.opened.get(label, label)
            self._states.setdefault(path, _state(path))

    def _values(self, print_: Fingerprint) -> dict[str, str]:
        """Code may compute a constant from what is no code: so the values count as well."""
        found: dict[str, Any] = {}
        for module, name in print_.variables:
            is_main = module == self._reader.main_name  # loaded as __main__, it may be
            loaded = sys.modules.get(self._flow.__module__ if is_main else module)
            if loaded is not None and hasattr(loaded, name):
                found[f"{'flow file' if is_main else module}: {name}"] = getattr(loaded, name)
        for part in print_.parts.values():
            _, _, name = part.name.partition(".")
            if name and name not in self._session.definition.steps:
                found[part.name] = getattr(self._flow, name, None)
        texts = {name: plain_value(value) for name, value in found.items()}
        return {name: digest(text) for name, text in texts.items() if text is not None}


def _state(path: str) -> tuple[int, int]:
    try:
        found = os.stat(path)
    except OSError:
        return (0, 0)
    return (found.st_mtime_ns, found.st_size)


def _own_environment(packages: Iterable[str]) -> dict[str, str]:
    found = {"Python": platform.python_version(), "implementation": sys.implementation.name}
    for name in sorted(packages):
        version = _version(name)
        if version is not None:
            found[name] = version
    return found


def _version(module: str) -> str | None:
    """Return the version of what a module is installed from; None for the standard library."""
    from importlib.metadata import PackageNotFoundError, packages_distributions, version

    if module in sys.stdlib_module_names or module == "flow_core":
        return None
    try:
        return version(module)
    except PackageNotFoundError:
        names = packages_distributions().get(module, ())  # scikit-learn is imported as sklearn
        return ",".join(sorted(version(name) for name in names)) or None


def _text(options: Any) -> str:
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(options))
