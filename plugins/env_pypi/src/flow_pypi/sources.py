"""Where packages come from: settings, options, uv's variables, and pip's configuration."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from flow_core.api import EnvironmentWork

_UV = ("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL")
# A password; and a user of https alone, which is a token as often as not.
_SECRET = re.compile(r"(\w+://)[^/\s@'\"]*:[^/\s@'\"]*@|(https?://)[^/\s@'\"]+@")
_DEFAULT = "the index that uv has by default"


class Sources(NamedTuple):
    """Where packages come from.

    Attributes:
        index_url: the index; ``''`` = uv's default.
        extra_index_urls: further indexes.
        links: folders with wheels, and pages that list some.
        no_index: whether only ``links`` count.
        insecure: hosts whose certificates are not checked.
        certificates: file with certificates; ``''`` = those of the system.
        strategy: how uv takes one of several indexes; ``''`` = as it is configured: the first that
            knows a package.
    """

    index_url: str = ""
    extra_index_urls: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    no_index: bool = False
    insecure: tuple[str, ...] = ()
    certificates: str = ""
    strategy: str = ""

    def variables(self) -> dict[str, str]:
        """Return the environment variables by which uv learns of it: passwords in URLs are not
        seen in lists of processes, nor in what errors show of a command."""
        found = {
            "UV_DEFAULT_INDEX": self.index_url,
            "UV_INDEX": " ".join(self.extra_index_urls),
            "UV_FIND_LINKS": ",".join(self.links),
            "UV_INSECURE_HOST": " ".join(self.insecure),
            "SSL_CERT_FILE": self.certificates,
            "UV_INDEX_STRATEGY": self.strategy,
        }
        return {name: value for name, value in found.items() if value}

    def names(self) -> list[str]:
        """Return the places as people may see them, without passwords."""
        environ = os.environ
        index = self.index_url or environ.get("UV_DEFAULT_INDEX") or environ.get("UV_INDEX_URL")
        extra = self.extra_index_urls or tuple(
            f"{environ.get('UV_INDEX', '')} {environ.get('UV_EXTRA_INDEX_URL', '')}".split()
        )
        indexes = () if self.no_index else (*extra, index or _DEFAULT)
        return [hide(url) for url in (*indexes, *self.links)]

    def folders(self) -> list[str]:
        """Return the folders with wheels."""
        paths = [link.removeprefix("file://") for link in self.links]
        return [path for path in paths if os.path.isdir(path)]

    def urls(self) -> list[str]:
        """Return the URLs of all indexes, with their passwords."""
        names = ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "UV_INDEX", "UV_EXTRA_INDEX_URL")
        given = " ".join(os.environ.get(name, "") for name in names).split()
        plain = [url.partition("=")[2] if re.match(r"[\w-]+=\w+:", url) else url for url in given]
        return [url for url in (self.index_url, *self.extra_index_urls, *plain) if url]


def hide(text: str) -> str:
    """Return a text without the passwords in its URLs."""
    return _SECRET.sub(r"\1\2***@", text)


def without_login(url: str) -> str:
    """Return a URL without user and password; a user of ssh alone stays."""
    return _SECRET.sub(r"\1\2", url)


def find_sources(options: Mapping[str, Any], work: EnvironmentWork) -> Sources:
    """Return where packages come from.

    The options of a step count most, then the settings ``pypi_index``, ``pypi_extra_index`` and
    ``pypi_find_links``, then uv's variables, then pip's configuration.
    """
    pip = Sources() if any(name in os.environ for name in _UV) else pip_sources()
    folders = str(work.setting("pypi_find_links") or "")
    links = [folders] if os.path.isdir(os.path.expanduser(folders)) else _words(folders)
    index = str(options.get("index_url") or work.setting("pypi_index") or "")
    extra = tuple(options.get("extra_index_urls") or _words(work.setting("pypi_extra_index")))
    return Sources(
        index or pip.index_url,
        extra or (() if index else pip.extra_index_urls),
        (
            *(os.path.abspath(os.path.expanduser(x)) if "://" not in x else x for x in links),
            *pip.links,
        ),
        pip.no_index and not index,
        pip.insecure,
        "" if os.environ.get("SSL_CERT_FILE") else pip.certificates,
        _strategy(pip, index or extra),
    )


def _strategy(pip: Sources, chosen: Any) -> str:
    """Return what several indexes mean: for pip, from whose configuration they come, the best of all."""
    if os.environ.get("UV_INDEX_STRATEGY") or chosen or not pip.extra_index_urls:
        return ""
    return "unsafe-best-match"


# --- pip's configuration ----------------------------------------------------------------------------


def pip_sources() -> Sources:
    """Return what pip is configured to use: its files, and its variables."""
    found = _pip_options()
    links = (x.removeprefix("file://") for x in _words(found.get("find-links", "")))
    return Sources(
        found.get("index-url", ""),
        tuple(_words(found.get("extra-index-url", ""))),
        tuple(x if "://" in x else os.path.abspath(os.path.expanduser(x)) for x in links),
        found.get("no-index", "").lower() in ("1", "true", "yes", "on"),
        tuple(_words(found.get("trusted-host", ""))),
        found.get("cert", ""),
    )


def _pip_options() -> dict[str, str]:
    import configparser

    found: dict[str, str] = {}
    for path in _pip_files():
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip itself says what is wrong with it
        for section in ("global", "install"):
            if parser.has_section(section):
                found.update({k.replace("_", "-"): v for k, v in parser.items(section)})
    for name, value in os.environ.items():
        if name.startswith("PIP_") and value:
            found[name[4:].lower().replace("_", "-")] = value
    return found


def _pip_files() -> Iterable[str]:
    """Return the files that pip reads, those that count most last."""
    chosen = os.environ.get("PIP_CONFIG_FILE")
    if chosen == os.devnull:
        return ()
    home = os.path.expanduser("~")
    shared = os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    own = os.environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    support = os.path.join("Library", "Application Support", "pip", "pip.conf")
    mac = sys.platform == "darwin"
    files = [os.path.join(folder, "pip", "pip.conf") for folder in shared.split(os.pathsep)]
    files += [f"/{support}"] if mac else []
    files += ["/etc/pip.conf", os.path.join(home, ".pip", "pip.conf")]
    files += [os.path.join(home, support)] if mac else []
    files += [os.path.join(own, "pip", "pip.conf"), os.path.join(sys.prefix, "pip.conf")]
    return [*files, chosen] if chosen else files


def _words(text: Any) -> list[str]:
    return str(text or "").replace(",", " ").split()
