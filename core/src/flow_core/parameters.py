"""Parameters: values given from outside when a run starts, read-only inside the steps.

A `Parameter` is a class attribute of a flow. It declares a value; the value itself lives in the run.
"""

from __future__ import annotations

import codecs
import json
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from flow_core.errors import DefinitionError, FlowError, ParameterError, refuse

RESERVED = frozenset(
    {
        "help",
        "max-log-size",
        "max-workers",
        "name",
        "namespace",
        "params",
        "run-id",
        "run-id-file",
        "tag",
        "tags",
        "task-id",
        "with",
    }
)
"""Parameter names that clash with options of the commands (``-`` and ``_`` count as one)."""

_TRUE = frozenset({"1", "true", "t", "yes", "y", "on"})
_FALSE = frozenset({"0", "false", "f", "no", "n", "off"})


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
    """

    flow_name: str
    user_name: str
    parameter_name: str


class Parameter:
    """A value that a person gives on the command line, or that has a default.

    Args:
        name: name of the option: ``alpha`` is given as ``--alpha``; ``_`` and ``-`` are equal there.
        default: a value, or a function ``f(context: ParameterContext)`` called when a run starts.
        type: ``str``, ``int``, ``float``, ``bool`` or ``JSONType``; inferred from ``default``,
            else ``str``.
        help: text for ``--help``.
        required: the option must be given; False when there is a default.
        show_default: whether ``--help`` shows the default.

    Reading ``self.alpha`` in a step gives the value; assigning to it raises `AttributeError`.

    Raises:
        DefinitionError: the name is reserved or no option name, or the default is of another type.

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
        show_default: bool = True,
    ) -> None:
        self.name = name
        self.default = default
        self.type = type if type is not None else _infer(default)
        self.help = help or ""
        self.required = bool(required) and default is None
        self.show_default = show_default
        self.attribute = name
        self._check()

    def _check(self) -> None:
        option = self.name.replace("_", "-")
        if not option.replace("-", "").isalnum() or not option[:1].isalpha():
            raise DefinitionError(
                f"'{self.name}' cannot be the name of a parameter",
                why="a name is made of letters, digits, '_' and '-', and begins with a letter",
            )
        if option.lower() in RESERVED:
            raise DefinitionError(
                f"Parameter '{self.name}' has a reserved name",
                why=f"--{option} is an option of flow-core's own",
                hint=f"choose another name, for example '{self.name}_value'",
            )
        if self.type not in (str, int, float, bool) and not isinstance(self.type, _JSONType):
            raise DefinitionError(
                f"Parameter '{self.name}' has the type {self.type!r}",
                hint="use str, int, float, bool or JSONType",
            )
        if self.default is not None and not callable(self.default):
            self._check_default(self.default)

    def _check_default(self, value: Any) -> None:
        try:
            self.convert(value)
        except ParameterError as error:
            raise DefinitionError(
                f"The default of parameter '{self.name}' does not fit its type", why=error.what
            ) from None

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

    @property
    def option(self) -> str:
        """The command-line option: ``--learning-rate``."""
        return "--" + self.name.replace("_", "-")

    @property
    def type_name(self) -> str:
        """Name of the type, for help texts and errors."""
        return str(getattr(self.type, "__name__", self.type))

    def convert(self, value: Any) -> Any:
        """Return ``value`` (text from a command line, or a Python object) as the declared type.

        Raises:
            ParameterError: it does not fit.
        """
        try:
            return self._convert(value)
        except (ValueError, TypeError) as error:
            shown = value if isinstance(value, str) else repr(value)
            raise ParameterError(
                f"Parameter {self.option}: '{shown}' is not {_article(self.type_name)}",
                why=str(error) if isinstance(self.type, _JSONType) else None,
                hint=f"{self.option} {_example(self.type)}",
            ) from None

    def _convert(self, value: Any) -> Any:
        if isinstance(self.type, _JSONType):
            return json.loads(value) if isinstance(value, str) else json.loads(json.dumps(value))
        if self.type is bool:
            return _to_bool(value)
        if self.type is str:
            if not isinstance(value, str):
                raise TypeError("not a str")
            return value
        if isinstance(value, bool) or (self.type is int and isinstance(value, float)):
            raise TypeError("a number of another type")
        return self.type(value)

    def resolve(self, given: Any, context: ParameterContext) -> Any:
        """Return the value for a run: ``given`` (None = not given), or else the default.

        Raises:
            ParameterError: it is required and missing, does not fit, or its function failed.
        """
        if given is not None:
            return self.convert(given)
        default = self.default
        if callable(default):
            default = self._call_default(default, context)
        if default is None:
            if self.required:
                raise ParameterError(
                    f"Parameter {self.option} is required", hint=f"{self.option} VALUE"
                )
            return None
        return self.convert(default)

    def _call_default(self, function: Callable[..., Any], context: ParameterContext) -> Any:
        try:
            return function(context)
        except Exception as error:
            raise ParameterError(
                f"The default of parameter {self.option} could not be computed",
                why=f"{type(error).__name__}: {error}",
                hint=f"give a value: {self.option} VALUE",
            ) from error


