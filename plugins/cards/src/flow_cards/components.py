"""Components: what cards are made of. Each is pure data; `flow_cards.drawing` draws all of them.

    Markdown("# Result"), Table([["a", 1]], headers=["name", "count"]), ProgressBar(max=10, value=3)

A component of your own is made of others:

    @dataclass(frozen=True)
    class Score(Component):
        name: str
        value: float

        def parts(self):
            return [Markdown(f"**{self.name}**"), ProgressBar(max=1, value=self.value)]
"""

from __future__ import annotations

import inspect
import itertools
import math
import os
import textwrap
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar

from flow_cards.previews import preview, shorten

_MOST_ROWS = 1000
_MOST_COLUMNS = 50
_LONGEST_CELL = 2000


class Component:
    """Base class of all components. Subclass it as a frozen dataclass and say its `parts`.

    Since 0.1.
    """

    live: ClassVar[tuple[str, ...]] = ()
    """Names of the fields that `update` takes by position, in order."""

    def parts(self) -> Iterable[Component]:
        """Return the components of which this one is made. Built-in ones are drawn as they are."""
        raise NotImplementedError(f"{type(self).__name__} does not say its parts()")

    def update(self, *values: Any, **changes: Any) -> None:
        """Let cards of the running task show other data in the place of this component.

        The component itself does not change. ``current.card.refresh()`` shows it while the task
        runs.

        Args:
            values: new values of the fields in ``live``, in order.
            changes: new values of fields, by name.

        Raises:
            TypeError: there is no such field.
            RuntimeError: no task with a card runs here.
        """
        from flow_core.api import current

        cards = current.get("card")
        if cards is None:
            raise RuntimeError("Components can be updated in a task with @card only")
        cards.replace(self, {**dict(zip(self.live, values, strict=False)), **changes})

    def changed(self, changes: Mapping[str, Any]) -> Component:
        """Return a copy with other values in some fields.

        Raises:
            TypeError: there is no such field.
        """
        known = {field.name for field in fields(self)}  # type: ignore[arg-type]
        unknown = [name for name in changes if name not in known]
        if unknown:
            raise TypeError(
                f"{type(self).__name__} has no field '{unknown[0]}': it has {', '.join(sorted(known))}"
            )
        copy: Component = object.__new__(type(self))
        copy.restore({name: changes.get(name, getattr(self, name)) for name in known})
        copy.settle()
        return copy

    def restore(self, values: Mapping[str, Any]) -> None:
        """Set all fields of a component that is being made. Fields not named have their default."""
        for one in fields(self):  # type: ignore[arg-type]
            default = None if one.default is MISSING else one.default
            object.__setattr__(self, one.name, values.get(one.name, default))

    def settle(self) -> None:
        """Bring the fields into their form; called after they were set."""

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


Content = Iterable[Component]


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


@dataclass(frozen=True)
class Table(Component):
    """Rows of cells.

    Attributes:
        data: the rows, or a DataFrame. A cell is text, a number, True, False, None, or a component;
            anything else is shown as Python writes it. None = no rows.
        headers: the titles of the columns.
        note: a line below it.
    """

    data: Any = ()
    headers: Any = ()
    note: str = ""
    live: ClassVar[tuple[str, ...]] = ("data", "headers")

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        if _is_frame(self.data):
            table = type(self).from_dataframe(self.data)
            self._set(data=table.data, headers=table.headers, note=self.note or table.note)
            return
        rows = () if self.data is None else self.data
        heads = () if self.headers is None else self.headers
        cells = (row if _is_row(row) else (row,) for row in rows)
        self._set(
            data=tuple(tuple(_cell(cell) for cell in row) for row in cells),
            headers=tuple(str(head) for head in heads),
        )

    @classmethod
    def from_dataframe(cls, frame: Any, truncate: bool = True) -> Table:
        """Return the table of a DataFrame of pandas or polars, or of what has their methods.

        Args:
            frame: the DataFrame.
            truncate: whether to show no more than 1,000 rows and 50 columns; a note then says so.
        """
        rows, columns = frame.shape
        limit, width = (_MOST_ROWS, _MOST_COLUMNS) if truncate else (rows, columns)
        names = [str(name) for name in list(frame.columns)[:width]]
        cut = frame.head(limit)
        if hasattr(cut, "itertuples"):  # pandas
            indexed = _has_own_index(frame)
            start = 0 if indexed else 1
            data = [
                list(itertools.islice(row, start, width + 1)) for row in cut.itertuples(name=None)
            ]
            names = ["", *names] if indexed else names
        else:
            data = [list(row)[:width] for row in cut.iter_rows()]
        note = ""
        if rows > limit or columns > width:
            note = (
                f"{min(rows, limit):,} of {rows:,} rows, {min(columns, width)} of {columns} columns"
            )
        return cls(data, names, note)


