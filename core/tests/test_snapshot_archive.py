"""The archive that a code snapshot is, as other programs read it."""

import io
import os
import tarfile
from pathlib import Path

import pytest

from flow_core import FlowError, package

CONTENTS = {
    "flow.py": b"x = 1\n",
    "folder/empty.py": b"",
    f"{'long' * 30}.py": b"y" * 512,
    "ümlaut.py": b"z" * 513,
    "e" * 100: b"exactly as long as fits",
}


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    paths = {}
    for number, (name, content) in enumerate(CONTENTS.items()):
        path = tmp_path / str(number)
        path.write_bytes(content)
        paths[name] = str(path)
    return paths


def test_tarfile_reads_all_of_it_back(files: dict[str, str]) -> None:
    with tarfile.open(fileobj=io.BytesIO(package.build(files, 1))) as archive:
        found = {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]
        modes = {m.name: m.mode for m in archive}
    assert found == CONTENTS
    assert set(modes.values()) == {0o644}


def test_executable_files_stay_executable(files: dict[str, str]) -> None:
    os.chmod(files["flow.py"], 0o755)
    with tarfile.open(fileobj=io.BytesIO(package.build(files, 1))) as archive:
        assert archive.getmember("flow.py").mode == 0o755


def test_equal_files_make_equal_archives(files: dict[str, str]) -> None:
    first = package.build(files, 1)
    for path in files.values():
        os.utime(path, (0, 0))
    assert package.build(files, 1) == first


def test_too_much_is_refused(files: dict[str, str]) -> None:
    Path(files["flow.py"]).write_bytes(bytes(100_000))
    with pytest.raises(FlowError, match=r"larger than 0\.1 MB"):
        package.build(files, 0.1)
