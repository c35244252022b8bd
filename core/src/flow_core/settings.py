"""Settings: typed values from the environment, ``pyproject.toml``, the user's file, or a default.

``FLOW_*`` variables > ``[tool.flow]`` of the nearest ``pyproject.toml`` >
``~/.config/flow/config.toml`` (with ``[profile.NAME]`` tables chosen by ``FLOW_PROFILE``) > default.
This is the only module of the kernel that looks at environment variables.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from flow_core.errors import SettingsError, did_you_mean, near_misses

if TYPE_CHECKING:
    from flow_core.deprecation import Deprecation, FlowDeprecation


OWN_INDEX = "store"
"""The value of ``metadata`` that means the index which belongs to the store, whatever else was
chosen; as ``store://…`` it is the URL of one that is apart from its store."""


class Setting(NamedTuple):
    """The declaration of one setting. ``choices`` is empty when any value of the type will do,
    ``minimum`` the smallest number allowed; a ``secret`` value is never shown; ``deprecated`` tells a
    former name; ``separator`` stands between the words of a list in a file."""

    name: str
    default: Any
    help: str
    type: type
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    secret: bool = False
    deprecated: Deprecation | None = None
    separator: str = ","


def _cpus() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _account() -> str:
    """Return the name of the account of this process, for shells that do not say."""
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):  # Windows; a container whose user has no entry
        return f"uid-{os.getuid()}" if hasattr(os, "getuid") else "unknown"


def _declarations() -> tuple[Setting, ...]:
    return (
        Setting("datastore", "local", "Store: a name, or a URL like s3://bucket/prefix.", str),
        Setting("metadata", "local", "Metadata provider: a name, name://place, or store.", str),
        Setting("compute", "local", "Compute provider of steps that name none.", str),
        Setting(
            "max_workers",
            _cpus(),
            "Tasks that run at the same time, wherever they do. Not set: one for each processor of "
            "this machine, and besides, elsewhere, as many as each compute provider takes.",
            int,
            (),
            1,
        ),
        Setting("max_log_size", 10.0, "Megabytes kept of each output stream of a task.", float),
        Setting("inline_limit", 4096, "Bytes up to which a value travels in the manifest.", int),
        Setting(
            "blob_cache",
            "",
            "Folder for blobs of remote stores; default: flow/blobs in ~/.cache.",
            str,
        ),
        Setting(
            "blob_cache_size",
            10.0,
            "Gigabytes of blobs of remote stores that this machine keeps; 0 = none.",
            float,
            (),
            0,
        ),
        Setting("failure_grace", 5.0, "Seconds that running tasks get after a failure.", float),
        Setting("cancel_grace", 3.0, "Seconds that tasks get after Ctrl-C.", float),
        Setting("fork", "auto", "Whether tasks may be forked.", str, ("auto", "never")),
        Setting("with", "", "Decorators for every step, separated by spaces.", str),
        Setting("plugins", "", "Plugins: no:NAME or module, separated by commas.", str),
        Setting(
            "required_plugins", "", "Distributions without which nothing runs, by commas.", str
        ),
        Setting(
            "hook_budget", 30.0, "Seconds that a plugin's hook may take; 0 = any.", float, (), 0
        ),
        Setting("trace_hooks", False, "Tell each call of a hook on standard error.", bool),
        Setting("serializers", "", "Serializers to ask first, by tag and commas.", str),
        Setting("code_suffixes", ".py", "File endings in the code snapshot, by commas.", str),
        Setting("code_limit", 50.0, "Megabytes that a code snapshot may hold.", float),
        Setting("code_files", 2000, "Source files that a code snapshot may hold.", int, (), 1),
        Setting(
            "package",
            "",
            "Further files for the code snapshot, by commas: paths and patterns such as conf/*.yaml.",
            str,
        ),
        Setting(
            "environment",
            "",
            "local = run all steps in this Python; NAME = in one of that provider where they name none.",
            str,
        ),
        Setting("environments", "", "Folder of environments; default: flow in ~/.cache.", str),
        Setting("offline", False, "Use no network to make environments.", bool),
        Setting(
            "mirror_packages",
            False,
            "Keep the packages of environments in the datastore, too.",
            bool,
        ),
        Setting("relock", False, "Resolve environments anew, though locks are known.", bool),
        Setting("quiet", False, "Show nothing of a run but its failures.", bool),
        Setting("user", "", "Name under which runs are recorded.", str),
        Setting("debug", False, "Show tracebacks of flow-core itself.", bool),
    )


