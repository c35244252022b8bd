"""Which files a code snapshot holds, and what is left out of it.

In it are the sources below the flow's folder (setting ``code_suffixes``), what the setting ``package``
names, the modules of a person's own that the flow imports from elsewhere, and what plugins add. What
``.flowignore`` names stays out, and so do hidden files, virtual environments and the results of
builds. What looks like a secret is refused, and told, unless a ``.flowignore`` says ``!name``.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from flow_core.errors import FlowError, did_you_mean, near_misses
from flow_core.folders import project_folder
from flow_core.ignore_rules import FILE, IgnoreRules
from flow_core.package import code_folder

SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "build", "dist"})
"""Folders that hold what others have made."""
_ENVIRONMENT = ("pyvenv.cfg", "conda-meta")
_SECRETS = r"""
    (.*/)?(
      (?!.*\.(example|sample|template|dist)$)(.*\.env|\.env\..*|\.envrc)
      | .*\.(pem|key|p12|pfx|jks|keystore|ppk|kdbx|tfstate|kubeconfig)
      | id_(rsa|dsa|ecdsa|ed25519)(_sk)?
      | [._]netrc | \.pypirc | \.npmrc | \.pgpass | \.htpasswd | \.git-credentials | \.dockercfg
      | kubeconfig | \.vault-token | credentials
      | (credentials|client_secret|application_default_credentials|service[-_]?account).*\.json
      | secrets?\.(toml|ya?ml|json)
    )
    | (.*/)?(\.ssh/.* | \.aws/.* | \.kube/config | \.docker/config\.json)
    """
_PRIVATE_KEY = rb"-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----\s*?(?:\\n|\n)[\s\S]{0,400}?[A-Za-z0-9+/=]{40}"


class LeftOut(NamedTuple):
    """A file that a code snapshot does not hold, though it was asked for.

    Attributes:
        name: its path in the snapshot.
        why: what is wrong with it, behind "it".
        hint: what to do.

    Since 0.1.
    """

    name: str
    why: str
    hint: str

    def __str__(self) -> str:
        return f"'{self.name}' is left out of the code snapshot: it {self.why} ({self.hint})"


class CodeFiles(NamedTuple):
    """The files of a code snapshot.

    Attributes:
        root: the folder on disk to which the paths in the snapshot are relative.
        code: path in the snapshot of the folder where the flow's code begins, which is on the
            path of Python: ``""``, or ``flows`` where the snapshot begins with the project's folder.
        script: path in the snapshot of the flow's file.
        files: path in the snapshot → path on disk, sorted.
        left_out: what was asked for, but is not in it.
    """

    root: str
    code: str
    script: str
    files: dict[str, str]
    left_out: tuple[LeftOut, ...] = ()


class Selection(NamedTuple):
    """What a person asks for.

    Attributes:
        suffixes: ends of the names of source files.
        patterns: what else, as paths with ``*``, ``?``, ``[…]`` and ``**``.
        base: the folder to which the patterns are relative; None = where the code begins.
        place: where the patterns stand, for errors.
        most: files that there may be.
    """

    suffixes: Sequence[str] = (".py",)
    patterns: Sequence[str] = ()
    base: str | None = None
    place: str = "the setting 'package'"
    most: int = 2000


class Collector:
    """Collects the files of a snapshot.

    Args:
        flow_file: path of the flow's file, which is always in it.
        selection: what a person asks for.
    """

    def __init__(self, flow_file: str, selection: Selection) -> None:
        self.main = os.path.abspath(flow_file)
        self._selection = selection
        self._folder = code_folder(self.main)
        self._project = project_folder(self._folder)
        self._rules = IgnoreRules(self._project)
        self._paths: dict[str, str] = {}  # path relative to the project's folder → on disk
        self._modules: dict[str, str] = {}  # path relative to where the code begins → on disk
        self._left_out: dict[str, LeftOut] = {}
        self._added: dict[str, str] = {}  # the same, of what goes before the person's files

    def collect(self) -> None:
        """Take the sources and what is asked for.

        Raises:
            FlowError: there are too many, or a pattern is of no use.
        """
        package = os.path.relpath(os.path.dirname(self.main), self._folder).partition(os.sep)[0]
        self._paths[self._relative(self.main)] = self.main
        self._paths.update(self._sources(os.path.normpath(os.path.join(self._folder, package))))
        for pattern in self._selection.patterns:
            self._match(pattern)
        for name in self._rules.files():  # so that a checkout has the same files again
            self._paths[name] = os.path.join(self._project, *name.split("/"))

    def known(self) -> dict[str, str]:
        """Return the files by the paths that imports lead to: from where the code begins, and
        before that from the folder of the flow's file."""
        found: dict[str, str] = {}
        for folder in (self._folder, os.path.dirname(self.main)):
            start = self._relative(folder)
            start = "" if start == "." else start + "/"
            cut = len(start)
            found.update({n[cut:]: p for n, p in self._paths.items() if n.startswith(start)})
        return found

    def add(self, name: str, path: str) -> None:
        """Take a module from elsewhere, under a path that is relative to where the code begins."""
        self._modules.setdefault(name, path)

    def take(self, path: str) -> None:
        """Take one more file of the project, which keeps its place; one of elsewhere has none."""
        path = os.path.normpath(path)
        name = self._relative(path)
        if not _is_below(name, "..") and not self._rules.leaves_out(name):
            self._paths[name] = path

    def refuse(self, path: str, why: str, hint: str) -> None:
        """Tell that a file of the project is left out."""
        if self._rules.verdict(self._relative(path)) is None:
            self._tell(self._relative(path), why, hint)

    def insert(self, name: str, path: str, by: str) -> None:
        """Take one more file, in the place of one that is there already.

        Args:
            name: path relative to where the code begins.
            path: path on disk.
            by: who adds it, for errors.

        Raises:
            FlowError: the name leads out of the snapshot.
        """
        if name.startswith("/") or not {"", ".", ".."}.isdisjoint(name.split("/")):
            raise FlowError(
                f"'{name}' cannot be a path in the code snapshot",
                where=by,
                why="it must be relative, with '/', and without '..'",
                hint=f"'{os.path.basename(path)}'",
            )
        self._added[name] = path

    def add_package(self, name: str, folder: str, most: int) -> bool:
        """Take the sources of a package from elsewhere; return whether it is not too large."""
        found: dict[str, str] = {}
        rules = IgnoreRules(folder)
        for inside, path in _walk(folder, "", rules, tuple(self._selection.suffixes), top=True):
            if path:
                found[f"{name}/{inside}"] = path
            if len(found) > most:
                return False
        for one, path in found.items():
            self.add(one, path)
        return True

    def result(self) -> CodeFiles:
        """Return what was taken, without what must stay out."""
        inside = os.path.relpath(self._folder, self._project).replace(os.sep, "/")
        inside = "" if inside == "." else inside
        # The snapshot begins with the project's folder only where it has something above the code.
        above = any(not _is_below(path, inside) for path in self._paths)
        code = inside if above else ""
        cut = 0 if above or not inside else len(inside) + 1
        files = {path[cut:]: disk for path, disk in self._paths.items()}
        for name, path in self._modules.items():
            files.setdefault(f"{code}/{name}" if code else name, path)
        files.update({f"{code}/{n}" if code else n: path for n, path in self._added.items()})
        script = self._relative(self.main)[cut:]
        names = {name: path for name, path in files.items() if self._may_stay(name, path, script)}
        root = self._project if above else self._folder
        return CodeFiles(
            root, code, script, dict(sorted(names.items())), tuple(self._left_out.values())
        )

    def _relative(self, path: str) -> str:
        """Return a path in the project's folder as the rules have it; others are named from there."""
        inside = os.path.join(self._project, "")
        found = path[len(inside) :] if path.startswith(inside) else _way(path, self._project)
        return found.replace(os.sep, "/")

    # --- sources --------------------------------------------------------------------------------

    def _sources(self, folder: str) -> Iterator[tuple[str, str]]:
        prefix = self._relative(folder)
        prefix = "" if prefix == "." else prefix + "/"
        suffixes, most = tuple(self._selection.suffixes), self._selection.most
        if not suffixes:
            return
        found: list[str] = []
        for name, path in _walk(folder, prefix, self._rules, suffixes, top=True):
            if not path:
                self._tell(name, "is a link to nowhere", f"remove it, or name it in {FILE}")
                continue
            found.append(name[len(prefix) :])
            if len(found) > most:
                raise self._too_many(folder, found)
            yield name, path

    def _too_many(self, folder: str, found: Sequence[str]) -> FlowError:
        counts = Counter(name.partition("/")[0] for name in found if "/" in name)
        top = counts.most_common(2)
        told = " and ".join(f"{count:,} in '{name}'" for name, count in top)
        large = bool(top) and top[0][1] * 4 > len(found)
        line = f"name what is no code in {FILE}, for example '/{top[0][0]}/'" if large else ""
        return FlowError(
            f"The flow's folder holds more than {self._selection.most:,} source files",
            where=folder,
            why="every run keeps a snapshot of the code beside and below the flow file"
            + (f"; of the first {len(found):,} are {told}" if told else ""),
            hint="put the flow into a folder of its own; "
            + (line + ", " if line else "")
            + "or raise the setting code_files (FLOW_CODE_FILES)",
        )

    # --- patterns -------------------------------------------------------------------------------

    def _match(self, pattern: str) -> None:
        base = os.path.abspath(self._selection.base or self._folder)
        self._check_pattern(pattern, base)
        names = [name for name in pattern.split("/") if name not in ("", ".")]
        found = 0
        for path in _glob(base, names):
            found += 1
            name = self._relative(path)
            if not self._rules.leaves_out(name):
                self._paths[name] = path
            if found > self._selection.most:
                raise FlowError(
                    f"'{pattern}' names more than {self._selection.most:,} files",
                    where=self._selection.place,
                    hint="name fewer, or raise the setting code_files (FLOW_CODE_FILES)",
                )
        if not found:
            self._no_match(pattern, base, names)

    def _check_pattern(self, pattern: str, base: str) -> None:
        outside = os.path.isabs(pattern) or ".." in pattern.split("/")
        if not outside and not _is_below(self._relative(base), ".."):
            return
        raise FlowError(
            f"'{pattern}' leads out of the project's folder",
            where=self._selection.place,
            why=f"what the code snapshot holds is named from {base} on",
            hint="move it below that folder, or read it from where it is",
        )

    def _no_match(self, pattern: str, base: str, names: Sequence[str]) -> None:
        folder, missing = base, ""
        for missing in names:
            if not os.path.isdir(os.path.join(folder, missing)):
                break
            folder = os.path.join(folder, missing)
        if _is_wild(pattern):
            self._tell(pattern, "matches no file", f"{self._selection.place}; relative to {base}")
        elif os.path.isdir(os.path.join(base, *names)):
            self._tell(pattern, "is a folder without files", f"see {self._selection.place}")
        elif os.path.islink(os.path.join(base, *names)):
            self._tell(pattern, "is a link to nowhere", f"see {self._selection.place}")
        else:
            # No error: a checkout has not what was refused when its run began.
            near = near_misses(missing, _names(folder))
            hint = did_you_mean(missing, near) or f"{self._selection.place}; relative to {base}"
            self._tell(pattern, "is not there", hint)

    # --- what must stay out ---------------------------------------------------------------------

    def _may_stay(self, name: str, path: str, script: str) -> bool:
        if name == script:
            return True
        try:
            name.encode()
        except UnicodeEncodeError:
            shown = name.encode(errors="backslashreplace").decode()
            self._tell(shown, "has a name that is no Unicode", "rename it")
            return False
        if looks_secret(name) and not self.allows(name, path):
            self._tell(name, "looks like a secret", f"to keep it: a line '!{name}' in {FILE}")
            return False
        return True

    def allows(self, name: str, path: str) -> bool:
        """Return whether a ``.flowignore`` says ``!name`` of a file, though it may be a secret.

        Args:
            name: path in the snapshot, which counts for files from elsewhere.
            path: path on disk.
        """
        place = self._relative(path)
        return self._rules.verdict(name if _is_below(place, "..") else place) is False

    def _tell(self, name: str, why: str, hint: str) -> None:
        self._left_out[name] = LeftOut(name, why, hint)


