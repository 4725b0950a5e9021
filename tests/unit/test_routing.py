"""Where a Cluster's commands go, and which answers prove that nothing ran."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, cast

import pytest
import redis
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    RedisClusterException,
    TryAgainError,
)

from django_redisjobs.conf.addresses import Host
from django_redisjobs.connections.cluster import ClusterClient
from django_redisjobs.connections.routing import (
    PAUSES,
    Route,
    Slots,
    is_moved,
    raise_first,
    slot_of,
    slots_of,
)
from django_redisjobs.connections.sharing import NoneFree

ONE, TWO, SEED = Host("one", 1), Host("two", 2), Host("seed", 6379)
SLOT = key_slot(b"a")
ANSWER = [
    [0, 8000, [b"one", 1, b"id"], [b"replica", 9, b"id"]],
    [8001, 16383, [b"two", 2, b"id"]],
]


def learned() -> Slots:
    slots = Slots([SEED])
    slots.learn(ANSWER, SEED, None)
    return slots


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (("GET", "x:{a}:1"), "a"),
        (("get", b"a"), "a"),
        (("EVALSHA", "sha", 2, "x:{a}:", "x:{a}:schema", 1), "a"),
        (("EVAL", "return 1", "1", "a"), "a"),
        (("BLPOP", "x:{a}:1", "x:{a}:2", 5), "a"),
        (("SCAN", 0, "MATCH", "x:{a}:*", "COUNT", 10), "a"),
        (("SCAN", "0", b"COUNT", 10, "match", "x:{a}:*"), "a"),
        (("SCAN", "0", b"MATCH", "x:{a}:*"), "a"),
        (("OBJECT", "ENCODING", "a"), "a"),
        (("MEMORY USAGE", "a"), "a"),
        (("KEYS", "{a}*"), "a"),
    ],
)
def test_a_command_goes_where_its_key_is(command: Any, key: str) -> None:
    assert slot_of(command) == key_slot(key.encode())


@pytest.mark.parametrize(
    "command", [("PING",), ("TIME",), ("INFO", "server"), ("CONFIG GET", "save")]
)
def test_some_go_anywhere(command: Any) -> None:
    assert slot_of(command) is None


@pytest.mark.parametrize("command", [("SCAN", 0), ("FLUSHALL",), ("DBSIZE",)])
def test_what_is_about_all_nodes_is_refused(command: Any) -> None:
    with pytest.raises(RedisClusterException, match="get_connection"):
        slot_of(command)


def test_what_any_node_may_answer_goes_along() -> None:
    commands = [
        (("TIME",), {}),
        (("GET", "a"), {}),
        (("GET", "b"), {}),
        (("TIME",), {}),
    ]

    assert slots_of(commands) == {SLOT: [0, 1, 3], key_slot(b"b"): [2]}
    assert slots_of(commands[:1]) == {None: [0]}


def test_slots_are_as_the_nodes_say() -> None:
    slots = Slots([SEED])
    assert slots.owner(SLOT) is None
    assert slots.owner(None) is None
    assert slots.to_ask() == [SEED]

    assert slots.learn(ANSWER, SEED, SLOT) == TWO
    assert [slots.owner(slot) for slot in (0, 8000, 8001, 16383)] == [
        ONE,
        ONE,
        TWO,
        TWO,
    ]
    assert slots.owner(None) == ONE
    assert slots.to_ask() == [ONE, TWO, SEED]

    slots.doubt(ONE, redis.ConnectionError("gone"))
    assert slots.owner(SLOT) is None
    assert slots.to_ask() == [TWO, SEED]


@pytest.mark.parametrize("name", [b"", b"?", None])
def test_a_node_that_does_not_know_its_name_has_that_by_which_it_was_asked(
    name: Any,
) -> None:
    assert Slots([SEED]).learn([[0, 16383, [name, 7]]], SEED, 0) == Host("seed", 7)


# As redis-py tells them since version 6, and before.
@pytest.mark.parametrize(
    "error",
    [MovedError(f"{SLOT} one:1"), redis.ResponseError(f"MOVED {SLOT} one:1")],
)
def test_a_moved_slot_is_remembered(error: Any) -> None:
    slots = learned()
    route = Route(slots, SLOT)
    assert route.next() == TWO

    assert route.after(error, TWO) == 0

    assert (route.next(), route.asking) == (ONE, False)
    assert Route(slots, SLOT).next() == ONE
    assert is_moved(error)


@pytest.mark.parametrize(
    "error", [AskError(f"{SLOT} one:1"), redis.ResponseError(f"ASK {SLOT} one:1")]
)
def test_a_moving_key_is_asked_for_once(error: Any) -> None:
    slots = learned()
    route = Route(slots, SLOT)

    assert route.after(error, TWO) == 0

    assert (route.next(), route.asking) == (ONE, True)
    assert Route(slots, SLOT).next() == TWO
    assert not is_moved(error)


@pytest.mark.parametrize(
    "error",
    [
        TryAgainError("Multiple keys request during rehashing of slot"),
        ClusterDownError("The cluster is down"),
        redis.ResponseError("TRYAGAIN Multiple keys request"),
        redis.ResponseError("CLUSTERDOWN The cluster is down"),
    ],
)
def test_what_is_refused_for_a_moment_is_tried_for_a_moment(error: Any) -> None:
    route = Route(learned(), SLOT)

    assert tuple(route.after(error, TWO) for _ in PAUSES) == PAUSES
    with pytest.raises(type(error)):
        route.after(error, TWO)


def test_nodes_that_disagree_are_not_followed_for_ever() -> None:
    route = Route(learned(), SLOT)
    hosts = {ONE: "two:2", TWO: "one:1"}
    pauses = []
    with pytest.raises(MovedError):
        while True:
            host = route.next()
            assert host
            pauses.append(route.after(MovedError(f"{SLOT} {hosts[host]}"), host))

    assert pauses == [0, 0, 0, *PAUSES]


@pytest.mark.parametrize(
    "error",
    [
        redis.ConnectionError("Connection closed by server."),
        redis.TimeoutError("Timeout reading from socket"),
        redis.ResponseError("OOM command not allowed"),
        redis.ResponseError("ERR Error running script: MOVED 1 one:1"),
        redis.exceptions.NoScriptError("No matching script."),
        redis.exceptions.ReadOnlyError("You can't write against a replica"),
        redis.BusyLoadingError("Redis is loading"),
    ],
)
def test_what_may_have_run_is_never_sent_again(error: Any) -> None:
    slots = learned()
    with pytest.raises(type(error)):
        Route(slots, SLOT).after(error, TWO)

    # Who did not answer is the last to be asked where its slots are now.
    silent = not isinstance(error, redis.ResponseError)
    assert (slots.owner(SLOT) is None) == silent
    assert (TWO not in slots.to_ask()) == silent


@pytest.mark.parametrize(
    "error",
    [NoneFree("all were in use"), redis.ConnectionError("Too many connections")],
)
def test_a_pool_without_a_free_connection_says_nothing_of_the_node(error: Any) -> None:
    slots = learned()
    with pytest.raises(type(error)):
        Route(slots, SLOT).after(error, TWO)

    assert slots.owner(SLOT) == TWO
    assert TWO in slots.to_ask()


def test_of_a_batch_only_that_is_sent_again_which_did_not_run() -> None:
    replies = [
        b"OK",
        redis.ResponseError("WRONGTYPE"),
        MovedError("1 one:1"),
        TryAgainError("later"),
        redis.ConnectionError("lost"),
    ]

    assert list(Route.undone(replies)) == [2, 3]
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        raise_first(replies)


class Scouts:
    """Nobody answers them, once they may say so."""

    def __init__(self) -> None:
        self.asked: list[Host] = []
        self.may_fail = threading.Event()

    def __call__(self, host: Host) -> Self:
        self.asked.append(host)
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def execute_command(self, *_: Any) -> Any:
        self.may_fail.wait(60)
        raise redis.ConnectionError("nobody there")


class Door:
    """A lock that counts who comes to it."""

    def __init__(self) -> None:
        self.came = 0
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self.came += 1
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


def test_who_waited_for_a_look_up_that_failed_does_not_repeat_it() -> None:
    scouts, door = Scouts(), Door()
    client = ClusterClient([SEED], lambda _host: redis.Redis(), scouts)
    client._looking = cast("Any", door)

    def look_up(_number: int = 0) -> str:
        with pytest.raises(redis.ConnectionError) as caught:
            client.node_of("a")
        return str(caught.value)

    with ThreadPoolExecutor(5) as threads:
        failures = threads.map(look_up, range(5))
        deadline = time.monotonic() + 60
        while door.came < 5 and time.monotonic() < deadline:
            threading.Event().wait(0.001)
        scouts.may_fail.set()
        assert list(failures) == ["nobody there"] * 5

    assert scouts.asked == [SEED]
    look_up()
    assert scouts.asked == [SEED, SEED]
