r"""Keys as the services take them.

They take all of Unicode but control characters, and some take ``\`` for ``/``. These are written as
``%0A``, ``%5C``; a ``%`` that stands before such a number is written as ``%25``. All other keys are
in the bucket as they are in the store, so that other programs find them.
"""

from __future__ import annotations

import re

_CODES = "25|5C|7F|[01][0-9A-F]"
_HAS_ODD = re.compile(r"[\x00-\x1f\x7f\\%]")
_ODD = re.compile(rf"[\x00-\x1f\x7f\\]|%(?={_CODES})")
_CODE = re.compile(f"%({_CODES})")


def escape(key: str) -> str:
    """Return the key under which the service keeps ``key``."""
    if not _HAS_ODD.search(key):
        return key
    return _ODD.sub(lambda found: f"%{ord(found[0]):02X}", key)


def unescape(key: str) -> str:
    """Undo `escape`."""
    if "%" not in key:
        return key
    return _CODE.sub(lambda found: chr(int(found[1], 16)), key)