def collect(flow_file: str, selection: Selection) -> CodeFiles:
    """Return the sources of a flow and what is asked for, but no modules from elsewhere."""
    collector = Collector(flow_file, selection)
    collector.collect()
    return collector.result()


def holds_private_key(content: bytes) -> bool:
    """Return whether text holds a private key: its head, and what looks like the rest of one."""
    return b" PRIVATE KEY" in content and re.search(_PRIVATE_KEY, content) is not None


def holds_login(name: str, content: bytes) -> bool:
    """Return whether a file that is no module holds a URL with a password or token in it.

    Places for one, ``${PASSWORD}`` or ``<token>``, are none.
    """
    if name.endswith(".py") or b"://" not in content:
        return False
    return re.search(rb"://(?:[^\s/:@${}<>]*:[^\s/:@${}<>]+|[\w.-]{20,})@", content) is not None


def looks_secret(name: str) -> bool:
    """Return whether a file's name is one that files with secrets have."""
    if name.endswith(".py"):
        return False  # modules are not; most runs have nothing else, and so need no expression
    return re.fullmatch(_SECRETS, name, re.VERBOSE | re.IGNORECASE | re.DOTALL) is not None


def _is_wild(text: str) -> bool:
    return not {*"*?["}.isdisjoint(text)


def _way(path: str, start: str) -> str:
    try:
        return os.path.relpath(path, start)
    except ValueError:  # on another drive
        return path