_PROJECT = "[tool.flow] of "


_OF_THIS_MACHINE = frozenset(
    {
        "blob_cache",
        "datastore",
        "debug",
        "environments",
        "fork",
        "max_workers",
        "metadata",
        "plugins",
        "with",
    }
)
"""Settings that a task on another machine does not get: places, and what is told to it otherwise."""


def setting_variable(name: str) -> str:
    """Return the environment variable that a setting is read from."""
    return "FLOW_" + name.upper()


def take_settings(settings: Mapping[str, str]) -> None:
    """Let settings of the launcher's machine (`Settings.elsewhere`) count in this process, unless this
    machine has its own.

    They are variables, so that programs which a step starts have them too. Since 0.1.
    """
    for name, text in settings.items():
        os.environ.setdefault(setting_variable(name), text)


def set_variables(variables: Mapping[str, str]) -> None:
    """Set environment variables of this process, which is that of one task."""
    os.environ.update(variables)


def folder_of_project(source: str) -> str | None:
    """Return the folder of the ``pyproject.toml`` that a value comes from; None = of elsewhere.

    Args:
        source: as from `Settings.lookup`.
    """
    found = source.startswith(_PROJECT)
    return os.path.dirname(source.removeprefix(_PROJECT)) if found else None


def state_folder(place: str | None = None) -> str:
    """Return the absolute path of the folder for local state, which need not exist.

    For stores and indexes that keep plain files, so that they lie in one folder.

    Args:
        place: what stands behind ``name://``: a path, relative to the current folder or beginning
            with ``~``; None = ``.flow`` in the nearest parent of the current folder that has one,
            else in the current folder.

    Since 0.1.
    """
    if place:
        return os.path.abspath(os.path.expanduser(place))
    here = folder = os.getcwd()
    while True:
        candidate = os.path.join(folder, ".flow")
        if os.path.isdir(candidate):
            return candidate
        folder, last = os.path.dirname(folder), folder
        if folder == last:
            return os.path.join(here, ".flow")


