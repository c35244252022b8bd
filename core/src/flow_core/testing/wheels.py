"""Wheels without network: small ones that are written, and those of what is installed here.

For tests of environment providers that install packages. ``python -m flow_core.testing.wheels FOLDER``
makes the wheels that every environment must have.
"""

from __future__ import annotations

import base64
import hashlib
import re
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from flow_core.index import normalise
from flow_core.travel import core_requirements

_NAME = re.compile(r"[\w.-]+")
_LEFT_OUT = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")  # what installers write


def write_wheel(
    folder: Path,
    name: str,
    version: str,
    files: Mapping[str, str],
    requires: Sequence[str] = (),
) -> Path:
    """Write a wheel of pure Python; return its path.

    Args:
        folder: where to put it.
        name: name of the distribution, of letters, digits and ``_``.
        version: its version.
        files: path in the wheel → text.
        requires: what it requires: ``["tiny<2"]``.

    Since 0.1.
    """
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {text}\n" for text in requires)
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{needs}"
    wheel = "Wheel-Version: 1.0\nGenerator: flow-core\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    content = {**files, f"{info}/METADATA": metadata, f"{info}/WHEEL": wheel}
    path = folder / f"{name}-{version}-py3-none-any.whl"
    return _pack(path, info, {inside: text.encode() for inside, text in content.items()})


def installed_wheel(folder: Path, name: str) -> Path:
    """Make the wheel again from which a distribution was installed here; return its path.

    Raises:
        importlib_metadata.PackageNotFoundError: it is not installed.

    Since 0.1.
    """
    import importlib_metadata

    found = importlib_metadata.distribution(name)
    all_files = map(str, found.files or ())
    files = [name for name in all_files if not {"..", "__pycache__"} & {*name.split("/")}]
    info = next(name.rpartition("/")[0] for name in files if name.endswith(".dist-info/WHEEL"))
    stated = (found.read_text("WHEEL") or "").splitlines()
    tag = next(line.removeprefix("Tag: ") for line in stated if line.startswith("Tag: "))
    content = {
        name: Path(str(found.locate_file(name))).read_bytes()
        for name in files
        if name.rpartition("/")[2] not in _LEFT_OUT
    }
    return _pack(folder / f"{info.removesuffix('.dist-info')}-{tag}.whl", info, content)


def core_wheels(folder: Path) -> list[Path]:
    """Make the wheels of what each environment must have for flow-core, and of what these need.

    Since 0.1.
    """
    import importlib_metadata

    made: dict[str, Path] = {}
    waiting = list(core_requirements())
    while waiting:
        text, _, condition = waiting.pop().partition(";")
        found = _NAME.match(text.strip())
        name = normalise(found[0]) if found else ""
        if not name or name in made or "extra" in condition:
            continue
        try:
            distribution = importlib_metadata.distribution(name)
        except importlib_metadata.PackageNotFoundError:
            if not condition:
                raise
            continue  # it does not hold here
        made[name] = installed_wheel(folder, name)
        waiting += distribution.requires or ()
    return list(made.values())


def _pack(path: Path, info: str, content: Mapping[str, bytes]) -> Path:
    rows = []
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            rows.append(f"{name},sha256={digest},{len(data)}")
            archive.writestr(name, data)
        archive.writestr(f"{info}/RECORD", "\n".join([*rows, f"{info}/RECORD,,"]) + "\n")
    return path


if __name__ == "__main__":
    place = Path(sys.argv[1])
    place.mkdir(parents=True, exist_ok=True)
    core_wheels(place)
