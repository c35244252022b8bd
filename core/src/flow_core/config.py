"""Configurations: values that are known before a flow's decorators and parameters are, and shape them.

A `Config` is a class attribute of a flow. While the class is read its values are not known yet: then
``config.a.b`` is a `Delayed` value, which decorators and parameters take in place of a real one. In
steps ``self.config.a.b`` is the value itself.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

from flow_core.errors import (
    DefinitionError,
    FlowError,
    UsageError,
    did_you_mean,
    refuse,
)
from flow_core.index import PluginIndex
from flow_core.options import Decorator, Options
from flow_core.parameters import (
    ParameterContext,
    check_names,
    declared,
    folder_of,
    function_place,
    place_outside,
    raise_all,
)
from flow_core.parsers import parse, parser_for

_UNPACK = "__flow_unpack_"
_numbers = itertools.count()

_TWICE = (False, object())

ConfigChoice = tuple[str, Any]
"""(name of a configuration, path of its file) or (name, its value: text or an object)."""


class ConfigValue(dict[str, Any]):
    """The value of a configuration, or a section of it: a mapping that cannot be changed.

    ``value.a.b`` is ``value["a"]["b"]``; a key that is the name of a method of mappings, such as
    ``items``, can be read the second way only. Since 0.1.
    """

    def __init__(self, values: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__({key: _wrapped(value) for key, value in dict(values).items()})

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            hint = did_you_mean(name, map(str, self)) if not name.startswith("__") else ""
            raise AttributeError(
                f"The configuration has no '{name}' here{f' ({hint})' if hint else ''}"
            ) from None

    def to_dict(self) -> dict[str, Any]:
        """Return the values as plain dicts, which are yours to change."""
        return {key: _unwrapped(value) for key, value in self.items()}

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *map(str, self)})

    def __repr__(self) -> str:
        return f"ConfigValue({self.to_dict()!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (ConfigValue, (self.to_dict(),))

    def __copy__(self) -> ConfigValue:
        return self

    def __deepcopy__(self, memo: Any) -> ConfigValue:
        return self

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError(
            "A configuration cannot be changed; to_dict() gives a copy that is yours to change"
        )

    __setitem__ = __delitem__ = __setattr__ = __delattr__ = _refuse
    clear = pop = popitem = setdefault = update = __ior__ = _refuse


def _wrapped(value: Any) -> Any:
    if isinstance(value, ConfigValue):
        return value
    if isinstance(value, Mapping):
        return ConfigValue(value)
    if isinstance(value, (list, tuple)):
        return type(value)(map(_wrapped, value)) if type(value) in (list, tuple) else value
    return value


def _unwrapped(value: Any) -> Any:
    if isinstance(value, ConfigValue):
        return value.to_dict()
    if type(value) in (list, tuple):
        return type(value)(map(_unwrapped, value))
    return value


class ConfigDeclaration:
    """What a `Config` declares. See there for the arguments.

    Attributes:
        attribute: name of the class attribute.
        place: file and line of the declaration.
        problems: what is wrong with it.
    """

    def __init__(
        self,
        name: str,
        default: Any,
        default_value: Any,
        help: str | None,
        required: bool | None,
        parser: Any,
        plain: bool,
        show_default: bool | None,
    ) -> None:
        self.name = name
        self.attribute = name
        self.default = default
        self.default_value = default_value
        self.help = help or ""
        self.required = bool(required)
        self.parser = parser
        self.plain = plain
        self.show_default = show_default is not False
        self.folder: str | None = None
        self.place = place_outside(__file__)
        self.problems: list[DefinitionError] = []
        self._check()

    def _check(self) -> None:
        if not self.name.replace("_", "").replace("-", "").isalnum() or not self.name[:1].isalpha():
            self._problem(
                f"'{self.name}' cannot be the name of a configuration",
                "a name is made of letters, digits, '_' and '-', and begins with a letter",
                "Config('settings')",
            )
        if self.default is not None and self.default_value is not None:
            self._problem(
                f"Config '{self.name}' has default= and default_value=",
                "the first is the path of a file, the second the value itself",
                "keep one of them",
            )

    def _problem(self, what: str, why: str, hint: str) -> None:
        self.problems.append(DefinitionError(what, where=self.place, why=why, hint=hint))

    @property
    def default_text(self) -> str:
        """The default for people; ``''`` when there is none, or it is not to be shown."""
        default = self.default if self.default is not None else self.default_value
        if default is None or not self.show_default:
            return ""
        if callable(default):
            return "computed"
        return str(default) if isinstance(default, (str, os.PathLike)) else json.dumps(default)

    def present(self, value: Any) -> Any:
        """Return what steps see of the stored ``value``."""
        return value


class Config:
    """A configuration of a flow: read before its decorators and parameters, which may depend on it.

        settings = Config("settings", default="settings.toml")

        @retry(times=settings.retries)
        @step
        def start(self):
            print(self.settings.model.depth)

    ``--config NAME FILE`` reads another file, ``--config-value NAME TEXT`` gives the value itself.

    Args:
        name: name for the command line.
        default: path of a file, looked up beside the flow file, or a function of a
            `ParameterContext` that returns one. That it is missing is an error only when a value
            is required.
        default_value: the value itself: a mapping, or a text to parse, or a function of a
            `ParameterContext` that returns one.
        help: text for ``--help``.
        required: there must be a value.
        parser: a function of the text, its import path (``"tomllib.loads"``), or a name: ``json``,
            ``toml``, ``yaml`` (with flow-yaml); None = by the ending of the file, else JSON.
        plain: the value is what the parser returns, whatever it is; without a parser, the text.
            Else it must be a mapping, and becomes a `ConfigValue`.
        show_default: whether ``--help`` shows the default; None = it does.

    Without a value, ``self.settings`` is None. Since 0.1.
    """

    __flow_config__: ConfigDeclaration = None  # type: ignore[assignment]  # of the class itself
    __flow_delayed__ = True

    def __init__(
        self,
        name: str,
        default: Any = None,
        default_value: Any = None,
        help: str | None = None,
        required: bool | None = None,
        parser: Any = None,
        plain: bool = False,
        show_default: bool | None = None,
    ) -> None:
        # One attribute only, and no public one: each name may be a key of the configuration.
        self.__flow_config__ = ConfigDeclaration(
            name, default, default_value, help, required, parser, plain, show_default
        )

    def __set_name__(self, owner: Any, attribute: str) -> None:
        self.__flow_config__.attribute = attribute
        self.__flow_config__.folder = folder_of(owner)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return self
        return instance.__flow_parameter__(self.__flow_config__)

    def __set__(self, instance: Any, value: Any) -> None:
        name = self.__flow_config__.attribute
        raise AttributeError(
            f"The configuration '{name}' cannot be changed: configurations are read-only. "
            f"Assign to another name, for example self.my_{name}."
        )

    def __delete__(self, instance: Any) -> None:
        raise AttributeError(
            f"The configuration '{self.__flow_config__.attribute}' cannot be deleted: it is read-only."
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(Delayed(self.__flow_config__), name)

    def __getitem__(self, key: Any) -> Any:
        return Delayed(self.__flow_config__)[key]

    def keys(self) -> list[str]:
        """For ``**settings``; a key of this name is read as ``settings["keys"]``."""
        return Delayed(self.__flow_config__).keys()

    def __iter__(self) -> Iterator[Any]:
        return iter(Delayed(self.__flow_config__))

    def __repr__(self) -> str:
        return f"<config {self.__flow_config__.name}>"


class Delayed:
    """A value that is known when the flow's configurations are: ``settings.model.depth``.

    It can be handed to decorators and parameters of the flow, also inside of lists and dicts, and
    unpacked there with ``**``. Nothing can be computed with it: `config_expr` does that.
    """

    __slots__ = ("__flow_path__", "__flow_source__")
    __flow_delayed__ = True

    __flow_source__: ConfigDeclaration | _Expression
    __flow_path__: tuple[tuple[str, Any], ...]

    def __init__(
        self, source: ConfigDeclaration | _Expression, path: tuple[tuple[str, Any], ...] = ()
    ) -> None:
        self.__flow_source__ = source
        self.__flow_path__ = path

    def __getattr__(self, name: str) -> Delayed:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)
        return Delayed(self.__flow_source__, (*self.__flow_path__, (".", name)))

    def __getitem__(self, key: Any) -> Delayed:
        if isinstance(key, str) and key.startswith(_UNPACK):
            return self
        return Delayed(self.__flow_source__, (*self.__flow_path__, ("[]", key)))

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """A class attribute ``depth = settings.depth``: in steps, its value."""
        if instance is None:
            return self
        return evaluate(self, instance.__flow_parameter__, owner)

    def keys(self) -> list[str]:
        """For ``**settings.section``: a mark that `settle` replaces by what is there then."""
        return [f"{_UNPACK}{next(_numbers)}"]

    def _unknown(self, *_: Any) -> NoReturn:
        raise TypeError(
            f"{self!r} is not known yet while the class is read: hand it to a decorator or a "
            f'Parameter as it is, or compute with config_expr("{describe(self)}")'
        )

    __bool__ = __iter__ = __len__ = __int__ = __float__ = __index__ = _unknown
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _unknown
    __lt__ = __le__ = __gt__ = __ge__ = __contains__ = __format__ = _unknown

    def __repr__(self) -> str:
        return f"<delayed {describe(self)}>"


class _Expression(NamedTuple):
    text: str
    names: Mapping[str, Any]
    place: str


def config_expr(expression: str) -> Any:
    """Return a value that is computed when the configurations of the flow are known.

        @project(name=config_expr("settings.project + '_' + settings.team"))
        class MyFlow(FlowSpec): …

    Args:
        expression: a Python expression. In it stand the flow's configurations by name, and the
            global names of the module that calls this.

    Attributes and items of the result are delayed as well. Since 0.1.

    Raises:
        DefinitionError: it is no expression.
    """
    frame = sys._getframe(1)
    place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
    try:
        compile(expression, "<config_expr>", "eval")
    except (SyntaxError, TypeError, ValueError) as error:
        raise DefinitionError(
            f"config_expr({expression!r}) is no Python expression",
            where=place,
            why=str(error),
            hint='config_expr("settings.depth + 1")',
        ) from None
    return Delayed(_Expression(expression, frame.f_globals, place))


def describe(delayed: Delayed) -> str:
    """Return a delayed value as it is written: ``settings.model['depth']``."""
    source = delayed.__flow_source__
    path = delayed.__flow_path__
    head = source.attribute if isinstance(source, ConfigDeclaration) else source.text
    if path and isinstance(source, _Expression):
        head = f"({head})"
    return head + "".join(f".{key}" if kind == "." else f"[{key!r}]" for kind, key in path)


# --- from delayed values to values ----------------------------------------------------------------


def evaluate(
    delayed: Delayed, read: Callable[[ConfigDeclaration], Any], flow: type | None = None
) -> Any:
    """Return the value of ``delayed``.

    Args:
        delayed: see there.
        read: gives the value of a configuration.
        flow: the flow class, whose configurations are the names in expressions.

    Raises:
        DefinitionError: it has none: the configuration lacks it, or the expression failed.
    """
    source = delayed.__flow_source__
    try:
        if isinstance(source, ConfigDeclaration):
            value = read(source)
            if value is None and delayed.__flow_path__:
                raise LookupError(f"the configuration '{source.name}' has no value")
        else:
            value = _compute(source, read, flow)
        for kind, key in delayed.__flow_path__:
            value = getattr(value, key) if kind == "." else value[key]
    except FlowError:
        raise
    except Exception as error:  # the person's own expression may raise anything
        raise _no_value(delayed, error) from error
    return value


def _compute(
    source: _Expression, read: Callable[[ConfigDeclaration], Any], flow: type | None
) -> Any:
    names: dict[str, Any] = dict(source.names)
    for declaration in declarations(flow) if flow is not None else ():
        value = read(declaration)
        names[declaration.name.replace("-", "_")] = names[declaration.attribute] = value
    return eval(source.text, names)


def _no_value(delayed: Delayed, error: Exception) -> DefinitionError:
    source = delayed.__flow_source__
    why = str(error) if isinstance(error, (AttributeError, LookupError)) else ""
    if isinstance(error, KeyError):
        why = f"there is no key {error}"
    return DefinitionError(
        f"'{describe(delayed)}' has no value",
        where=_place(source),
        why=why or f"{type(error).__name__}: {error}",
        hint="correct the configuration, or what is asked of it"
        if isinstance(source, _Expression)
        else f"--config {source.name} FILE, or correct what is asked of it",
    )


def _place(source: ConfigDeclaration | _Expression) -> str | None:
    """The line of an expression; of a configuration None: who asks it for something is told."""
    return source.place if isinstance(source, _Expression) else None


def settle(value: Any, evaluate_one: Callable[[Delayed], Any]) -> Any:
    """Return ``value`` with all that is delayed in it replaced, in dicts, lists and tuples too.

    Sections of configurations become plain dicts: what gets them may keep and change them.
    """
    if isinstance(value, Delayed):
        return _unwrapped(evaluate_one(value))
    if isinstance(value, Config):
        return _unwrapped(evaluate_one(Delayed(value.__flow_config__)))
    if isinstance(value, dict):
        found: dict[Any, Any] = {}
        for key, part in value.items():
            made = settle(part, evaluate_one)
            if isinstance(key, str) and key.startswith(_UNPACK):
                found.update(_unpacked(part, made))
            else:
                found[settle(key, evaluate_one)] = made
        return found
    if type(value) in (list, tuple, set, frozenset):
        return type(value)(settle(part, evaluate_one) for part in value)
    return value


def _unpacked(delayed: Delayed, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise DefinitionError(
            f"'**{describe(delayed)}' unpacks no section",
            where=_place(delayed.__flow_source__),
            why=f"it is {value!r}",
            hint="unpack a section, that is a mapping, of the configuration",
        )
    return {str(key).replace("-", "_"): part for key, part in value.items()}


class DelayedOptions(Options):
    """Stands for the options of a decorator until the flow's configurations are known.

    Attributes:
        decorator: whose options they are.
        values: what was given, by name.
    """

    def __init__(self, decorator: Decorator[Any], values: dict[str, Any]) -> None:
        self.decorator = decorator
        self.values = values

    def __repr__(self) -> str:
        return f"<delayed options of @{self.decorator.name}>"

    def settled(self, evaluate_all: Callable[[Any], Any]) -> Options:
        """Return the options; `DefinitionError` when they are wrong."""
        return self.decorator.make(**evaluate_all(self.values))


# --- the values of a flow's configurations --------------------------------------------------------


def declarations(flow: type, errors: list[FlowError] | None = None) -> list[ConfigDeclaration]:
    """Return the configurations of a flow class, inherited ones included.

    Raises:
        DefinitionError: one is declared wrongly; unless ``errors`` is given, which then gets all.
    """
    found = [v.__flow_config__ for v in declared(flow).values() if isinstance(v, Config)]
    if errors is not None:
        for declaration in found:
            for problem in declaration.problems:
                refuse(problem, errors)
    return found


class ConfigSources(NamedTuple):
    """What a person gave for configurations.

    Attributes:
        files: (name, path), as after ``--config``.
        values: (name, value: text or an object), as after ``--config-value``.
        origin: where these come from, for errors.
    """

    files: Sequence[ConfigChoice] = ()
    values: Sequence[ConfigChoice] = ()
    origin: str = "--config"


def resolve_configs(
    flow: type,
    given: Sequence[ConfigSources],
    user: str,
    folder: str = "",
    index: PluginIndex | None = None,
) -> dict[str, Any]:
    """Return the value of each configuration of a flow, by name.

    Args:
        flow: the flow class.
        given: what comes from outside; what comes first beats what follows.
        user: who asks, for functions that compute a default.
        folder: what relative paths from outside are relative to; ``""`` = the current folder.
        index: where to look for parsers; None = all that are installed.

    Raises:
        DefinitionError: the configurations are declared wrongly.
        UsageError: what is wrong with the values: all of it at once.
    """
    wrong: list[FlowError] = []
    known = declarations(flow, wrong)
    configs = {n: v for n, v in declared(flow).items() if isinstance(v, Config)}
    check_names(flow.__name__, configs, wrong)
    raise_all(wrong, f"Flow '{flow.__name__}' has wrong configurations", DefinitionError)
    errors: list[FlowError] = []
    chosen = _choose(flow.__name__, known, given, errors)
    values: dict[str, Any] = {}
    for declaration in known:
        if chosen.get(declaration.name) is _TWICE:
            continue  # told already
        context = ParameterContext(flow.__name__, user, declaration.name)
        reader = _Reader(declaration, context, folder, index)
        try:
            values[declaration.name] = reader.value(chosen.get(declaration.name))
        except FlowError as error:
            errors.append(error)
    raise_all(errors, f"Flow '{flow.__name__}' cannot use its configurations", UsageError)
    return values


def _choose(
    flow: str,
    known: Sequence[ConfigDeclaration],
    given: Sequence[ConfigSources],
    errors: list[FlowError],
) -> dict[str, tuple[bool, Any]]:
    """Return name → (whether it is a file, the path or value)."""
    spelling = {d.name.replace("-", "_").lower(): d.name for d in known}
    chosen: dict[str, tuple[bool, Any]] = {}
    for source in given:
        own: dict[str, tuple[bool, Any]] = {}
        pairs = [
            *((n, True, v) for n, v in source.files),
            *((n, False, v) for n, v in source.values),
        ]
        for text, is_file, value in pairs:
            name = spelling.get(text.replace("-", "_").lower())
            if name is None:
                errors.append(_unknown_config(flow, text, known, source.origin))
            elif name in own:
                errors.append(
                    UsageError(
                        f"The configuration '{name}' is given twice",
                        where=source.origin,
                        hint=f"--config {name} FILE, or --config-value {name} TEXT, once",
                    )
                )
                own[name] = _TWICE
            else:
                own[name] = (is_file, value)
        chosen = {**own, **chosen}
    return chosen


def _unknown_config(
    flow: str, name: str, known: Sequence[ConfigDeclaration], origin: str
) -> UsageError:
    names = [d.name for d in known]
    return UsageError(
        f"Flow '{flow}' has no configuration '{name}'",
        where=origin,
        hint=did_you_mean(name, names) or f"{name} = Config('{name}')",
    )


class _Reader(NamedTuple):
    """Makes the value of one configuration."""

    declaration: ConfigDeclaration
    context: ParameterContext
    folder: str
    plugins: PluginIndex | None

    @property
    def what(self) -> str:
        return f"Config '{self.declaration.name}'"

    def value(self, chosen: tuple[bool, Any] | None) -> Any:
        """Return it: what was chosen (see `_choose`), or the default, or None."""
        name = self.declaration.name
        if chosen is not None:
            is_file, given = chosen
            if is_file:
                return self._from_file(os.path.join(self.folder, os.path.expanduser(given)))
            return self._from_value(given, f"--config-value {name}")
        if self.declaration.default is not None:
            return self._from_default(self._computed(self.declaration.default))
        if self.declaration.default_value is not None:
            value = self._computed(self.declaration.default_value)
            return self._from_value(value, self.declaration.place)
        if self.declaration.required:
            raise UsageError(
                f"The configuration '{name}' is required",
                hint=f"--config {name} FILE, or --config-value {name} TEXT",
            )
        return None

    def _from_default(self, path: Any) -> Any:
        if not isinstance(path, (str, os.PathLike)):
            raise UsageError(
                f"The default of {self.what} is no path, but {path!r}",
                where=self.declaration.place,
                hint="default='settings.json'; default_value= takes the value itself",
            )
        path = os.path.join(self.declaration.folder or "", os.path.expanduser(path))
        if os.path.exists(path) or self.declaration.required:
            return self._from_file(path)
        return None

    def _computed(self, default: Any) -> Any:
        if not callable(default):
            return default
        try:
            return default(self.context)
        except Exception as error:
            raise UsageError(
                f"The default of {self.what} could not be computed",
                where=function_place(default),
                why=f"{type(error).__name__}: {error}",
                hint=f"--config {self.declaration.name} FILE",
            ) from error

    def _from_file(self, path: str) -> Any:
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{self.what}: the file '{path}' cannot be read",
                why=getattr(error, "strerror", None) or str(error),
                hint=f"--config {self.declaration.name} FILE",
            ) from None
        return self._parsed(text, path, parser_for(path))

    def _from_value(self, value: Any, where: str | None) -> Any:
        if isinstance(value, str):
            return self._parsed(value, where, "json")
        return self._checked(value, where)

    def _parsed(self, text: str, where: str | None, usual: str) -> Any:
        parser = self.declaration.parser
        if self.declaration.plain and parser is None:
            return text
        try:
            value = parse(parser or usual, text, self.what, self.plugins, where or "")
            return self._checked(value, where)
        except FlowError as error:
            error.where = error.where or where
            raise

    def _checked(self, value: Any, where: str | None) -> Any:
        if self.declaration.plain or isinstance(value, ConfigValue):
            return value
        if not isinstance(value, Mapping):
            raise UsageError(
                f"{self.what} is no mapping, but a {type(value).__name__}",
                where=where,
                why="its values are read by name",
                hint="write it as a mapping, or take the value as it is: Config(…, plain=True)",
            )
        return ConfigValue(value)


def sources_of_environment(environment: Mapping[str, str]) -> ConfigSources:
    """Return what ``FLOW_CONFIG`` and ``FLOW_CONFIG_VALUE`` give: JSON maps, name → path or value.

    Raises:
        UsageError: one of them is none.
    """
    found = []
    for variable in ("FLOW_CONFIG", "FLOW_CONFIG_VALUE"):
        text = environment.get(variable) or "{}"
        try:
            table = json.loads(text)
            if not isinstance(table, dict):
                raise ValueError(f"it is a {type(table).__name__}")
        except ValueError as error:
            raise UsageError(
                f"{variable} is no JSON map of configurations",
                where=variable,
                why=str(error),
                hint=f"{variable}='{{\"settings\": …}}'",
            ) from None
        found.append(list(table.items()))
    return ConfigSources(found[0], found[1], "FLOW_CONFIG")


def split_arguments(
    arguments: Sequence[str],
) -> tuple[list[str], list[ConfigChoice], list[ConfigChoice]]:
    """Take ``--config NAME FILE`` and ``--config-value NAME TEXT`` out of a command's arguments.

    Returns:
        the other arguments, the files and the values.

    Raises:
        UsageError: one of them lacks its name or its value.
    """
    rest: list[str] = []
    found: dict[str, list[ConfigChoice]] = {"--config": [], "--config-value": []}
    waiting = list(arguments)
    while waiting:
        word = waiting.pop(0)
        if word == "--":
            return [*rest, word, *waiting], found["--config"], found["--config-value"]
        option, equals, name = word.partition("=")
        if option not in found:
            rest.append(word)
            continue
        words = [name] if equals else []
        while len(words) < 2 and waiting:
            words.append(waiting.pop(0))
        if len(words) < 2 or words[0].startswith("-"):
            last = "FILE" if option == "--config" else "TEXT"
            raise UsageError(
                f"{option} needs a name and a {last.lower()}",
                where=" ".join([option, *words]),
                hint=f"{option} settings {'settings.json' if last == 'FILE' else '{}'}".replace(
                    "{}", "'{\"depth\": 3}'"
                ),
            )
        found[option].append((words[0], words[1]))
    return rest, found["--config"], found["--config-value"]


def help_text(flow: type, option: str) -> str:
    """Return the help of ``--config`` or ``--config-value`` for the commands of a flow."""
    if option == "--config-value":
        return "The configuration NAME itself, as text; may be repeated."
    lines = []
    for declaration in declarations(flow):
        notes = ["required"] if declaration.required else []
        if declaration.default_text:
            notes.append(f"default: {declaration.default_text}")
        note = f"  [{'; '.join(notes)}]" if notes else ""
        text = f": {declaration.help}" if declaration.help else ""
        lines.append(f"{declaration.name}{text}{note}")
    return "Read the configuration NAME from FILE; may be repeated. NAME: " + " | ".join(lines)


def encode_values(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return configurations as JSON data, for other processes: undone by `decode_values`."""
    encoded: dict[str, Any] = {}
    for name, value in values.items():
        plain = _unwrapped(value)
        try:
            text = json.dumps(plain)
            same = repr(json.loads(text)) == repr(plain)
        except (TypeError, ValueError):
            same = False  # what another parser knows: dates, for example
        wrapped = isinstance(value, ConfigValue)
        encoded[name] = (
            {"value": plain, "section": wrapped} if same else {"pickle": _pickled(name, value)}
        )
    return encoded


def _pickled(name: str, value: Any) -> str:
    import base64
    import pickle

    try:
        return base64.b64encode(pickle.dumps(value, protocol=5)).decode()
    except Exception as error:  # whatever the value's own way of being stored may raise
        raise UsageError(
            f"Config '{name}' has a value that cannot be stored with the run",
            why=f"{type(error).__name__}: {error}",
            hint="let its parser return plain data: dicts, lists, texts, numbers, dates",
        ) from error


def decode_values(encoded: Mapping[str, Any]) -> dict[str, Any]:
    """Undo `encode_values`."""
    values: dict[str, Any] = {}
    for name, data in encoded.items():
        if "pickle" in data:
            import base64
            import pickle

            values[name] = pickle.loads(base64.b64decode(data["pickle"]))
        else:
            values[name] = ConfigValue(data["value"]) if data["section"] else data["value"]
    return values
