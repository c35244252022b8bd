"""Build the wheels of flow-core and of every plugin here: ``python tools/wheels.py dist``.

With ``--requirements`` the wheels of all that they need from others are put beside them (with names
behind it, only of what these need), so that ``pip install --no-index --find-links dist flow-core
flow-cards`` works without a network. Needs hatchling, which ``.venv`` has.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

from hatchling.build import build_wheel
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    arguments = parsed_arguments()
    folder = arguments.folder.resolve()
    built = [build(project, folder) for project in distributions()]
    wheels = {str(canonicalize_name(wheel.name.split("-")[0])): wheel for wheel in built}
    if arguments.requirements is not None:
        names = arguments.requirements or list(wheels)
        wanted = [str(canonicalize_name(name)) for name in names]
        if unknown := sorted(set(wanted) - set(wheels)):
            raise SystemExit(f"not built here: {', '.join(unknown)}; there are {', '.join(wheels)}")
        fetch_requirements(wanted, wheels, folder)
    print(f"{len(wheels)} wheels of ours in {arguments.folder}")


def parsed_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("folder", type=Path, help="where the wheels go; made if it is not there")
    parser.add_argument(
        "--requirements",
        nargs="*",
        metavar="NAME",
        help="put beside them the wheels of what they need from others, or what these of ours need",
    )
    return parser.parse_args()


def distributions() -> list[Path]:
    """The folders of all distributions here, the kernel first."""
    return [ROOT / "core", *sorted(p.parent for p in ROOT.glob("plugins/*/pyproject.toml"))]


def build(project: Path, folder: Path) -> Path:
    """Build the wheel of one distribution: in this process, since a build takes 70 ms."""
    folder.mkdir(parents=True, exist_ok=True)
    with working_folder(project):
        return folder / build_wheel(str(folder))


@contextlib.contextmanager
def working_folder(folder: Path) -> Iterator[None]:
    """Go there for a while, since hatchling builds what the working folder holds."""
    earlier = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(earlier)


def fetch_requirements(wanted: Collection[str], wheels: Mapping[str, Path], folder: Path) -> None:
    """Download, at the versions of constraints.txt, what these of ours need and is not ours."""
    others, to_visit, visited = set[str](), list(wanted), set[str]()
    while to_visit:
        visited.add(name := to_visit.pop())
        for requirement in requirements(wheels[name]):
            needed = canonicalize_name(requirement.name)
            if needed not in wheels:
                others.add(str(requirement))
            elif needed not in visited:
                to_visit.append(needed)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    only_wheels = ["--only-binary", ":all:", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([*pip, "download", *only_wheels, "-d", str(folder), *sorted(others)], check=True)


def requirements(wheel: Path) -> Iterator[Requirement]:
    """What the wheel needs in this Python, without its extras."""
    with ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        metadata = Parser().parsestr(archive.read(name).decode())
    for line in metadata.get_all("Requires-Dist", []):
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            requirement.marker = None
            yield requirement


if __name__ == "__main__":
    main()
