"""The decorator ``@secrets``: which secrets a step gets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from flow_core.api import DefinitionError, Options, StepDecorator, option
from flow_secrets.source import check_shape


class Hidden(Mapping[str, Any]):
    """Options of a source, which may be secret: no text shows them, and JSON does not take them."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = dict(options)

    def __getitem__(self, name: str) -> Any:
        return self._options[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._options)

    def __len__(self) -> int:
        return len(self._options)

    def __repr__(self) -> str:
        return "***"


@dataclass(frozen=True)
class SecretsOptions(Options):
    """Fetch secrets when a task of the step starts, and give them to it as environment variables.

    They are fetched where the task runs, before any code of the step does. They are not stored, and
    masked in what the task writes. A source is ``"type.id"``, ``"id"`` with the provider that the
    setting ``secrets_default`` names, or a dict with ``type``, ``id``, ``options`` and ``role``.
    Since 0.1.
    """

    sources: list[Any] | str = option(  # noqa: RUF009
        help="Where the secrets come from; as text, separated by commas."
    )
    role: str | None = option(None, "Identity with which to fetch those that name none.")
    allow_override: bool = option(
        False, "Whether a secret may replace a variable that the process has already."
    )

    def __post_init__(self) -> None:
        """Check the sources, and hide what they contain, before anything could show it."""
        given = _split(self.sources) if isinstance(self.sources, str) else self.sources
        if not isinstance(given, (list, tuple)):
            raise DefinitionError(
                f"Option 'sources' must be a list, not of type {type(given).__name__}",
                hint="@secrets(sources=['env.TOKEN'])",
            )
        object.__setattr__(self, "sources", [_hide(source) for source in given])
        super().__post_init__()

    @property
    def listed(self) -> list[Any]:
        """The sources."""
        return list(self.sources)

    def validate(self) -> None:
        """Refuse to fetch nothing."""
        if not self.sources:
            raise DefinitionError("@secrets has no sources", hint="@secrets(sources=['env.TOKEN'])")


def _split(text: str) -> Any:
    """Read sources as ``--with`` gives them: separated by commas, or one alone as a JSON object."""
    if not text.lstrip().startswith("{"):
        return text.split(",")
    try:
        return [json.loads(text)]
    except ValueError:
        raise DefinitionError(
            "Option 'sources' is not JSON, though it begins like it",
            hint="""@secrets(sources=[{"type": "file", "id": ".env"}])""",
        ) from None


def _hide(source: Any) -> Any:
    source = source.strip() if isinstance(source, str) else source
    check_shape(source)
    if isinstance(source, dict) and source.get("options") and may_be_secret(source):
        return {**source, "options": Hidden(source["options"])}
    return source


def may_be_secret(source: Any) -> bool:
    """Whether the options of a source may hold the secret itself."""
    return isinstance(source, dict) and source.get("type") in ("inline", None)


secrets = StepDecorator("secrets", SecretsOptions)
