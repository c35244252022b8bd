"""Install flow-core and every plugin here as ``pip install -e`` does, but in seconds.

``python tools/editable.py [WHAT ELSE FOR PIP …]`` builds all editable wheels in this process, and
calls pip once: pip itself would start three processes for each of the distributions. Needs hatchling.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib.metadata import Distribution, distribution
from pathlib import Path
from zipfile import ZipFile

from hatchling.build import build_editable
from wheels import distributions, working_folder


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="editable-") as folder:
        wheels = {project: build(project, Path(folder)) for project in distributions()}
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
        subprocess.run([*pip, *sys.argv[1:], *map(str, wheels.values())], check=True)
        for project, wheel in wheels.items():
            note_origin(distribution(name_of(wheel)), project)


def build(project: Path, folder: Path) -> Path:
    """Build the wheel that leads to the source of a distribution."""
    with working_folder(project):
        return folder / build_editable(str(folder))


def name_of(wheel: Path) -> str:
    with ZipFile(wheel) as archive:
        (name,) = {n.split("-")[0] for n in archive.namelist() if ".dist-info/" in n}
    return name


def note_origin(installed: Distribution, project: Path) -> None:
    """Write where it was installed from, for ``pip list``: pip has noted a wheel that is gone."""
    origin = {"dir_info": {"editable": True}, "url": project.as_uri()}
    Path(str(installed.locate_file(dist_info(installed))), "direct_url.json").write_text(
        json.dumps(origin), encoding="utf-8"
    )


def dist_info(installed: Distribution) -> str:
    (record,) = [f for f in installed.files or () if f.match("*.dist-info/RECORD")]
    return str(record.parent)


if __name__ == "__main__":
    main()
