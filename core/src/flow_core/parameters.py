"""Parameters: values given from outside when a run starts, read-only inside the steps.

A `Parameter` is a class attribute of a flow. It declares a value; the value itself lives in the run.
"""

from __future__ import annotations

import codecs
import enum
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_core.errors import DefinitionError, FlowError, ParameterError, did_you_mean, refuse

if TYPE_CHECKING:
    import click

RESERVED = frozenset(
    {
        "decospecs",
        "help",
        "max-log-size",
        "max-num-splits",
        "max-workers",
        "name",
        "namespace",
        "obj",
        "origin-run-id",
        "params",
        "run-id",
        "run-id-file",
        "runner-attribute-file",
        "tag",
        "tags",
        "task-id",
        "user-namespace",
        "with",
    }
)
"""Parameter names that clash with options of the commands (``-`` and ``_`` count as one)."""

RESERVED_WITH_CONFIGS = frozenset({"config", "config-value"})
"""The same, in flows that have a `Config`."""

_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
_FALSE = frozenset({"0", "false", "f", "no", "n", "off"})
_CONTAINERS = (list, tuple, dict, set, frozenset, bytes, bytearray)
_KEYWORDS = ("default", "type", "help", "required", "show_default", "separator", "multiple")
_CLICK = ("envvar", "hidden", "is_flag", "metavar", "nargs", "show_envvar")
_URL = re.compile(r"[A-Za-z][\w+.-]*://")


class _JSONType:
    """The type of parameters that are given as JSON text."""

    __name__ = "JSON"

    def __repr__(self) -> str:
        return "JSONType"


JSONType = _JSONType()
"""``Parameter("config", type=JSONType)``: the value is parsed from JSON text."""


class ParameterContext(NamedTuple):
    """What a callable default is given.

    Attributes:
        flow_name: name of the flow.
        user_name: who starts the run.
        parameter_name: the parameter that is asked for.
        configs: the flow's configurations by name; empty while one of them is asked for itself.
        ds_type: name of the store, ``local``.
    """

    flow_name: str
    user_name: str
    parameter_name: str
    configs: Mapping[str, Any] = {}
    ds_type: str = ""


def is_delayed(value: Any) -> bool:
    """Whether ``value``, or a part of it, is known only when the flow's configurations are.

    Such values come from `flow_core.config`, which a flow without configurations never imports.
    """
    if isinstance(value, dict):
        return any(is_delayed(part) for part in (*value.keys(), *value.values()))
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(map(is_delayed, value))
    return hasattr(type(value), "__flow_delayed__")