def _is_frame(value: Any) -> bool:
    return all(hasattr(value, name) for name in ("columns", "shape", "head"))


def _is_row(value: Any) -> bool:
    """Whether something among the rows is one; a single value stands for a row with one cell."""
    return hasattr(value, "__iter__") and not isinstance(value, (str, bytes, dict, Component))


def _has_own_index(frame: Any) -> bool:
    return type(frame.index).__name__ != "RangeIndex"


def _cell(value: Any) -> Any:
    if isinstance(value, Component) or value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if type(value) is float else float(value)
    if isinstance(value, str):
        return shorten(str(value), _LONGEST_CELL)
    item = getattr(value, "item", None)  # a number of numpy
    if callable(item) and getattr(value, "shape", None) == ():
        try:
            plain = item()
        except Exception:
            plain = None
        if isinstance(plain, (bool, int, float, str)):
            return plain
    return preview(value, _LONGEST_CELL)


_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"BM", "image/bmp"),
)


@dataclass(frozen=True)
class Image(Component):
    """A picture: PNG, JPEG, GIF, WebP, BMP or SVG.

    Attributes:
        src: its bytes, or the path of a file, which is read now.
        label: a line below it.
        media: its media type, found from its bytes; ``""`` = it is no picture that browsers show.
    """

    src: Any = b""
    label: str | None = None
    media: str = ""
    live: ClassVar[tuple[str, ...]] = ("src", "label")

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        content = self.src
        if isinstance(content, (str, os.PathLike)):
            with open(content, "rb") as file:
                content = file.read()
        content = bytes(content)
        self._set(src=content, media=_media(content))

    @classmethod
    def from_matplotlib(cls, plot: Any, label: str | None = None) -> Image:
        """Return the picture of a figure of matplotlib, or of what has one (axes, artists)."""
        import io

        figure = plot if hasattr(plot, "savefig") else plot.get_figure()
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", bbox_inches="tight", dpi=144)
        return cls(buffer.getvalue(), label)

    @classmethod
    def from_pil_image(cls, image: Any, label: str | None = None) -> Image:
        """Return the picture of an image of Pillow, as PNG."""
        import io

        buffer = io.BytesIO()
        image.save(buffer, format="PNG")
        return cls(buffer.getvalue(), label)


