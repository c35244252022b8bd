"""The archive that a code snapshot is, as other programs read it."""

import io
import os
import tarfile
from collections.abc import Mapping
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


def build(files: Mapping[str, str], limit: float) -> bytes:
    return package.pack({n: package.read_file(path)[0] for n, path in files.items()}, limit)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    paths = {}
    for number, (name, content) in enumerate(CONTENTS.items()):
        path = tmp_path / str(number)
        path.write_bytes(content)
        paths[name] = str(path)
    return paths


def test_tarfile_reads_all_of_it_back(files: dict[str, str]) -> None:
    with tarfile.open(fileobj=io.BytesIO(build(files, 1))) as archive:
        found = {m.name: archive.extractfile(m).read() for m in archive}  # type: ignore[union-attr]
        modes = {m.name: m.mode for m in archive}
    assert found == CONTENTS
    assert set(modes.values()) == {0o644}


def test_executable_files_stay_executable(files: dict[str, str]) -> None:
    os.chmod(files["flow.py"], 0o755)
    with tarfile.open(fileobj=io.BytesIO(build(files, 1))) as archive:
        assert archive.getmember("flow.py").mode == 0o755


def test_equal_files_make_equal_archives(files: dict[str, str]) -> None:
    first = build(files, 1)
    for path in files.values():
        os.utime(path, (0, 0))
    assert build(files, 1) == first


def test_too_much_is_refused(files: dict[str, str]) -> None:
    Path(files["flow.py"]).write_bytes(bytes(100_000))
    with pytest.raises(FlowError, match=r"larger than 0\.1 MB"):
        build(files, 0.1)


def test_it_is_read_and_written_out_again(files: dict[str, str], tmp_path: Path) -> None:
    os.chmod(files["flow.py"], 0o755)
    found = package.read_code(build(files, 1), "the code")
    assert {name: file.content for name, file in found.items()} == CONTENTS
    assert list(found) == sorted(CONTENTS)
    folder = tmp_path / "out"
    package.write_code(found, str(folder))
    written = {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}
    assert written.items() <= CONTENTS.items()
    assert os.access(folder / "flow.py", os.X_OK)
    package.write_code(found, str(folder))  # the same again is no conflict


def test_nothing_that_differs_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "b.py").write_text("mine")
    code = {"a.py": package.CodeFile(b"a"), "b.py": package.CodeFile(b"b")}
    with pytest.raises(FlowError, match=r"'b.py' is in the folder already"):
        package.write_code(code, str(tmp_path))
    assert not (tmp_path / "a.py").exists()
    package.write_code(code, str(tmp_path), overwrite=True)
    assert (tmp_path / "b.py").read_text() == "b"


@pytest.mark.parametrize("name", ["../out.py", "/out.py", "a/../../out.py", "a//b.py"])
def test_no_path_leads_elsewhere(name: str, tmp_path: Path) -> None:
    with pytest.raises(FlowError, match="leads elsewhere"):
        package.write_code({name: package.CodeFile(b"x")}, str(tmp_path / "in"))
    assert not (tmp_path / "out.py").exists()


def test_no_link_leads_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "sub").symlink_to(tmp_path)
    with pytest.raises(FlowError, match="outside of the folder"):
        package.write_code({"sub/out.py": package.CodeFile(b"x")}, str(tmp_path / "in"))


def test_a_folder_that_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FlowError, match="cannot be written out"):
        package.write_code({"a.py": package.CodeFile(b"x")}, str(tmp_path / "file" / "below"))


def test_what_is_no_archive() -> None:
    with pytest.raises(FlowError, match="The code cannot be read"):
        package.read_code(b"nonsense", "the code")