class Parameter:
    """A value that a person gives on the command line, or that has a default.

    Args:
        name: name of the option: ``alpha`` is given as ``--alpha``; ``_`` and ``-`` are equal there.
        default: a value, or a function ``f(context: ParameterContext)`` called when a run starts.
        type: ``str``, ``int``, ``float``, ``bool``, ``JSONType``, a type of click such as
            ``click.Choice(["a", "b"])``, an `enum.Enum`, or a function that makes the value of a text
            (``datetime.date.fromisoformat``); inferred from ``default``, else ``str``.
        help: text for ``--help``.
        required: the option must be given; False when there is a default.
        show_default: whether ``--help`` shows the default; None = it does.
        separator: the text is split at it, and the value is a list of texts: ``separator=","``.
        multiple: the option may be repeated, and the value is a tuple; ``()`` when it is not given.
        options: options of ``click.Option``: ``envvar``, ``hidden``, ``is_flag``, ``metavar``,
            ``nargs``, ``show_envvar``.

    Reading ``self.alpha`` in a step gives the value; assigning to it raises `AttributeError`.

    What is wrong with a declaration is told with all else that is wrong with the flow, when it is
    used: see ``problems``. All but the name may come from a `Config`.

    Attributes:
        place: file and line of the declaration.
        problems: what is wrong with the declaration, each with its file and line.

    Since 0.1.
    """

    attribute: str  # name of the class attribute; may differ from the option's name

    def __init__(
        self,
        name: str,
        default: Any = None,
        type: Any = None,
        help: str | None = None,
        required: bool | None = None,
        show_default: bool | None = None,
        *,
        separator: str | None = None,
        multiple: bool = False,
        **options: Any,
    ) -> None:
        self._declare(
            name,
            {
                "default": default,
                "type": type,
                "help": help,
                "required": required,
                "show_default": show_default,
                "separator": separator,
                "multiple": multiple,
                **options,
            },
        )

    def _declare(self, name: str, given: dict[str, Any]) -> None:
        """Keep what was given, and, when all of it is known already, settle it."""
        self.name = name
        self.attribute = name
        self.problems: list[DefinitionError] = []
        self._given = given
        self.place = place_outside(__file__)
        self.delayed = is_delayed(given)
        if not self.delayed:
            self._settle()

    def settled(self, evaluate: Callable[[Any], Any]) -> Parameter:
        """Return the parameter with all that comes from configurations put in.

        Args:
            evaluate: gives the value of what is delayed.
        """
        if not self.delayed:
            return self
        made: Parameter = object.__new__(type(self))
        made.__dict__.update(self.__dict__)
        made.problems = []
        made._given = evaluate(self._given)
        made.delayed = False
        made._settle()
        return made

    def _settle(self) -> None:
        given = dict(self._given)
        self.default = given.pop("default")
        self.separator: str | None = given.pop("separator")
        self.multiple = bool(given.pop("multiple"))
        kind = given.pop("type")
        if kind is None:
            lists = self.separator is not None and isinstance(self.default, (list, tuple))
            kind = str if lists else _infer(self.default, self.multiple)
        self.type = kind
        self.help = given.pop("help") or ""
        self.required = bool(given.pop("required")) and self.default is None
        self.show_default = given.pop("show_default") is not False
        self.options = given
        self.nargs = 1
        self._check()

    # --- what can be wrong with it --------------------------------------------------------------

    def _problem(self, what: str, *, why: str | None = None, hint: str | None = None) -> None:
        self.problems.append(DefinitionError(what, where=self.place, why=why, hint=hint))

    def _check(self) -> None:
        self._check_name()
        self._check_options()
        self._check_type()
        if not self.problems and self.default is not None and not callable(self.default):
            self._check_default(self.default)

    def _check_name(self) -> None:
        option = self.name.replace("_", "-")
        if not option.replace("-", "").isalnum() or not option[:1].isalpha():
            self._problem(
                f"'{self.name}' cannot be the name of a parameter",
                why="a name is made of letters, digits, '_' and '-', and begins with a letter",
                hint="Parameter('learning_rate')",
            )
        elif option.lower() in RESERVED:
            self._problem(
                f"Parameter '{self.name}' has a reserved name",
                why=f"--{option} is an option of flow-core's own",
                hint=f"choose another name, for example '{self.name}_value'",
            )

    def _check_options(self) -> None:
        for name, value in self.options.items():
            if name not in _CLICK:
                self._problem(
                    f"Parameter '{self.name}' has no option '{name}'",
                    hint=did_you_mean(name, (*_KEYWORDS, *_CLICK)),
                )
            elif callable(value):
                self._only_default(name)
        for name in ("help", "separator"):
            if callable(getattr(self, name)):
                self._only_default(name)
        nargs = self.options.get("nargs", 1)
        if not isinstance(nargs, int) or isinstance(nargs, bool) or nargs < 1:
            self._problem(
                f"Parameter '{self.name}' has nargs={nargs!r}",
                why="an option takes a fixed number of values",
                hint="nargs=2, or multiple=True for any number",
            )
        else:
            self.nargs = nargs

    def _only_default(self, name: str) -> None:
        self._problem(
            f"Parameter '{self.name}': {name}= cannot be a function",
            why="only the default may be computed when a run starts",
            hint=f"write the value out, or take it from a Config: {name}=config.{name}",
        )

    def _check_type(self) -> None:
        if self.type in _CONTAINERS or not _is_type(self.type):
            self._problem(
                f"Parameter '{self.name}' has the type {self.type!r}",
                why="a command line gives texts, and no text says what is in it"
                if self.type in _CONTAINERS
                else None,
                hint="use str, int, float, bool, JSONType, a type of click, or a function; "
                "for several values multiple=True, or separator=','",
            )
        elif getattr(self.type, "name", None) == "filename" and hasattr(self.type, "lazy"):
            self._problem(
                f"Parameter '{self.name}' has the type click.File",
                why="an open file cannot be stored with the run",
                hint=f"IncludeFile('{self.name}')",
            )
        if self.separator is not None and (self.type is not str or self.separator == ""):
            self._problem(
                f"Parameter '{self.name}' has separator={self.separator!r}, "
                + ("which separates nothing" if self.type is str else "but is no text"),
                why="only texts are split",
                hint="type=JSONType takes '[1, 2]'; or convert the parts in a step",
            )
        if self.separator is not None and (self.multiple or self.nargs > 1):
            self._problem(
                f"Parameter '{self.name}' has separator= and a second way to give several values",
                hint="keep separator= alone, or multiple=True alone",
            )
        if self.options.get("is_flag") and (self.type is not bool or self.multiple):
            self._problem(
                f"Parameter '{self.name}' is a flag, but no single bool",
                hint="type=bool, or leave is_flag out",
            )

    def _check_default(self, value: Any) -> None:
        try:
            self.convert(value)
        except ParameterError as error:
            self._problem(
                f"The default of parameter '{self.name}' does not fit its type",
                why=f"{error.what}: {error.why}" if error.why else error.what,
                hint="change the default, or type=",
            )

    # --- in a flow ------------------------------------------------------------------------------

    def __set_name__(self, owner: Any, attribute: str) -> None:
        self.attribute = attribute

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        return instance.__flow_parameter__(self)

    def __set__(self, instance: Any, value: Any) -> None:
        raise AttributeError(
            f"Parameter '{self.attribute}' cannot be changed: parameters are read-only. "
            f"Assign to another name, for example self.my_{self.attribute}."
        )

    def __delete__(self, instance: Any) -> None:
        raise AttributeError(f"Parameter '{self.attribute}' cannot be deleted: it is read-only.")

    def present(self, value: Any) -> Any:
        """Return what steps see of the stored ``value``."""
        return value

    # --- on the command line --------------------------------------------------------------------

    @property
    def option(self) -> str:
        """The command-line option: ``--learning-rate``."""
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        """The name under which `click_option` passes the value: ``parameter_learning_rate``."""
        return "parameter_" + self.name.replace("-", "_")

    @property
    def type_name(self) -> str:
        """Name of the type, for help texts and errors."""
        name = getattr(self.type, "__name__", None) or getattr(self.type, "name", None)
        return str(name or self.type)

    @property
    def choices(self) -> tuple[str, ...]:
        """What can be typed, for an enumeration and ``click.Choice``; else ``()``."""
        if _is_enum(self.type):
            return tuple(str(member.value) for member in self.type)
        return tuple(str(getattr(c, "name", c)) for c in getattr(self.type, "choices", None) or ())

    @property
    def default_text(self) -> str:
        """The default for people: ``0.5``, ``computed``; ``''`` when there is none, or it is not to
        be shown."""
        if self.default is None or not self.show_default:
            return ""
        if callable(self.default):
            return "computed"
        if isinstance(self.default, (list, tuple)) and (self.multiple or self.nargs > 1):
            return ", ".join(map(str, self.default))
        if self.separator and isinstance(self.default, (list, tuple)):
            return self.separator.join(map(str, self.default))
        if isinstance(self.type, _JSONType) and not isinstance(self.default, str):
            return json.dumps(self.default)
        return str(self.default.value if isinstance(self.default, enum.Enum) else self.default)

    def click_option(self, command: str = "run") -> click.Option:
        """Return the option for a command that takes the flow's parameters.

        Its value goes to the function of the command as `variable`: None when it is not given, else
        what `resolve` takes.

        Args:
            command: name of the command: ``FLOW_RUN_ALPHA`` gives the value as well.
        """
        import click

        own = self.options.get("envvar") or ()
        own = (own,) if isinstance(own, str) else tuple(own)
        name = self.name.replace("-", "_").upper()
        flag = bool(self.options.get("is_flag"))
        text = f"{self.option}/--no-{self.option[2:]}" if flag else self.option
        return click.Option(
            [text, self.variable],
            # Text is passed on as it is: `convert` gives the same errors everywhere.
            type=None if flag else self._click_type(),
            default=None,
            multiple=self.multiple,
            nargs=self.nargs,
            envvar=[f"FLOW_{command.upper()}_{name}", *own],
            show_envvar=bool(self.options.get("show_envvar")),
            hidden=bool(self.options.get("hidden")),
            metavar=None if flag else self._metavar(),
            help=self._help(),
        )

    def _click_type(self) -> Any:
        if not (self.multiple and isinstance(self.type, _JSONType)):
            return str
        import click

        class Texts(click.types.StringParamType):
            def split_envvar_value(self, rv: str) -> list[str]:
                return _json_texts(rv)

        return Texts()

    def _metavar(self) -> str:
        if self.options.get("metavar"):
            return str(self.options["metavar"])
        if self.choices:
            return f"[{'|'.join(self.choices)}]"
        one = self.type_name.upper()
        if self.separator:
            return f"{one}{self.separator}…"
        return " ".join([one] * self.nargs)

    def _help(self) -> str:
        notes = ["may be repeated"] if self.multiple else []
        if self.required:
            notes.append("required")
        elif self.default_text:
            notes.append(f"default: {self.default_text}")
        suffix = f"[{'; '.join(notes)}]" if notes else ""
        return "  ".join(filter(None, (self.help, suffix)))

    # --- values ---------------------------------------------------------------------------------

    def convert(self, value: Any) -> Any:
        """Return ``value`` (text from a command line, or a Python object) as the declared type.

        With ``multiple`` it is a list or tuple of such values, with ``separator`` one text or a
        list of texts.

        Raises:
            ParameterError: it does not fit.
        """
        if self.separator is not None:
            return self._split(value, self.separator)
        if not self.multiple:
            return self._group(value)
        several = isinstance(value, (list, tuple, set, frozenset))
        if several and self.nargs > 1 and not any(isinstance(v, (list, tuple)) for v in value):
            several = not value  # one group alone
        return tuple(self._group(v) for v in (value if several else (value,)))

    def _split(self, value: Any, separator: str) -> list[str]:
        parts = value.split(separator) if isinstance(value, str) and value else value or ()
        if not isinstance(parts, (list, tuple)):
            raise self._misfit(value, None)
        return [self._single(part) for part in parts]

    def _group(self, value: Any) -> Any:
        if self.nargs == 1:
            return self._single(value)
        parts = value.split() if isinstance(value, str) else value
        if not isinstance(parts, (list, tuple)) or len(parts) != self.nargs:
            raise self._misfit(value, f"it takes {self.nargs} values")
        return tuple(self._single(part) for part in parts)

    def _single(self, value: Any) -> Any:
        try:
            return self._convert(value)
        except FlowError:
            raise
        except Exception as error:  # a type of the person's own, or of click
            raise self._misfit(value, _reason(self.type, error)) from None

    def _misfit(self, value: Any, why: str | None) -> ParameterError:
        shown = value if isinstance(value, str) else repr(value)
        names = {"int": "an integer", "float": "a number", "bool": "true or false", "str": "text"}
        kind = names.get(self.type_name, f"a valid {self.type_name}")
        if isinstance(self.type, _JSONType):
            kind = "valid JSON"
        if self.choices:
            kind = f"one of {', '.join(self.choices)}"
        return ParameterError(
            f"Parameter {self.option}: '{shown}' is not {kind}",
            why=None if self.choices else why,
            hint=(did_you_mean(shown, self.choices) if self.choices else None)
            or f"{self.option} {self._example()}",
        )

    def _example(self) -> str:
        known = {int: "3", float: "0.5", bool: "true", str: "TEXT"}
        if isinstance(self.type, _JSONType):
            return "'{\"key\": 1}'"
        one = known.get(self.type, self.type_name.upper())
        if self.separator:
            return f"a{self.separator}b"
        return " ".join([one] * self.nargs)

    def _convert(self, value: Any) -> Any:
        kind = self.type
        if isinstance(kind, _JSONType):
            return json.loads(value) if isinstance(value, str) else json.loads(json.dumps(value))
        if kind is bool:
            return _to_bool(value)
        if kind is str:
            if not isinstance(value, str):
                raise TypeError("not a str")
            return value
        if kind in (int, float):
            if isinstance(value, bool) or (kind is int and isinstance(value, float)):
                raise TypeError("a number of another type")
            return kind(value)
        if hasattr(kind, "convert"):
            return kind.convert(value, None, None)
        if _is_enum(kind):
            return _member(kind, value)
        if not isinstance(value, str) and (not isinstance(kind, type) or isinstance(value, kind)):
            return value  # a function makes the value of a text, and this is one already
        return kind(value)

    def resolve(self, given: Any, context: ParameterContext) -> Any:
        """Return the value for a run: ``given`` (None = not given), or else the default.

        Raises:
            ParameterError: it is required and missing, does not fit, or its function failed.
        """
        if given is None or (self.multiple and given == ()):
            given = self.default
            if callable(given):
                return self._computed(given, context)
        if given is None or (self.multiple and given == ()):
            if self.required:
                raise ParameterError(
                    f"Parameter {self.option} is required", hint=f"{self.option} VALUE"
                )
            return () if self.multiple else None
        return self.convert(given)

    def _computed(self, function: Callable[..., Any], context: ParameterContext) -> Any:
        value = self._call_default(function, context)
        if value is None:
            return () if self.multiple else None
        try:
            return self.convert(value)
        except ParameterError as error:
            raise ParameterError(
                f"The default of parameter {self.option} is of another type",
                where=function_place(function),
                why=f"its function '{_function_name(function)}' returned {value!r}; {error.what}",
                hint=f"let it return {self.type_name}, or give a value: {self.option} VALUE",
            ) from None

    def _call_default(self, function: Callable[..., Any], context: ParameterContext) -> Any:
        try:
            return function(context)
        except Exception as error:
            raise ParameterError(
                f"The default of parameter {self.option} could not be computed",
                where=function_place(function),
                why=f"{type(error).__name__}: {error}",
                hint=f"give a value: {self.option} VALUE",
            ) from error