def _media(content: bytes) -> str:
    for magic, media in _MAGIC:
        if content.startswith(magic):
            return media
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    head = content[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if head.startswith((b"<svg", b"<?xml")) and b"<svg" in content[:4096].lower():
        return "image/svg+xml"
    return ""


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


@dataclass(frozen=True)
class ProgressBar(Component):
    """How far something has come.

    Attributes:
        max: the value at the end.
        label: what is going on.
        value: how far it has come.
        unit: a word behind the numbers.
        metadata: a line of further text.
    """

    max: float = 100
    label: str | None = None
    value: float = 0
    unit: str | None = None
    metadata: str | None = None
    live: ClassVar[tuple[str, ...]] = ("value", "metadata")

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        for name in ("max", "value"):
            number = getattr(self, name)
            if isinstance(number, bool) or not isinstance(number, (int, float)):
                number = float(number)
            if not math.isfinite(number):
                raise ValueError(f"ProgressBar: {name} must be a finite number, not {number!r}")
            self._set(**{name: number})
        if self.max <= 0:
            raise ValueError(f"ProgressBar: max must be above 0, not {self.max!r}")

    @property
    def share(self) -> float:
        """How much of it is done, 0 to 1."""
        return min(1.0, max(0.0, self.value / self.max))


THEMES = ("default", "success", "warning", "danger", "bg-gradient-indigo-purple")


@dataclass(frozen=True)
class ValueBox(Component):
    """One number, or a few words, large.

    Attributes:
        title: up to 200 characters.
        value: a number, or up to 100 characters.
        subtitle: up to 300 characters.
        theme: ``default``, ``success``, ``warning``, ``danger`` or ``bg-gradient-indigo-purple``.
        change_indicator: up to 200 characters, such as ``+3 % since yesterday``.
    """

    title: str = ""
    value: str | int | float = ""
    subtitle: str | None = None
    theme: str | None = None
    change_indicator: str | None = None
    live: ClassVar[tuple[str, ...]] = ("title", "value")

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        limits = {"title": 200, "value": 100, "subtitle": 300, "change_indicator": 200}
        for name, limit in limits.items():
            value = getattr(self, name)
            if isinstance(value, str) and len(value) > limit:
                raise ValueError(f"ValueBox: {name} has more than {limit} characters")
        self._set(value=_cell(self.value))
        if self.theme is not None and self.theme not in THEMES:
            raise ValueError(f"ValueBox: theme cannot be {self.theme!r}: {', '.join(THEMES)}")


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
    """

    text: str = ""
    title: str | None = None
    live: ClassVar[tuple[str, ...]] = ("text",)


@dataclass(frozen=True)
class Facts(Component):
    """Names and what is known of them, side by side.

    Attributes:
        items: pairs of a name and a cell, see `Table`; or a dict.
    """

    items: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        pairs = self.items.items() if isinstance(self.items, Mapping) else self.items
        self._set(items=tuple((str(name), _cell(value)) for name, value in pairs))


@dataclass(frozen=True)
class Section(Component):
    """Components under a title.

    Attributes:
        title: the title; None = they only stand together.
        children: the components.
    """

    title: str | None = None
    children: Sequence[Component] = ()

    def __post_init__(self) -> None:
        self.settle()

    def settle(self) -> None:
        children = [self.children] if isinstance(self.children, Component) else self.children
        self._set(children=tuple(as_component(child) for child in children))


BUILT_IN: Mapping[str, type[Component]] = {
    kind.__name__: kind
    for kind in (
        Artifact,
        Error,
        Facts,
        Image,
        Log,
        Markdown,
        ProgressBar,
        PythonCode,
        Section,
        Table,
        ValueBox,
    )
}
"""The components that are drawn as they are, by name."""


def kind_of(component: Component) -> str | None:
    """Return the name of the built-in component that this one is; None = it is made of others."""
    for cls in type(component).__mro__:
        if BUILT_IN.get(cls.__name__) is cls:
            return cls.__name__
    return None


def as_component(value: Any) -> Component:
    """Return what shows ``value``: a component itself, text as Markdown, a DataFrame as a table,
    a figure as a picture, anything else as Python writes it."""
    if isinstance(value, Component):
        return value
    if isinstance(value, str):
        return Markdown(value)
    try:
        if _is_frame(value):
            return Table.from_dataframe(value)
        if hasattr(value, "savefig"):
            return Image.from_matplotlib(value)
    except Exception as error:  # whatever the code of others may raise
        return Error(error, f"A {type(value).__name__} cannot be shown")
    return Artifact(value)
