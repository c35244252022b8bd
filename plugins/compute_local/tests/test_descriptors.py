"""Inherited descriptors: given up without freeing their numbers."""

import errno
import os
import socket

from flow_compute_local.descriptors import give_up


def test_sockets_refuse_and_their_numbers_stay_taken():
    ours, theirs = socket.socketpair()

    def look(_):
        give_up(())
        try:
            os.write(theirs.fileno(), b"x")
        except OSError as error:
            code = error.errno
        fresh = os.open(os.devnull, os.O_RDONLY)
        theirs.close()
        os.fstat(fresh)
        return code

    # The pipe that carries the result home is given up as well, so the child of a child looks.
    with ours, theirs:
        pid = os.fork()
        if pid == 0:
            os._exit(look(0))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == errno.EBADF


def test_plain_files_get_a_position_of_their_own(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abcdef")
    number = os.open(path, os.O_RDONLY)
    os.read(number, 2)
    pid = os.fork()
    if pid == 0:
        plain = give_up(())
        os._exit(0 if number in plain and os.read(number, 2) == b"cd" else 1)
    assert os.waitpid(pid, 0)[1] == 0
    assert os.read(number, 2) == b"cd"
    os.close(number)


def test_what_is_kept_works_on():
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        give_up({writing})
        os.write(writing, b"still here")
        os._exit(0)
    os.close(writing)
    assert os.read(reading, 100) == b"still here"
    os.waitpid(pid, 0)
    os.close(reading)