class IncludeFile(Parameter):
    """A parameter whose value is the content of a file, read when the run starts.

    The content is stored once, with the run, so every step, on every machine, reads the same; a
    step that does not use it does not load it.

    Args:
        name, help, required, show_default: as for `Parameter`.
        default: path of a file, or a function that returns one. A relative default is looked up
            beside the flow file; a relative path on the command line in the current folder.
        is_text: True gives a ``str``, False ``bytes``.
        encoding: of the text.
        parser: what steps see is its result for the content: a function, its import path
            (``"tomllib.loads"``), or a name such as ``"json"``. It is called when the run starts,
            since a text that it refuses starts no run, and in each task that reads the value.
        options: as for `Parameter`: ``envvar``, ``hidden``, ``metavar``, ``show_envvar``.

    Since 0.1.
    """

    def __init__(
        self,
        name: str,
        default: Any = None,
        is_text: bool | None = True,
        encoding: str | None = "utf-8",
        help: str | None = None,
        required: bool | None = None,
        show_default: bool | None = None,
        parser: Any = None,
        **options: Any,
    ) -> None:
        self.folder: str | None = None
        self._declare(
            name,
            {
                "default": default,
                "type": str,
                "help": help,
                "required": required,
                "show_default": show_default,
                "separator": None,
                "multiple": False,
                "is_text": is_text,
                "encoding": encoding,
                "parser": parser,
                **options,
            },
        )

    def _settle(self) -> None:
        given = self._given = dict(self._given)
        self.is_text = given.pop("is_text") is not False
        self.encoding = given.pop("encoding") or "utf-8"
        self.parser = given.pop("parser")
        super()._settle()

    def _check(self) -> None:
        try:
            codecs.lookup(self.encoding)
        except LookupError as error:
            self._problem(
                f"IncludeFile '{self.name}' cannot be read", why=str(error), hint="encoding='utf-8'"
            )
        super()._check()

    def __set_name__(self, owner: Any, attribute: str) -> None:
        super().__set_name__(owner, attribute)
        self.folder = folder_of(owner)

    @property
    def type_name(self) -> str:
        """``file``."""
        return "file"

    def _check_default(self, value: Any) -> None:
        if not isinstance(value, (str, os.PathLike)):
            self._problem(
                f"The default of IncludeFile '{self.name}' must be a path, not {value!r}",
                hint="default='data.csv', beside the flow file",
            )

    def present(self, value: Any) -> Any:
        """Return the content, or what the parser makes of it."""
        return value if value is None or self.parser is None else self._parsed(value)

    def _parsed(self, content: Any, where: str = "") -> Any:
        from flow_core.parsers import parse

        return parse(self.parser, content, f"IncludeFile '{self.name}'", where=where)

    def resolve(self, given: Any, context: ParameterContext) -> Any:
        """Return the content of the file; errors as `Parameter.resolve`."""
        path = given
        if path is None:
            default = self.default
            path = self._call_default(default, context) if callable(default) else default
            if not isinstance(path, (str, os.PathLike, type(None))):
                raise ParameterError(
                    f"The default of parameter {self.option} is no path, but {path!r}",
                    where=function_place(default),
                    why="its function must return the path of a file",
                    hint=f"{self.option} PATH",
                )
            if path is not None and self.folder and not _URL.match(os.fspath(path)):
                path = os.path.join(self.folder, os.path.expanduser(path))
        if path is None:
            if self.required:
                raise ParameterError(
                    f"Parameter {self.option} is required", hint=f"{self.option} PATH"
                )
            return None
        self._check_path(path)
        content = self._read(os.path.expanduser(path))
        if self.parser is not None:
            self._parsed(content, os.path.expanduser(path))  # what it refuses starts no run
        return content

    def _check_path(self, path: Any) -> None:
        if not isinstance(path, (str, os.PathLike)):
            raise ParameterError(
                f"Parameter {self.option}: {path!r} is not the path of a file",
                hint=f"{self.option} PATH",
            )
        if _URL.match(os.fspath(path)):
            raise ParameterError(
                f"Parameter {self.option}: '{path}' is no file of this machine",
                why="an IncludeFile is read once, when the run starts, and kept with it; "
                "what is fetched from elsewhere can be different each time",
                hint="download it and give its path, or fetch it in a step",
            )
        if self.parser is not None:
            from flow_core.parsers import load_parser

            load_parser(self.parser, f"IncludeFile '{self.name}'")  # a mistyped one starts no run

    def _read(self, path: str) -> str | bytes:
        try:
            with open(path, "rb") as file:
                content = file.read()
            return content.decode(self.encoding) if self.is_text else content
        except (OSError, ValueError) as error:
            if isinstance(error, UnicodeDecodeError):
                raise self._other_encoding(path, error) from None
            raise ParameterError(
                f"Parameter {self.option}: the file '{path}' cannot be read",
                why=getattr(error, "strerror", None) or str(error),
                hint=f"{self.option} PATH",
            ) from None

    def _other_encoding(self, path: str, error: UnicodeDecodeError) -> ParameterError:
        return ParameterError(
            f"Parameter {self.option}: the file '{path}' is not {self.encoding} text",
            why=str(error),
            hint=f"IncludeFile('{self.name}', is_text=False) or another encoding=",
        )


