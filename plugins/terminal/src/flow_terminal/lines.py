"""Lines: what tasks write, cut into whole lines and made harmless for a terminal or a file.

Output may come by the hundred megabytes, in pieces that end anywhere. So nothing here looks at
single lines: a piece is handled as a whole, and the regular expressions run only over pieces that
hold a control character at all.
"""

from __future__ import annotations

from flow_core.api import harmless

LONGEST = 64 * 1024
"""Bytes of an unfinished line that are kept; a longer one is shown in parts."""

# Everything below a blank but newline and tab; and the lead byte under which UTF-8 has the C1
# controls, some of which terminals obey.
_SUSPICIOUS = bytes({*range(32), 0x7F, 0xC2} - {0x09, 0x0A})


class LineBuffer:
    """Cuts the output of running attempts into whole lines.

    Args:
        colours: whether colours of the tasks are kept; all else that moves or erases is removed.
    """

    def __init__(self, colours: bool) -> None:
        self._colours = colours
        self._rest: dict[tuple[int, str], bytes] = {}

    def feed(self, task: int, stream: str, data: bytes) -> str:
        """Return the lines that ``data`` completes, without the last newline; ``''`` if none."""
        key = (task, stream)
        rest = self._rest.pop(key, None)
        if rest:
            data = rest + data
        cut = data.rfind(b"\n") + 1
        if cut < len(data):
            cut = self._keep(key, data, cut)
        return self._clean(data[:cut]) if cut else ""

    def flush(self, task: int) -> list[tuple[str, str]]:
        """Return what an ended task left without a newline: (stream, text)."""
        if not self._rest:
            return []
        found = [(s, self._rest.pop((task, s), b"")) for s in ("stdout", "stderr")]
        return [(stream, self._clean(rest)) for stream, rest in found if rest]

    def _keep(self, key: tuple[int, str], data: bytes, cut: int) -> int:
        """Keep an unfinished line for later, unless it is too long; return where to cut now."""
        overwritten = data.rfind(b"\r", cut, len(data) - 1)
        rest = data[max(cut, overwritten + 1) :]  # of a progress bar only the latest state counts
        if len(rest) > LONGEST:
            return len(data)
        self._rest[key] = rest
        return cut

    def _clean(self, data: bytes) -> str:
        text = data.decode("utf-8", "replace")
        if len(data.translate(None, _SUSPICIOUS)) != len(data):
            text = harmless(text, self._colours)
        return text.removesuffix("\n")