def _is_below(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(folder + "/")


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _walk(
    folder: str, prefix: str, rules: IgnoreRules, suffixes: tuple[str, ...], top: bool = False
) -> Iterator[tuple[str, str]]:
    """Yield the sources below a folder, in order: path as the rules have it, and path on disk, which
    is ``""`` for a link to nowhere. Links to folders are not entered.

    Args:
        folder: where.
        prefix: path of the folder, as the rules have it, with a slash at its end.
        rules: what is left out.
        suffixes: ends of names.
        top: whether it counts though it may be an environment.
    """
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda e: e.name)
    except (PermissionError, FileNotFoundError):
        return  # others' folders below a shared one, such as /tmp
    if not top and any(entry.name in _ENVIRONMENT for entry in found):
        return
    for entry in found:
        name = entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if not is_folder and not name.endswith(suffixes):
            continue
        verdict = rules.verdict(prefix + name, is_folder)
        if verdict or (verdict is None and (name.startswith(".") or name in SKIPPED)):
            continue
        if is_folder:
            yield from _walk(entry.path, f"{prefix}{name}/", rules, suffixes, verdict is False)
        elif entry.is_file():
            yield prefix + name, entry.path
        elif entry.is_symlink() and not entry.is_dir():
            yield prefix + name, ""