def folder_of(owner: Any) -> str | None:
    """Return the folder of the file in which a class stands; None in a notebook."""
    module = sys.modules.get(getattr(owner, "__module__", ""))
    file = getattr(module, "__file__", None)
    return os.path.dirname(os.path.abspath(file)) if file else None


def declared(flow: type) -> dict[str, Any]:
    """Return the parameters and configurations of a flow class by attribute, inherited included."""
    found: dict[str, Any] = {}
    for cls in reversed(flow.__mro__):
        for attribute, value in vars(cls).items():
            if isinstance(value, Parameter) or hasattr(type(value), "__flow_config__"):
                found[attribute] = value
            else:
                found.pop(attribute, None)  # a subclass replaced it
    return found


def has_configs(flow: type) -> bool:
    """Whether a flow class has a `Config`."""
    return any(not isinstance(value, Parameter) for value in declared(flow).values())


def collect_parameters(flow: type, errors: list[FlowError] | None = None) -> tuple[Parameter, ...]:
    """Return the parameters of a flow class, inherited ones included, in order of declaration.

    Raises:
        DefinitionError: one is declared wrongly, or two have one name (upper and lower case, ``-``
            and ``_`` count as the same; configurations count as well); unless ``errors`` is given,
            which then gets all of them.
    """
    found = declared(flow)
    parameters = tuple(p for p in found.values() if isinstance(p, Parameter))
    for parameter in parameters:
        for problem in parameter.problems:
            refuse(problem, errors)
    check_names(flow.__name__, found, errors)
    return parameters


