"""Text: Markdown, source code, output of programs, errors, values as Python writes them."""

from __future__ import annotations

import inspect
import textwrap
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from flow_cards.components.base import Component
from flow_cards.previews import preview, shorten


@dataclass(frozen=True)
class Markdown(Component):
    """Text with Markdown (CommonMark and tables). HTML in it is shown, not obeyed.

    Attributes:
        text: the text; what all its lines are indented by is taken off.
    """

    text: str = ""
    live: ClassVar[tuple[str, ...]] = ("text",)

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        self._set(text=textwrap.dedent(str(self.text)).strip("\n"))


@dataclass(frozen=True, init=False)
class Artifact(Component):
    """A value, as Python writes it: cut where it is long.

    Args:
        artifact: the value.
        name: a title.
        compressed: whether to cut it at 1,000 instead of 100,000 characters.

    Attributes:
        text: the text.
        type: its type.
        name: the title.
    """

    text: str
    type: str
    name: str | None
    live: ClassVar[tuple[str, ...]] = ("text",)

    def __init__(self, artifact: Any, name: str | None = None, compressed: bool = True) -> None:
        self._set(
            text=preview(artifact, 1000 if compressed else 100_000),
            type=type(artifact).__name__,
            name=name,
        )

    def settle(self) -> None:
        if not isinstance(self.text, str):  # a new value
            self._set(type=type(self.text).__name__, text=preview(self.text, 1000))


@dataclass(frozen=True, init=False)
class PythonCode(Component):
    """Source code.

    Args:
        code_func: a function or class whose source is shown.
        code_string: the text instead.

    Attributes:
        code: the text.
    """

    code: str
    live: ClassVar[tuple[str, ...]] = ("code",)

    def __init__(
        self, code_func: Callable[..., Any] | None = None, code_string: str | None = None
    ) -> None:
        if code_string is None:
            try:
                code_string = inspect.getsource(code_func) if code_func is not None else ""
            except (OSError, TypeError) as error:
                code_string = f"# the source cannot be read: {error}"
        self._set(code=textwrap.dedent(code_string).strip("\n"))


@dataclass(frozen=True, init=False)
class Error(Component):
    """An exception, with its traceback.

    Args:
        exception: the exception, or its text.
        title: what it means; by default the exception in one line.

    Attributes:
        title: see above.
        text: the traceback, or the exception's text.
    """

    title: str
    text: str

    def __init__(self, exception: BaseException | str, title: str | None = None) -> None:
        if isinstance(exception, BaseException):
            text = "".join(traceback.format_exception(exception)).rstrip()
            line = traceback.format_exception_only(exception)[-1].strip()
        else:
            text = str(exception)
            line = text.strip().rpartition("\n")[2]
        self._set(title=title or shorten(line, 300), text=text)


@dataclass(frozen=True)
class Log(Component):
    """Text as a program wrote it: spaces and line breaks count, colours and the like are left out.

    Attributes:
        text: the text.
        title: what wrote it.
        from_end: whether its end is seen first, where it needs scrolling.
    """

    text: str = ""
    title: str | None = None
    from_end: bool = False
    live: ClassVar[tuple[str, ...]] = ("text",)
