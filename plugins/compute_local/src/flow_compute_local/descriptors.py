"""Open files that a process has inherited by a fork.

They cannot just be closed: objects of the launcher that hold their numbers live on in the forked
memory, and when one of them is collected it closes its number, which by then could be a file of the
task. So each number stays taken: by a descriptor of its own for a plain file, as the fresh import
of a module would have opened it, and otherwise by one that refuses every use.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Collection

_REFUSES = getattr(os, "O_PATH", 0)
_HARMLESS = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")


def give_up(keep: Collection[int]) -> list[int]:
    """Let go of all inherited descriptors above 2 except ``keep``.

    Returns:
        the plain files among them, to be given to `separate` after each further fork.
    """
    plain = []
    placeholder = os.open(os.devnull, _REFUSES | os.O_CLOEXEC)
    for number in _above_two():
        if number in keep or number == placeholder or _is_harmless(number):
            continue
        if separate([number]):
            plain.append(number)
        else:
            os.dup2(placeholder, number, inheritable=False)
    os.close(placeholder)
    return plain


def separate(numbers: Collection[int]) -> bool:
    """Open plain files anew under the same numbers, so that positions are not shared any more.

    Returns:
        whether all of them could be.
    """
    done = True
    for number in numbers:
        done = _reopen(number) and done
    return done


def _reopen(number: int) -> bool:
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            return False
        flags = fcntl.fcntl(number, fcntl.F_GETFL) & (os.O_ACCMODE | os.O_APPEND)
        own = os.open(f"/proc/self/fd/{number}", flags | os.O_CLOEXEC)
    except OSError:
        return False
    os.lseek(own, os.lseek(number, 0, os.SEEK_CUR), os.SEEK_SET)
    os.dup2(own, number, inheritable=os.get_inheritable(number))
    os.close(own)
    return True


def _is_harmless(number: int) -> bool:
    try:
        return os.readlink(f"/proc/self/fd/{number}") in _HARMLESS
    except OSError:
        return False


def _above_two() -> list[int]:
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            found = [int(entry) for entry in os.listdir(folder)]
        except OSError:
            continue
        return [number for number in found if number > 2 and _is_open(number)]
    return [number for number in range(3, 1024) if _is_open(number)]


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True
