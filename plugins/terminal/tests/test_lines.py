"""Output of tasks: whole lines, harmless, whatever the bytes."""

from __future__ import annotations

import random
import time

import pytest

from flow_core.api import harmless
from flow_terminal.lines import LONGEST, LineBuffer


@pytest.fixture
def lines() -> LineBuffer:
    """A buffer for a pipe."""
    return LineBuffer(colours=False)


def test_partial_lines_wait_per_task_and_stream(lines: LineBuffer) -> None:
    assert lines.feed(1, "stdout", b"one") == ""
    assert lines.feed(1, "stderr", b"err\nor") == "err"
    assert lines.feed(2, "stdout", b"two\n") == "two"
    assert lines.feed(1, "stdout", b" more\nand\nrest") == "one more\nand"
    assert lines.flush(1) == [("stdout", "rest"), ("stderr", "or")]
    assert lines.flush(1) == []
    assert lines.flush(2) == []


def test_empty_lines_are_kept(lines: LineBuffer) -> None:
    assert lines.feed(1, "stdout", b"a\n\nb\n\n") == "a\n\nb\n"


def test_letters_cut_in_two_are_whole_again(lines: LineBuffer) -> None:
    data = "日本語 é\n".encode()
    text = "".join(lines.feed(1, "stdout", data[n : n + 1]) for n in range(len(data)))
    assert text == "日本語 é"


def test_undecodable_bytes_are_replaced(lines: LineBuffer) -> None:
    assert lines.feed(1, "stdout", b"a\xff\xfeb\n") == "a\ufffd\ufffdb"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"dos\r\nlines\r\n", "dos\nlines"),
        (b"10%\r50%\r100%\n", "100%"),
        (b"10%\r50%\r100%\r\nnext\n", "100%\nnext"),
        (b"\r\rx\n", "x"),
        (b"bell\x07 back\x08space \x00nul\n", "bell backspace nul"),
        (b"tab\tstays\n", "tab\tstays"),
    ],
)
def test_other_separators_and_controls(lines: LineBuffer, data: bytes, text: str) -> None:
    assert lines.feed(1, "stdout", data) == text


def test_progress_bar_without_a_newline_costs_no_memory(lines: LineBuffer) -> None:
    for percent in range(1000):
        assert lines.feed(1, "stderr", f"\r{percent} {'#' * 1000}".encode()) == ""
    ((stream, text),) = lines.flush(1)
    assert stream == "stderr"
    assert text.startswith("999 #")


def test_endless_line_is_shown_in_parts(lines: LineBuffer) -> None:
    shown = [lines.feed(1, "stdout", b"x" * 10_000) for _ in range(20)]
    shown += [text for _, text in lines.flush(1)]
    assert sum(map(len, shown)) == 200_000
    assert max(map(len, shown)) <= LONGEST + 10_000


def test_control_sequences() -> None:
    text = (
        "\x1b[2J\x1b[1;31mred\x1b[0m\x1b[3A\x1b]0;title\x07 \x1b]8;;http://x\x1b\\link\x1b7\x9b2J"
    )
    assert harmless(text, colours=True) == "\x1b[1;31mred\x1b[0m link"
    assert harmless(text, colours=False) == "red link"


def test_no_bytes_make_it_fail_or_leave_controls(lines: LineBuffer) -> None:
    chance = random.Random(7)
    for _ in range(300):
        data = chance.randbytes(chance.randrange(1, 200)) + b"\n"
        text = lines.feed(1, "stdout", data)
        assert all(char in "\t\n" or ord(char) >= 32 for char in text)
        assert not any("\x7f" <= char <= "\x9f" for char in text)


@pytest.mark.parametrize("piece", [b"\x1b[", b"\x1b]", b"\r", b"\x1b[31m", b"\x9b", b"\xc2\x9b;"])
def test_hostile_output_takes_linear_time(lines: LineBuffer, piece: bytes) -> None:
    data = piece * (1_000_000 // len(piece)) + b"\n"
    before = time.perf_counter()
    lines.feed(1, "stdout", data)
    assert time.perf_counter() - before < 3  # quadratic time would be hours


def test_much_output_is_fast(lines: LineBuffer) -> None:
    data = (b"x" * 79 + b"\n") * 800
    before = time.perf_counter()
    for _ in range(500):  # 32 MB, and some slow machine
        lines.feed(1, "stdout", data)
    assert time.perf_counter() - before < 3