def check_names(flow: str, found: Mapping[str, Any], errors: list[FlowError] | None) -> None:
    """Refuse two parameters or configurations of one name, and the names of options.

    Args:
        flow: name of the flow.
        found: attribute → `Parameter` or `Config`.
        errors: as for `collect_parameters`.
    """
    by_name: dict[str, str] = {}
    has_configs = any(not isinstance(value, Parameter) for value in found.values())
    for attribute, value in found.items():
        is_parameter = isinstance(value, Parameter)
        name = value.name if is_parameter else value.__flow_config__.name
        key = name.replace("_", "-").lower()
        if is_parameter and has_configs and key in RESERVED_WITH_CONFIGS:
            error = DefinitionError(
                f"Parameter '{name}' has a reserved name",
                where=value.place,
                why=f"--{key} gives the flow its configurations",
                hint=f"choose another name, for example '{name}_path'",
            )
            refuse(error, errors)
        other = by_name.setdefault(key, attribute)
        if other != attribute:
            refuse(_two_of_one_name(flow, found, other, attribute), errors)


def _two_of_one_name(flow: str, found: Mapping[str, Any], one: str, two: str) -> DefinitionError:
    kinds = [isinstance(found[attribute], Parameter) for attribute in (one, two)]
    value = found[two]
    name = value.option if kinds[1] else f"'{value.__flow_config__.name}'"
    if all(kinds):
        what = f"two parameters with the option {name}"
    elif any(kinds):
        what = f"a parameter and a configuration with the name {name.replace('--', '')}"
    else:
        what = f"two configurations with the name {name}"
    return DefinitionError(
        f"Flow '{flow}' has {what}",
        where=f"attributes '{one}' and '{two}'",
        why="upper and lower case, '-' and '_' count as the same",
        hint="give one of them another name",
    )


