"""The code snapshot of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flow_client import Code, Run
from flow_core.api import FlowError, IntegrityError, StoreError, blob_key

FILES = {"my_flow.py": "print('hi')\n", "lib/util.py": "x = 1\n"}


def code(past: Any, files: dict[str, str] = FILES) -> Code:
    past.run("1", code=files)
    found = Run("F/1").code
    assert found is not None
    return found


def test_it_shows_the_flow_and_its_files(past: Any) -> None:
    found = code(past)
    assert found.script_name == "my_flow.py"
    assert found.flowspec == "print('hi')\n"
    assert found.files == ["lib/util.py", "my_flow.py"]
    assert found.read("lib/util.py") == b"x = 1\n"


def test_a_notebook_flow_has_none(past: Any) -> None:
    past.run("1")
    assert Run("F/1").code is None


def test_a_missing_file_is_an_error(past: Any) -> None:
    with pytest.raises(FlowError, match=r"The code snapshot has no file 'other\.py'"):
        code(past).read("other.py")


def test_it_is_written_out(past: Any, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert code(past).extract(str(folder)) == str(folder)
    assert (folder / "lib" / "util.py").read_text() == "x = 1\n"


def test_it_does_not_overwrite_unless_told(past: Any, tmp_path: Path) -> None:
    (tmp_path / "my_flow.py").write_text("mine")
    found = code(past)
    with pytest.raises(FlowError, match=r"'my_flow\.py' is in the folder already"):
        found.extract(str(tmp_path))
    assert (tmp_path / "my_flow.py").read_text() == "mine"
    assert not (tmp_path / "lib").exists()
    found.extract(str(tmp_path), overwrite=True)
    assert (tmp_path / "my_flow.py").read_text() == "print('hi')\n"


def test_nothing_is_written_outside_of_the_folder(past: Any, tmp_path: Path) -> None:
    found = code(past, {"../evil.py": "boom"})
    with pytest.raises(StoreError, match="The code snapshot cannot be written out"):
        found.extract(str(tmp_path / "out"))
    assert not (tmp_path / "evil.py").exists()


def test_a_damaged_snapshot_is_not_read(past: Any) -> None:
    found = code(past)
    past.session.store.write([(blob_key(found.sha), b"x" * 10240)])
    with pytest.raises(IntegrityError):
        found.files


def test_it_is_written_into_a_temporary_folder(past: Any) -> None:
    found = code(past)
    with found.extract() as folder:
        assert (Path(folder) / "lib" / "util.py").read_text() == "x = 1\n"
    assert not Path(folder).exists()


def test_it_says_where_it_lies_and_what_it_is(past: Any) -> None:
    found = code(past)
    assert found.path == f"memory://here/{blob_key(found.sha)}"
    assert found.info["python"] == "3.11"
    with found.tarball as archive:
        assert sorted(archive.getnames()) == found.files


def test_a_folder_that_cannot_be_written_is_removed(
    past: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(StoreError):
        code(past, {"../evil.py": "boom"}).extract()
    assert list(tmp_path.iterdir()) == []
