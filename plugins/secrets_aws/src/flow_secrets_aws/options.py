"""What can be set: options of a source, and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flow_core.api import Settings

OPTIONS = ("env_var_name", "json", "region", "version_id", "version_stage")
"""Options of a source."""


def declare(settings: Settings) -> None:
    """Declare the settings of this plugin."""
    settings.declare("secrets_aws_region", "", "AWS region of secrets whose source names none.")
    settings.declare("secrets_aws_role", "", "ARN of the role to assume where none is named.")