def _glob(folder: str, names: Sequence[str]) -> Iterator[str]:
    """Yield the files that a pattern names, in order; of a folder that it names all that is inside.

    What stands in it counts as it is. ``*`` and its kin find nothing hidden, and ``**`` enters no
    link to a folder.
    """
    if not names:
        yield from _glob(folder, ("**", "*"))
        return
    name, rest = names[0], names[1:]
    if name == "**":
        yield from _glob(folder, rest or ("*",))
        for entry in _entries(folder):
            if entry.is_dir(follow_symlinks=False) and entry.name not in SKIPPED:
                yield from _glob(entry.path, names)
        return
    if not _is_wild(name):
        yield from _one(os.path.join(folder, name), rest)
        return
    from fnmatch import translate

    fits = re.compile(translate(name)).fullmatch
    for entry in _entries(folder, hidden=name.startswith(".")):
        if fits(entry.name) and (not entry.is_dir() or rest):
            yield from _one(entry.path, rest)


def _one(path: str, rest: Sequence[str]) -> Iterator[str]:
    if os.path.isdir(path):
        yield from _glob(path, rest)
    elif not rest and os.path.isfile(path):
        yield path


def _entries(folder: str, hidden: bool = False) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if hidden or not entry.name.startswith(".")]
    except OSError:
        return []
    return sorted(found, key=lambda entry: entry.name)
