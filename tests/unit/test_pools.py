"""What a pool of connections is told by systems that name things differently."""

from __future__ import annotations

import socket

import pytest

from django_redisjobs.connections.pools import _keepalive


def test_where_the_idle_time_has_another_name_it_is_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(socket, "TCP_KEEPIDLE")
    monkeypatch.setattr(socket, "TCP_KEEPALIVE", 16, raising=False)

    options = _keepalive.__wrapped__()

    assert options["socket_keepalive"]
    assert options["socket_keepalive_options"][16] == 30
    assert options["socket_keepalive_options"][socket.TCP_KEEPCNT] == 3
