"""The parser ``yaml``: only what is data, nothing that would run code."""

from __future__ import annotations

from typing import Any


def load(text: str) -> Any:
    """Return the value of a YAML text.

    Dates become dates, as in TOML. Tags that make Python objects are refused.

    Raises:
        ValueError: it is no YAML, or has a mapping with a key twice.
    """
    import yaml

    class Loader(yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader):  # type: ignore[misc]
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
            twice = next((key for key in keys if keys.count(key) > 1), None)
            if twice is not None:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key '{twice}' is there twice", node.start_mark
                )
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
