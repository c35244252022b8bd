"""Parameters whose declaration differs from flow-core's."""

from __future__ import annotations

import os
from typing import Any

import flow_core.api as core

JSONTypeClass = type(core.JSONType)


class IncludeFile(core.IncludeFile):
    """As flow-core's, with the predecessor's order of arguments.

    A relative default is looked up in the current folder, and then beside the flow file.
    """

    def __init__(
        self,
        name: str,
        required: bool | None = None,
        is_text: bool | None = None,
        encoding: str | None = None,
        help: str | None = None,
        parser: Any = None,
        **options: Any,
    ) -> None:
        if parser is not None:
            options["parser"] = parser
        options.setdefault("default", None)
        text = is_text is None or is_text
        super().__init__(
            name,
            is_text=text,
            encoding=encoding or "utf-8",
            help=help,
            required=required,
            **options,
        )

    def resolve(self, given: Any, context: Any) -> Any:
        """Return the content of the file."""
        default = self.default
        if given is None and isinstance(default, (str, os.PathLike)):
            here = os.path.abspath(os.path.expanduser(default))
            if os.path.isfile(here):
                return super().resolve(here, context)
        return super().resolve(given, context)