def child_variables(more: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables of a program: those of this process, and ``more``."""
    return {**os.environ, **more}


class Settings:
    """The settings in force. Unknown ``FLOW_*`` variables are left alone: they may be others'.

    Args:
        environment: variables; None = those of this process.
        folder: where the search for ``pyproject.toml`` begins; None = the current folder.
        warn: told of settings that are given by a former name, with the place; None = a warning of
            Python's tells it.
    """

    def __init__(
        self,
        environment: Mapping[str, str] | None = None,
        folder: str | None = None,
        warn: Callable[[FlowDeprecation, str], object] | None = None,
    ) -> None:
        self._warn = warn or _warn
        self._former: dict[str, str] = {}
        self._told: set[str] = set()
        self._environment = dict(os.environ if environment is None else environment)
        self._folder = folder or os.getcwd()
        self._declared = {s.name: s for s in _declarations()}
        self._overrides: dict[str, tuple[Any, str]] = {}
        self._files: list[tuple[str, Mapping[str, Any]]] | None = None

    def declare(
        self,
        name: str,
        default: Any,
        help: str,
        *,
        choices: tuple[str, ...] = (),
        minimum: float | None = None,
        secret: bool = False,
        deprecated: Deprecation | None = None,
        separator: str = ",",
    ) -> None:
        """Add a setting of a plugin, for the hook ``flow_settings``.

        Args:
            name: begins with the plugin's own, ``cards_port``; ``FLOW_CARDS_PORT`` then sets it.
            default: value when nobody sets it; its type (``str``, ``int``, ``float`` or ``bool``)
                is that of the setting.
            help: one sentence, with the unit of a number.
            choices: the values allowed; none = all of the type.
            minimum: the smallest number allowed.
            secret: whether the value is a password, or holds one: it is then never shown.
            deprecated: the former name, which works as well; or that the setting goes away. See
                `flow_core.api.deprecated`.
            separator: what stands between words in the value of a text, for lists in a file:
                ``setup = ["a", "b"]``. A table, and a list of tables, become JSON.
        """
        self._declared[name] = Setting(
            name, default, help, type(default), choices, minimum, secret, deprecated, separator
        )
        if deprecated is not None and deprecated.name:
            self._former[deprecated.name] = name

    def declared(self) -> list[Setting]:
        """Return all declarations, sorted by name."""
        return [self._declared[name] for name in sorted(self._declared)]

    def override(self, name: str, value: Any, source: str) -> None:
        """Set a value that beats all others, for example from the command line.

        Tasks in other interpreters get it too. Errors as `lookup`; ``source`` names the place.
        """
        setting = self._declaration(name)
        self._tell(setting, name, source)
        self._overrides[setting.name] = (self._typed(setting, value, source), source)

    def overrides(self) -> dict[str, Any]:
        """Return what `override` set, by name."""
        return {name: value for name, (value, _) in self._overrides.items()}

    def __getitem__(self, name: str) -> Any:
        return self.lookup(name)[0]

    def lookup(self, name: str) -> tuple[Any, str]:
        """Return (value, where it came from).

        Raises:
            SettingsError: there is no such setting, or its value has the wrong type.
        """
        setting = self._declaration(name)
        if name != setting.name and setting.deprecated is not None:
            from flow_core.deprecation import warn_caller

            warn_caller(setting.deprecated.called(f"The setting '{name}'", setting.name))
        if setting.name in self._overrides:
            return self._overrides[setting.name]
        names = [setting.name, *(old for old, new in self._former.items() if new == setting.name)]
        for name in names:
            variable = setting_variable(name)
            if variable in self._environment:
                self._tell(setting, name, variable)
                return self._typed(setting, self._environment[variable], variable), variable
        for source, table in self._tables():
            for name in names:
                if name in table:
                    self._tell(setting, name, source)
                    return self._typed(setting, table[name], source), source
        return setting.default, "default"

    def _tell(self, setting: Setting, name: str, source: str) -> None:
        """Warn, once, of a setting that is given by a former name, or that goes away."""
        notice = setting.deprecated
        if notice is None or name in self._told or (notice.name and name == setting.name):
            return
        self._told.add(name)
        what = f"The setting '{name}'"
        self._warn(notice.called(what, setting.name) if notice.name else notice.gone(what), source)

    def elsewhere(self) -> dict[str, str]:
        """Return the values that somebody has chosen and that hold on another machine too, as texts:
        what is secret is not among them, nor what names a place of this machine. Since 0.1."""
        found = {}
        for setting in self.declared():
            value, source = self.lookup(setting.name)
            if source == "default" or setting.secret or setting.name in _OF_THIS_MACHINE:
                continue
            text = str(value).lower() if isinstance(value, bool) else str(value)
            if _without_password(text) == text:
                found[setting.name] = text
        return found

    def shown(self, name: str) -> str:
        """Return a value as people may see it: ``***`` where it is secret, and set, and in place of
        a password in a URL; errors as `lookup`.

        Since 0.1.
        """
        value = self[name]
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return "***" if self._declaration(name).secret and value else _without_password(text)

    def user(self) -> str:
        """Return the name of the person: setting, else ``SUDO_USER``, ``USER``, ``USERNAME``."""
        named: str = self["user"]
        for variable in ("SUDO_USER", "USER", "USERNAME", "LOGNAME"):
            named = named or self._environment.get(variable, "")
        return named or _account()

    def index_is_apart(self, providers: Collection[str]) -> bool:
        """Whether the store has no index beside it, and nobody has chosen one, out of ``providers``.

        flow-core then keeps one for this store on this machine: see `flow_core.store_index`.
        Since 0.1.
        """
        place, source = self.lookup("metadata")
        chosen = source != "default" and place.partition("://")[0] != OWN_INDEX
        store: str = self["datastore"]
        return not chosen and store.partition("://")[0] not in providers

    def index_place(self, providers: Collection[str], store_url: str = "") -> str:
        """Return the text that names the index, out of ``providers``.

        When nobody has chosen one, it lies with the store where there is a provider of its name;
        else in a folder of its own for each store, below `cache_folder`.

        Args:
            providers: names of metadata providers.
            store_url: what tells the store from all others, for an index that is apart from it.
        """
        place: str
        place, source = self.lookup("metadata")
        store: str = self["datastore"]
        if source != "default" and place.partition("://")[0] != OWN_INDEX:
            return place
        if store.partition("://")[0] in providers:
            return store
        folder = os.path.join(self.cache_folder(), "indexes", _folder_name(store_url))
        return f"{self._declaration('metadata').default}://{folder}"

    def cache_folder(self) -> str:
        """Return the person's folder for what can be made again: ``~/.cache/flow``."""
        home = self._environment.get("HOME", os.path.expanduser("~"))
        base = self._environment.get("XDG_CACHE_HOME") or os.path.join(home, ".cache")
        return os.path.join(base, "flow")

    def no_color(self) -> bool:
        """Whether the person asked programs not to use colour (``NO_COLOR``, see no-color.org)."""
        return bool(self._environment.get("NO_COLOR"))

    def script_environment(self) -> dict[str, str]:
        """Return the environment variables that this object was made from."""
        return dict(self._environment)

    def check_names(self) -> None:
        """Raise `SettingsError` for a name in a file that was probably mistyped.

        Names that resemble none are left alone: the plugin that declares them may be left out.
        """
        for source, table in self._tables():
            for name in table:
                known = {*self._declared, *self._former}
                if name not in known and near_misses(name, self._declared):
                    raise SettingsError(
                        f"There is no setting '{name}'",
                        where=source,
                        hint=did_you_mean(name, self._declared),
                    )

    def _declaration(self, name: str) -> Setting:
        try:
            return self._declared[self._former.get(name, name)]
        except KeyError:
            raise SettingsError(
                f"There is no setting '{name}'", hint=did_you_mean(name, self._declared)
            ) from None

    def _typed(self, setting: Setting, value: Any, source: str) -> Any:
        shown = "***" if setting.secret else repr(value)
        try:
            if setting.type is str:
                value = _as_text(value, setting.separator)
            typed = _CONVERTERS.get(setting.type, setting.type)(value)
        except (ValueError, TypeError):
            raise SettingsError(
                f"Setting '{setting.name}' must be {_TYPE_TEXT.get(setting.type, 'text')}, "
                f"not {shown}",
                where=source,
                why=setting.help,
                hint=_example(setting, source),
            ) from None
        if setting.minimum is not None and typed < setting.minimum:
            raise SettingsError(
                f"Setting '{setting.name}' must be at least {setting.minimum:g}, not {shown}",
                where=source,
                why=setting.help,
                hint=_example(setting, source),
            )
        if setting.choices and typed not in setting.choices:
            raise SettingsError(
                f"Setting '{setting.name}' cannot be '{typed}'",
                where=source,
                hint="one of: " + ", ".join(choice for choice in setting.choices if choice),
            )
        return typed

    def _tables(self) -> list[tuple[str, Mapping[str, Any]]]:
        if self._files is None:
            self._files = [*self._project_table(), *self._user_tables()]
        return self._files

    def of_project(self, folder: str) -> Settings:
        """Return the settings as they are for the project in which ``folder`` lies.

        For what belongs to the project of a flow, wherever the person is. What was set by a variable
        or on the command line counts as it does here.
        """
        if os.path.abspath(folder) == os.path.abspath(self._folder):
            return self
        other = Settings(self._environment, folder, self._warn)
        other._declared, other._former = self._declared, self._former
        other._overrides = self._overrides
        return other

    def project_file(self) -> str | None:
        """Return the ``pyproject.toml`` that counts here, if its ``[tool.flow]`` says anything."""
        for source, table in self._tables():
            if table and source.startswith(_PROJECT):
                return source.removeprefix(_PROJECT)
        return None

    def secrets_of_project(self) -> list[str]:
        """Return the names of the settings in ``[tool.flow]`` whose values nobody should see."""
        tables = [t for source, t in self._tables() if source.startswith(_PROJECT)]
        hidden = {s.name for s in self._declared.values() if s.secret}
        return sorted(
            name
            for table in tables
            for name, value in table.items()
            if value
            and (
                self._former.get(name, name) in hidden
                or _without_password(str(value)) != str(value)
            )
        )

    def _project_table(self) -> list[tuple[str, Mapping[str, Any]]]:
        folder = os.path.abspath(self._folder)
        while True:
            path = os.path.join(folder, "pyproject.toml")
            data = _read_toml(path, must_contain=b"tool.flow")
            if data is not None:
                table = data.get("tool", {}).get("flow", {})
                return [(f"{_PROJECT}{path}", _flat(table))]
            parent = os.path.dirname(folder)
            if parent == folder:
                return []
            folder = parent

    def _user_tables(self) -> list[tuple[str, Mapping[str, Any]]]:
        base = self._environment.get("XDG_CONFIG_HOME") or os.path.join(
            self._environment.get("HOME", os.path.expanduser("~")), ".config"
        )
        path = os.path.join(base, "flow", "config.toml")
        data = _read_toml(path) or {}
        tables = []
        profile = self._environment.get("FLOW_PROFILE")
        if profile:
            profiles = data.get("profile", {})
            if profile not in profiles:
                raise SettingsError(
                    f"There is no profile '{profile}'",
                    where=path,
                    hint=did_you_mean(profile, profiles) or f"add [profile.{profile}] to it",
                )
            tables.append((f"[profile.{profile}] of {path}", _flat(profiles[profile])))
        return [*tables, (path, _flat(data))]


def _warn(warning: FlowDeprecation, source: str) -> None:
    import warnings

    # Settings are a person's own, as a script is: there Python shows what is deprecated.
    warnings.warn_explicit(warning, type(warning), source, 0, "__main__")


def _example(setting: Setting, source: str) -> str:
    """Return what to type, in the form of the place where the wrong value stands."""
    value = {int: "4", float: "2.5", bool: "true"}.get(setting.type, "TEXT")
    return f"{source}={value}" if source.startswith("FLOW_") else f"{setting.name} = {value}"


def _without_password(text: str) -> str:
    """``s3://key:secret@host/x`` → ``s3://key:***@host/x``."""
    scheme, found, rest = text.partition("://")
    account, at, host = rest.partition("@")
    name, colon, _ = account.partition(":")
    hidden = found and at and colon and "/" not in account
    return f"{scheme}://{name}:***@{host}" if hidden else text


def _folder_name(url: str) -> str:
    """``s3://bucket/a b`` → ``s3-bucket-a-b-0f3c…``: for people and, by its end, for one store."""
    from blake3 import blake3

    words = "".join(c if c.isascii() and c.isalnum() else " " for c in _without_password(url))
    return "-".join([*words.split(), blake3(url.encode()).hexdigest()[:12]])[-100:]


def _flat(table: Mapping[str, Any]) -> dict[str, Any]:
    """``max-workers`` → ``max_workers``."""
    return {key.replace("-", "_"): value for key, value in table.items()}


def _as_text(value: Any, separator: str) -> Any:
    """Return a list or a table of a file as the text of a setting; other values as they are."""
    parts = value if isinstance(value, list) else [value]
    if any(isinstance(part, (dict, list)) for part in parts):
        import json

        return json.dumps(value, default=str)
    return separator.join(map(str, value)) if isinstance(value, list) else value


def _read_toml(path: str, must_contain: bytes = b"") -> dict[str, Any] | None:
    try:
        with open(path, "rb") as file:
            raw = file.read()
    except OSError:
        return None  # no such file: the usual case
    if must_contain and must_contain not in raw:
        # The nearest pyproject.toml counts even when it says nothing to us; parsing it would
        # cost every command some milliseconds.
        return {}
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    try:
        data: dict[str, Any] = tomllib.loads(raw.decode())
    except ValueError as error:
        raise SettingsError(
            "A settings file is not valid TOML", where=path, why=str(error)
        ) from None
    return data


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    words = {"1": True, "true": True, "yes": True, "on": True}
    words |= {"0": False, "false": False, "no": False, "off": False, "": False}
    return words[str(value).lower()]


def _strict_boolean(value: Any) -> bool:
    try:
        return _boolean(value)
    except KeyError:
        raise ValueError(value) from None


def _integer(value: Any) -> int:
    if isinstance(value, (bool, float)):
        raise TypeError(value)  # int() would cut 2.7 to 2 without a word
    return int(value)


_CONVERTERS: dict[type, Callable[[Any], Any]] = {bool: _strict_boolean, int: _integer}
_TYPE_TEXT = {int: "an integer", float: "a number", bool: "true or false"}