class IncludeFile(Parameter):
    """A parameter whose value is the content of a file, read when the run starts.

    The content is stored with the run, so every step, on every machine, reads the same.

    Args:
        name, help, required, show_default: as for `Parameter`.
        default: path of a file, or a function that returns one. A relative default is looked up
            beside the flow file; a relative path on the command line in the current folder.
        is_text: True gives a ``str``, False ``bytes``.
        encoding: of the text.

    Since 0.1.
    """

    def __init__(
        self,
        name: str,
        default: Any = None,
        is_text: bool = True,
        encoding: str = "utf-8",
        help: str | None = None,
        required: bool | None = None,
        show_default: bool = True,
    ) -> None:
        try:
            codecs.lookup(encoding)
        except LookupError as error:
            raise DefinitionError(
                f"IncludeFile '{name}' cannot be read", why=str(error), hint="encoding='utf-8'"
            ) from None
        self.is_text = is_text
        self.encoding = encoding
        self.folder: str | None = None
        super().__init__(name, default, str, help, required, show_default)

    def __set_name__(self, owner: Any, attribute: str) -> None:
        super().__set_name__(owner, attribute)
        import sys

        module = sys.modules.get(getattr(owner, "__module__", ""))
        file = getattr(module, "__file__", None)
        self.folder = os.path.dirname(os.path.abspath(file)) if file else None

    @property
    def type_name(self) -> str:
        """``file``."""
        return "file"

    def _check_default(self, value: Any) -> None:
        if not isinstance(value, (str, os.PathLike)):
            raise DefinitionError(
                f"The default of IncludeFile '{self.name}' must be a path, not {value!r}"
            )

    def resolve(self, given: Any, context: ParameterContext) -> Any:
        """Return the content of the file; errors as `Parameter.resolve`."""
        path = given
        if path is None:
            default = self.default
            path = self._call_default(default, context) if callable(default) else default
            if not isinstance(path, (str, os.PathLike, type(None))):
                raise ParameterError(
                    f"The default of parameter {self.option} is no path, but {path!r}",
                    why="its function must return the path of a file",
                    hint=f"{self.option} PATH",
                )
            if path is not None and self.folder:
                path = os.path.join(self.folder, os.path.expanduser(path))
        if path is None:
            if self.required:
                raise ParameterError(
                    f"Parameter {self.option} is required", hint=f"{self.option} PATH"
                )
            return None
        return self._read(os.path.expanduser(path))

    def _read(self, path: str) -> str | bytes:
        try:
            with open(path, "rb") as file:
                content = file.read()
            return content.decode(self.encoding) if self.is_text else content
        except OSError as error:
            raise ParameterError(
                f"Parameter {self.option}: the file '{path}' cannot be read",
                why=error.strerror or str(error),
                hint=f"{self.option} PATH",
            ) from None
        except UnicodeDecodeError as error:
            raise ParameterError(
                f"Parameter {self.option}: the file '{path}' is not {self.encoding} text",
                why=str(error),
                hint=f"IncludeFile('{self.name}', is_text=False) or another encoding=",
            ) from None


def collect_parameters(flow: type, errors: list[FlowError] | None = None) -> tuple[Parameter, ...]:
    """Return the parameters of a flow class, inherited ones included, in order of declaration.

    Raises:
        DefinitionError: two have one name (upper and lower case count as the same); unless
            ``errors`` is given, which then gets it.
    """
    by_attribute: dict[str, Parameter] = {}
    for cls in reversed(flow.__mro__):
        for attribute, value in vars(cls).items():
            if isinstance(value, Parameter):
                by_attribute[attribute] = value
            else:
                by_attribute.pop(attribute, None)  # a subclass replaced it
    by_option: dict[str, Parameter] = {}
    for parameter in by_attribute.values():
        other = by_option.setdefault(parameter.option.lower(), parameter)
        if other is not parameter:
            error = DefinitionError(
                f"Flow '{flow.__name__}' has two parameters with the option {parameter.option}",
                where=f"attributes '{other.attribute}' and '{parameter.attribute}'",
                hint="give one of them another name",
            )
            refuse(error, errors)
    return tuple(by_attribute.values())


def resolve_parameters(
    parameters: Iterable[Parameter], given: Mapping[str, Any], flow_name: str, user: str
) -> dict[str, Any]:
    """Return the value of each parameter, by name. ``given`` maps names to values from outside."""
    from flow_core.errors import did_you_mean

    by_name = {p.name: p for p in parameters}
    for name in given:
        if name not in by_name:
            raise ParameterError(
                f"Flow '{flow_name}' has no parameter '{name}'", hint=did_you_mean(name, by_name)
            )
    return {
        p.name: p.resolve(given.get(p.name), ParameterContext(flow_name, user, p.name))
        for p in parameters
    }


def _infer(default: Any) -> Any:
    if isinstance(default, (dict, list)):
        return JSONType
    if isinstance(default, (bool, int, float)):
        return type(default)
    return str


def _to_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise ValueError("not a bool")


def _article(type_name: str) -> str:
    names = {"int": "an integer", "float": "a number", "bool": "true or false", "str": "text"}
    return names.get(type_name, f"valid {type_name}")


def _example(kind: Any) -> str:
    return {int: "3", float: "0.5", bool: "true", str: "TEXT"}.get(kind, "'{\"key\": 1}'")