def resolve_parameters(
    parameters: Iterable[Parameter],
    given: Mapping[str, Any],
    flow_name: str,
    user: str,
    configs: Mapping[str, Any] | None = None,
    store: str = "",
) -> dict[str, Any]:
    """Return the value of each parameter, by name.

    Args:
        parameters: those of the flow.
        given: name → value from outside; ``-`` and ``_`` count as the same.
        flow_name, user, configs, store: for functions that compute a default.

    Raises:
        ParameterError: what is wrong; with more than one of them, all at once.
    """
    by_name = {p.name: p for p in parameters}
    spelling = {name.replace("-", "_"): name for name in by_name}
    found = {spelling.get(name.replace("-", "_"), name): value for name, value in given.items()}
    errors: list[FlowError] = [
        ParameterError(
            f"Flow '{flow_name}' has no parameter '{name}'", hint=did_you_mean(name, by_name)
        )
        for name in found
        if name not in by_name
    ]
    values: dict[str, Any] = {}
    for name, parameter in by_name.items():
        context = ParameterContext(flow_name, user, name, configs or {}, store)
        try:
            values[name] = parameter.resolve(found.get(name), context)
        except FlowError as error:
            errors.append(error)
    raise_all(errors, f"Flow '{flow_name}' cannot use its parameters", ParameterError)
    return values


