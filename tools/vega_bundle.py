"""Makes what cards draw charts with: Vega, Vega-Lite and Vega-Embed as one script, compressed.

    pip install vl-convert-python==1.9.0.post1
    python tools/vega_bundle.py
    python tools/vega_bundle.py --licences node_modules

Writes ``plugins/cards/src/flow_cards/scripts/vega.js.gz``, the same bytes each time, and prints the versions
and the hash, which a test holds. With the folder into which npm has installed vega, vega-lite and vega-embed of
these versions, it writes ``vega.NOTICE.txt`` beside it: the licences of what is in the script.

What is changed in the script: it defines no globals but ``vega``, ``vegaLite`` and ``vegaEmbed``; it knows no
address of an editor in the network; it reads CSV without making functions from text, which the pages' policy
forbids.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

SCRIPTS = Path(__file__).parents[1] / "plugins" / "cards" / "src" / "flow_cards" / "scripts"

# Programs for the command line that come along with npm, and are in no script for browsers.
_NOT_IN_IT = frozenset({
    "ansi-regex", "ansi-styles", "cliui", "commander", "emoji-regex", "escalade", "get-caller-file",
    "get-east-asian-width", "iconv-lite", "rw", "safer-buffer", "string-width", "strip-ansi",
    "vega-typings", "wrap-ansi", "y18n", "yargs", "yargs-parser",
})  # fmt: skip
_ROW_TO_OBJECT = re.compile(
    r'function (\w+)\((\w+)\)\{return new Function\("d","return \{"\+.{20,90}?\.join\(","\)\+"\}"\);\}'
)
_WITHOUT_FUNCTION = (
    r"function \1(\2){return d=>Object.fromEntries(\2.map((name,n)=>[name,d[n]||'']));}"
)


def script(bundle: str) -> str:
    """Return the script that pages carry."""
    bundle, editors = re.subn(r'"https://vega\.github\.io/editor/"', '""', bundle)
    bundle, rows = _ROW_TO_OBJECT.subn(_WITHOUT_FUNCTION, bundle)
    if (editors, rows) != (1, 1):
        sys.exit(f"the bundle has changed: {editors} editors, {rows} makers of objects from rows")
    if re.search(r"</?script|<!--", bundle, re.IGNORECASE):
        sys.exit("the bundle cannot stand in a page: it has a tag in it")
    return f'(() => {{"use strict";\n{bundle}\n}})();\n'


def licences(folder: Path) -> Iterator[str]:
    """Yield the notice: each licence once, below the packages that have it."""
    by_text: dict[str, list[str]] = {}
    for package in sorted(folder.iterdir()):
        if package.name.startswith((".", "@")) or package.name in _NOT_IN_IT:
            continue
        about = json.loads((package / "package.json").read_text())
        texts = sorted(
            p for p in package.iterdir() if re.match(r"licen[cs]e", p.name, re.IGNORECASE)
        )
        text = texts[0].read_text().strip() if texts else f"Licence: {about['license']}"
        by_text.setdefault(text, []).append(about["name"])
    yield "vega.js.gz holds these packages, under these licences.\n"
    for text, names in by_text.items():
        yield f"\n{'-' * 79}\n{', '.join(names)}\n\n{text}\n"


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--licences", type=Path, metavar="NODE_MODULES")
    given = parser.parse_args()
    if given.licences:
        (SCRIPTS / "vega.NOTICE.txt").write_text("".join(licences(given.licences)))
    import vl_convert

    print("vl-convert-python", vl_convert.__version__)
    print(
        "vega", vl_convert.get_vega_version(), "vega-lite", vl_convert.get_vegalite_versions()[-1]
    )
    print("vega-embed", vl_convert.get_vega_embed_version())
    text = script(vl_convert.javascript_bundle()).encode()
    packed = gzip.compress(text, 9, mtime=0)
    (SCRIPTS / "vega.js.gz").write_bytes(packed)
    print(f"{len(text):,} bytes, {len(packed):,} compressed, SHA-256 of the script:")
    print(hashlib.sha256(text).hexdigest())


if __name__ == "__main__":
    main()
