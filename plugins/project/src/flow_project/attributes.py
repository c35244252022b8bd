"""What `current` has by this plugin, for type checkers: ``flow plugins stubs`` reads it."""

from __future__ import annotations


class ProjectAttributes:
    """In flows with ``@project``."""

    project_name: str
    branch_name: str
    is_user_branch: bool
    is_production: bool
    project_flow_name: str
