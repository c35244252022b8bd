"""The decorator ``@project``, and what its options mean for a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from flow_core.api import DefinitionError, FlowDecorator, Options, UsageError, option

_LONGEST = 128
_NAME = re.compile(r"[a-z0-9_]+")
_BRANCH = re.compile(r"[A-Za-z0-9_.-]+")


@dataclass(frozen=True)
class ProjectOptions(Options):
    """Put the flow into a project, in which each branch of it keeps apart.

    A run is on the branch ``user.NAME``; with ``--branch b`` on ``test.b``; with ``--production`` on
    ``prod``, or ``prod.b`` with both. It gets the tags ``project:NAME`` and ``project_branch:BRANCH``.
    Where the flow is deployed, its name is ``project.branch.Flow``. Since 0.1.
    """

    name: str = option(help="Name of the project: small letters, digits and '_'.")
    branch: str | None = option(None, "The branch, as --branch gives it.")
    production: bool = option(False, "Whether it is production, as --production says.")

    def validate(self) -> None:
        """Refuse names that deployers could not use."""
        if not _NAME.fullmatch(self.name) or len(self.name) > _LONGEST:
            small = re.sub(r"[^a-z0-9_]+", "_", self.name.lower())[:_LONGEST].strip("_")
            raise DefinitionError(
                f"'{self.name}' cannot be the name of a project",
                why=f"it is made of small letters, digits and '_', at most {_LONGEST} of them",
                hint=f'@project(name="{small or "my_project"}")',
            )
        if self.branch is not None:
            check_branch(self.branch, 'branch="…"')


def check_branch(branch: str, where: str) -> None:
    """Raise `DefinitionError` for a name that no branch can have."""
    if not _BRANCH.fullmatch(branch) or len(branch) > _LONGEST:
        raise DefinitionError(
            f"'{branch}' cannot be the name of a branch",
            where=where,
            why=f"it is made of letters, digits, '_', '.' and '-', at most {_LONGEST} of them",
            hint="choose another name, for example 'my_change'",
        )


class Project(NamedTuple):
    """Where a run, or a deployment, belongs."""

    name: str
    branch: str
    user_branch: bool
    production: bool

    def facts(self, flow: str) -> dict[str, Any]:
        """Return what `current` tells the steps of ``flow``."""
        return {
            "project_name": self.name,
            "branch_name": self.branch,
            "is_user_branch": self.user_branch,
            "is_production": self.production,
            "project_flow_name": f"{self.name}.{self.branch}.{flow}",
        }


def choose(options: ProjectOptions, given: Mapping[str, Any], owner: str) -> Project:
    """Return the project and branch of a run.

    Args:
        options: those of the decorator.
        given: those of the command line.
        owner: whose branch it is when nothing else is said.

    Raises:
        UsageError: the command line contradicts the decorator, or names no possible branch.
    """
    branch = _one("branch", options.branch, given.get("branch"))
    production = options.production or bool(given.get("production"))
    if branch is not None:
        try:
            check_branch(branch, "--branch")
        except DefinitionError as error:
            raise UsageError(
                error.what, where=error.where, why=error.why, hint=error.hint
            ) from None
    if production:
        return Project(options.name, f"prod.{branch}" if branch else "prod", False, True)
    if branch is not None:
        return Project(options.name, f"test.{branch}", False, False)
    return Project(options.name, f"user.{owner}", True, False)


def _one(name: str, written: str | None, given: str | None) -> str | None:
    if written is not None and given is not None and written != given:
        raise UsageError(
            f"--{name} {given} contradicts the flow, which says {name}='{written}'",
            where="@project",
            hint=f"leave --{name} out, or take {name}= out of the decorator",
        )
    return given if given is not None else written


project = FlowDecorator("project", ProjectOptions)
