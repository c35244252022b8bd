"""The meeting place of a gang."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from flow_compute_local import gangs
from flow_core.api import FlowError


def test_the_port_can_be_listened_at() -> None:
    place = gangs.meeting_place(())
    with socket.create_server((place["MASTER_ADDR"], int(place["MASTER_PORT"]))):
        pass
    assert place["NODE_RANK"] == "0"


def test_a_port_in_use_is_not_chosen() -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        assert not gangs._is_free(port)


def test_nor_one_that_another_gang_got(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = iter([20001, 20002, 20003])
    monkeypatch.setattr(gangs.random.SystemRandom, "sample", lambda *_: list(offered))
    monkeypatch.setattr(gangs, "_is_free", lambda port: port != 20002)
    assert gangs.free_port([20001]) == 20003


def test_none_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gangs, "_is_free", lambda port: False)
    with pytest.raises(FlowError) as caught:
        gangs.free_port(())
    error: Any = caught.value
    assert error.what == "No free port was found for the main task of a gang"
    assert error.why == "200 ports between 20000 and 32767 were tried, all are in use"
    assert error.hint == "@parallel(port=...) with one that is free"
