"""``@pypi`` and ``@pypi_base``: their options, and how those of a step and of its flow are put together."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from flow_core.api import DefinitionError, FlowDecorator, Options, StepDecorator, option
from flow_pypi.wanted import by_name, check_no_password, listed

_OLDEST = 10  # 3.10: the oldest Python of tasks


@dataclass(frozen=True)
class PypiOptions(Options):
    """Run a step in an environment with these packages from PyPI, and no others.

    What is installed is fixed when the run starts, and recorded with it. Values of a step stand
    for those of @pypi_base; packages are put together, by name. Since 0.1.
    """

    packages: dict[str, str] | Sequence[str] = option(  # noqa: RUF009
        (), "Name → version: {'pandas': '2.2.*', 'requests[socks]': '>=2'}; or requirements."
    )
    python: str = option("", "Version of Python, '3.12' or '3.12.4'; default: the launcher's.")
    requirements: str = option(
        "", "A requirements file, relative to the flow's file, with one requirement a line."
    )
    pyproject: str = option(
        "",
        "A pyproject.toml, relative to the flow's file: its dependencies, as the uv.lock beside it "
        "has locked them, if there is one.",
    )
    index_url: str = option("", "URL of the index; default: the setting pypi_index, uv's, pip's.")
    extra_index_urls: Sequence[str] = option((), "URLs of further indexes.")
    disabled: bool | None = option(None, "True: run in the launcher's Python all the same.")

    def validate(self) -> None:
        """Refuse what nothing could be made of."""
        if self.python and not re.fullmatch(r"3\.\d+(\.\d+)?", self.python):
            raise DefinitionError(
                f"Option 'python' must be a version like '3.12', not {self.python!r}",
                hint="python='3.12'",
            )
        if self.python and int(self.python.split(".")[1]) < _OLDEST:
            raise DefinitionError(
                f"Tasks do not run in Python {self.python}",
                why=f"they need Python 3.{_OLDEST} or later",
                hint="python='3.12'",
            )
        listed(self.packages)  # raises where a package is no requirement
        for url in (self.index_url, *self.extra_index_urls):
            check_no_password(url)


class PypiBaseOptions(PypiOptions):
    """Run each step of a flow in an environment with these packages from PyPI, and no others.

    A step's own @pypi adds to it: its values stand for these, packages are put together, by name.
    Since 0.1.
    """


pypi = StepDecorator("pypi", PypiOptions)
pypi_base = FlowDecorator("pypi_base", PypiBaseOptions)


def merged(step: PypiOptions | None, base: PypiOptions | None) -> PypiOptions:
    """Return the options of a step in a flow with ``@pypi_base``."""
    if step is None or base is None:
        given = step or base or PypiOptions()
        return PypiOptions(**_values(given))
    values = _values(base)
    for name, value in _values(step).items():
        if name == "packages":
            packages = {**by_name(base.packages), **by_name(step.packages)}
            values[name] = tuple(text for key in sorted(packages) for text in packages[key])
        elif value is not None and len(str(value)) and value != ():
            values[name] = value
    return PypiOptions(**values)


def asked(options: PypiOptions) -> dict[str, Any]:
    """Return what the plan says of the options: JSON data, the same for the same demands."""
    found: dict[str, Any] = {"packages": sorted(listed(options.packages))}
    for name in ("python", "requirements", "pyproject", "index_url"):
        if getattr(options, name):
            found[name] = getattr(options, name)
    if options.extra_index_urls:
        found["extra_index_urls"] = list(options.extra_index_urls)
    return found


def _values(options: PypiOptions) -> dict[str, Any]:
    return {field.name: getattr(options, field.name) for field in fields(options)}
