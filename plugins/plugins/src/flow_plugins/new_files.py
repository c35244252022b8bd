"""The files of a new plugin: templates with names put in, written whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import NamedTuple

from flow_core import __version__
from flow_core.api import UsageError
from flow_plugins.new_kinds import Kind
from flow_plugins.new_names import Names

_WORD = re.compile(r"\{\{(\w+)\}\}")


class File(NamedTuple):
    """A file to write: its path, what it is for, and its content."""

    path: str
    about: str
    content: str


# --- which files --------------------------------------------------------------------------------


def distribution(kind: Kind, names: Names) -> list[File]:
    """Return the files of a distribution, sorted by path."""
    words = _words(kind, names)
    words["example"] = _rendered(f"{kind.name}/example.py", words).rstrip("\n")
    return sorted(
        File(path, about, _rendered(template, words) if template else "")
        for path, about, template in _paths(kind, names)
    )


def single_file(kind: Kind, names: Names) -> File:
    """Return the one module of a plugin without a distribution."""
    words = _words(kind, names)
    points = {kind.group: {words["provided"]: words["value"].rpartition(":")[2]}}
    words["offers"] = f"\n__flow__ = {_literal(points)}\n"
    template = kind.source or "single.py"
    return File(f"{names.module}.py", kind.summary, _rendered(f"{kind.name}/{template}", words))


def _paths(kind: Kind, names: Names) -> Iterator[tuple[str, str, str]]:
    """Yield path, what it is for, and template of each file; without one it is empty."""
    package, module = f"src/{names.package}", names.module
    yield "README.md", "what it is, with an example that its tests run", "common/README.md"
    yield "pyproject.toml", "names, versions, what flow-core finds", "common/pyproject.toml"
    yield ".gitignore", "what does not belong into a repository", "common/gitignore"
    yield f"{package}/py.typed", "says that its types count", ""
    if kind.decorated:
        yield f"{package}/__init__.py", "the decorator and its options", f"{kind.name}/init.py"
        yield f"{package}/hooks.py", "what it does, and when", f"{kind.name}/hooks.py"
    else:
        yield f"{package}/__init__.py", "what the package is", "common/init.py"
    if kind.source:
        yield f"{package}/{kind.source}", f"the {kind.noun} itself", f"{kind.name}/{kind.source}"
    yield f"examples/{module}_flow.py", "a flow that uses it", f"{kind.name}/example.py"
    for path, about in kind.more:
        yield path, about, f"{kind.name}/{os.path.basename(path)}"
    yield f"tests/test_{module}.py", f"{kind.suite} and its own tests", f"{kind.name}/test.py"
    yield "tests/test_readme.py", "the example of the README is true", "common/test_readme.py"


# --- what stands in them ------------------------------------------------------------------------


def filled(text: str, words: Mapping[str, str]) -> str:
    """Return ``text`` with each ``{{word}}`` replaced."""
    return _WORD.sub(lambda found: words[found[1]], text)


def words_of(kind: Kind, names: Names) -> dict[str, str]:
    """Return what stands for the names, and what follows from them and the kind alone."""
    words = {
        "name": names.name,
        "module": names.module,
        "MODULE": names.module.upper(),
        "package": names.package,
        "distribution": names.distribution,
        "Class": names.stem,
    }
    return {**words, "provided": filled(kind.provided, words), "value": filled(kind.value, words)}


def _words(kind: Kind, names: Names) -> dict[str, str]:
    words = words_of(kind, names)
    texts = {
        "description": kind.description,
        "about": kind.about,
        "commands": kind.commands,
        "output": kind.output,
    }
    words.update({name: filled(text, words) for name, text in texts.items()})
    words["suite"] = kind.suite
    words["entry_points"] = "\n\n".join(_entry_points(kind, words))
    words["range"] = range_ = _range()
    words["dependencies"] = "".join(f'    "flow-{name}{range_}",\n' for name in kind.requires)
    with_suite = ["core", *kind.requires]
    words["testing"] = ", ".join(f'"flow-{name}[testing]{range_}"' for name in with_suite)
    words["plugins"] = ", ".join(f'"{name}"' for name in (names.name, *kind.requires))
    words["offers"] = ""
    return words


def _range() -> str:
    """Return the range of flow-core that a plugin written today claims: ``>=0.1,<1``."""
    major, minor = __version__.split(".")[:2]
    return f">={major}.{minor},<{int(major) + 1}"


def _entry_points(kind: Kind, words: Mapping[str, str]) -> Iterator[str]:
    points = {kind.group: (words["provided"], words["value"])}
    if kind.decorated:
        module, package = words["module"], words["package"]
        points["flow.decorators"] = (module, f"{package}:{module}")
        points["flow.decorator_hooks"] = (module, f"{package}.hooks")
    for group, (name, value) in sorted(points.items()):
        key = f'"{name}"' if "." in name else name
        yield f'[project.entry-points."{group}"]\n{key} = "{value}"'


def _literal(points: Mapping[str, Mapping[str, str]]) -> str:
    """Return the source of a dict of dicts, with the quotes that formatters want."""
    ((group, names),) = points.items()
    ((name, value),) = names.items()
    return f'{{"{group}": {{"{name}": "{value}"}}}}'


def _rendered(template: str, words: Mapping[str, str]) -> str:
    source = files("flow_plugins") / "templates" / f"{template}.tmpl"
    text = source.read_text(encoding="utf-8")
    # Where a line holds nothing but a word that may be empty, the line goes with it.
    for word in ("offers", "dependencies"):
        text = text.replace(f"{{{{{word}}}}}\n", words[word])
    return filled(text, words)


# --- writing them -------------------------------------------------------------------------------


def write_folder(folder: str, content: Sequence[File]) -> None:
    """Write the files below ``folder``, which appears with all of them.

    Raises:
        UsageError: it exists already, and is not empty; or it cannot be written.
    """
    folder = os.path.abspath(folder)
    if os.path.lexists(folder) and not _is_empty(folder):
        raise UsageError(
            f"'{os.path.basename(folder)}' is there already",
            where=folder,
            why="nothing that is there is replaced",
            hint="name another folder: --folder, or remove that one",
        )
    unfinished = f"{folder}.new-{os.getpid()}"
    try:
        for file in content:
            path = os.path.join(unfinished, *file.path.split("/"))
            os.makedirs(os.path.dirname(path), exist_ok=True)
            _write(path, file.content)
        if os.path.isdir(folder):
            os.rmdir(folder)
        os.rename(unfinished, folder)
    except OSError as error:
        raise _unwritable(folder, error) from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def write_file(path: str, content: str) -> None:
    """Write a file that does not exist yet; errors as `write_folder`."""
    if os.path.lexists(path):
        raise UsageError(
            f"'{os.path.basename(path)}' is there already",
            where=os.path.abspath(path),
            why="nothing that is there is replaced",
            hint="choose another name, or another folder: --folder",
        )
    try:
        os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
        _write(path, content)
    except OSError as error:
        raise _unwritable(path, error) from None


def _write(path: str, content: str) -> None:
    with open(path, "x", encoding="utf-8", newline="\n") as file:
        file.write(content)


def _is_empty(folder: str) -> bool:
    return os.path.isdir(folder) and not os.path.islink(folder) and not os.listdir(folder)


def _unwritable(place: str, error: OSError) -> UsageError:
    return UsageError(
        "The plugin cannot be written",
        where=error.filename or place,
        why=error.strerror or str(error),
        hint="name a folder in which you may write: --folder",
    )