def raise_all(errors: list[FlowError], what: str, kind: type[FlowError]) -> None:
    """Raise one error as it is, several as one of ``kind`` that numbers them."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        texts = (f"{number}. {error}" for number, error in enumerate(errors, 1))
        raise kind(f"{what}: {len(errors)} problems\n" + "\n".join(texts))


def _json_texts(text: str) -> list[str]:
    """Split JSON texts that stand one after another; what is none stays as it is, to be refused."""
    found: list[str] = []
    rest = text.strip()
    while rest:
        try:
            _, end = json.JSONDecoder().raw_decode(rest)
        except ValueError:
            return [*found, rest]
        found.append(rest[:end])
        rest = rest[end:].strip()
    return found


def _infer(default: Any, multiple: bool) -> Any:
    if multiple and isinstance(default, (list, tuple)):
        default = default[0] if default else None
    if isinstance(default, (dict, list)):
        return JSONType
    if isinstance(default, (bool, int, float, enum.Enum)):
        return type(default)
    return str


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, enum.EnumMeta)


def _member(kind: Any, value: Any) -> Any:
    """Return the member of an enumeration by its value, that as text, or its name."""
    for member in kind:
        if value is member or value == member.value or value in (str(member.value), member.name):
            return member
    raise ValueError("no such member")


def _is_type(kind: Any) -> bool:
    return isinstance(kind, _JSONType) or hasattr(kind, "convert") or callable(kind)


def _reason(kind: Any, error: Exception) -> str | None:
    """Return what an error of a conversion adds to the fact that the value does not fit."""
    if kind in (str, int, float, bool):
        return None
    message = getattr(error, "message", None)  # what errors of click call it
    text = message if isinstance(message, str) else str(error)
    return text or type(error).__name__


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("not a bool")


def place_outside(file: str) -> str:
    """Return file and line of the innermost statement that runs now and stands outside of ``file``."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename in (file, __file__) and frame.f_back is not None:
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _function_name(function: Any) -> str:
    return str(getattr(function, "__qualname__", None) or repr(function))


def function_place(function: Any) -> str | None:
    """Return file and line of a function; None when it has none."""
    code = getattr(function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else None
