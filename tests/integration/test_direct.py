"""The client that calls scripts by the shortest way: in step whatever comes between."""

from __future__ import annotations

import os
import select
import threading
import uuid
from typing import Any

import pytest
import redis
from django.test import override_settings

from django_redisjobs import connections
from django_redisjobs.connections.direct import DirectClient

pytestmark = pytest.mark.server

ECHO = "return ARGV[1]"


@pytest.fixture
def direct(redisjobs: dict[str, Any], client: redis.Redis) -> DirectClient:
    client.script_load(ECHO)
    made = connections.client()
    assert isinstance(made, DirectClient)
    return made


@pytest.fixture
def echo(client: redis.Redis) -> str:
    sha: str = client.script_load(ECHO)
    return sha


def say(client: redis.Redis, sha: str, text: str) -> str:
    reply: bytes = client.execute_command("EVALSHA", sha, 0, text)  # type: ignore[no-untyped-call]
    return reply.decode()


def idle_connection(direct: DirectClient) -> Any:
    (connection,) = direct._idle
    return connection


def test_calls_share_a_connection(direct: DirectClient, echo: str):
    assert say(direct, echo, "a") == "a"
    first = idle_connection(direct)

    assert say(direct, echo, "ä") == "ä"
    assert idle_connection(direct) is first


def test_a_connection_that_the_server_closed_is_not_used(
    direct: DirectClient, client: redis.Redis, echo: str
):
    say(direct, echo, "a")
    connection = idle_connection(direct)
    connection.send_command("CLIENT", "ID")
    client.client_kill_filter(_id=connection.read_response())

    assert say(direct, echo, "b") == "b"


def test_a_connection_whose_socket_somebody_closed_is_not_used(
    direct: DirectClient, echo: str
):
    say(direct, echo, "a")
    idle_connection(direct)._sock.close()

    assert say(direct, echo, "b") == "b"


def test_where_there_is_no_poll(
    direct: DirectClient, echo: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("django_redisjobs.connections.direct.select", object())

    assert [say(direct, echo, text) for text in "abc"] == ["a", "b", "c"]


def test_a_login_that_was_interrupted_is_begun_anew(
    direct: DirectClient, echo: str, monkeypatch: pytest.MonkeyPatch
):
    say(direct, echo, "a")
    connection = idle_connection(direct)
    direct.close()
    direct._idle.append(connection)

    def interrupted(*args: Any, **options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(connection, "on_connect_check_health", interrupted, False)
        patched.setattr(connection, "on_connect", interrupted)
        with pytest.raises(KeyboardInterrupt):
            say(direct, echo, "b")

    assert connection._sock is None
    assert say(direct, echo, "c") == "c"


def test_an_answer_left_behind_is_not_taken_for_the_next(
    direct: DirectClient, echo: str
):
    say(direct, echo, "a")
    connection = idle_connection(direct)
    connection.send_command("ECHO", "left behind")
    assert select.select([connection._sock], [], [], 5)[0]

    assert say(direct, echo, "b") == "b"


def test_an_error_of_the_server_keeps_the_connection(direct: DirectClient, echo: str):
    say(direct, echo, "a")
    connection = idle_connection(direct)

    with pytest.raises(redis.exceptions.NoScriptError):
        say(direct, "0" * 40, "b")

    assert idle_connection(direct) is connection
    assert connection._sock is not None
    assert say(direct, echo, "c") == "c"


def test_an_interrupted_call_leaves_no_answer_to_the_next(
    direct: DirectClient, echo: str, monkeypatch: pytest.MonkeyPatch
):
    say(direct, echo, "a")
    connection = idle_connection(direct)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(connection, "read_response", interrupted)
        with pytest.raises(KeyboardInterrupt):
            say(direct, echo, "b")

    assert say(direct, echo, "c") == "c"


def test_what_cannot_be_sent_leaves_the_client_usable(direct: DirectClient, echo: str):
    with pytest.raises((redis.DataError, TypeError)):
        say(direct, echo, object())  # type: ignore[arg-type]

    assert say(direct, echo, "a") == "a"


def test_threads_hear_their_own_answers(direct: DirectClient, echo: str):
    wrong: list[str] = []

    def talk() -> None:
        for _ in range(200):
            text = uuid.uuid4().hex
            if say(direct, echo, text) != text:
                wrong.append(text)

    threads = [threading.Thread(target=talk) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not wrong
    assert 1 <= len(direct._idle) <= 8


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_leaves_the_connection_to_its_parent(
    direct: DirectClient, echo: str
):
    say(direct, echo, "a")
    read, write = os.pipe()

    child = os.fork()
    if child == 0:
        try:
            os.write(write, say(direct, echo, "child").encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)

    assert os.read(read, 100) == b"child"
    assert say(direct, echo, "parent") == "parent"
    os.close(read)
    os.close(write)


def test_close_ends_its_connections_and_the_next_call_makes_one(
    direct: DirectClient, echo: str
):
    say(direct, echo, "a")
    connection = idle_connection(direct)

    direct.close()

    assert connection._sock is None
    assert say(direct, echo, "b") == "b"


def test_a_client_of_one_connection_stays_with_it(direct: DirectClient, echo: str):
    with direct.client() as single:
        assert say(single, echo, "a") == "a"

    assert direct._idle == []


def test_a_pool_with_a_limit_counts_every_connection(redisjobs: dict[str, Any]):
    limited = {**redisjobs, "OPTIONS": {"max_connections": 2}}
    with override_settings(REDISJOBS=limited):
        assert type(connections.client()) is redis.Redis
