"""Where in a Cluster a command belongs, and what its answers mean. No I/O."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

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

from .sharing import NoneFree

# Seconds between tries while a slot is being moved or nobody serves it: 1.6 in all.
# What takes longer is for the caller, who knows whether it has to be done at all.
PAUSES: Final = (0.02, 0.05, 0.1, 0.2, 0.4, 0.4, 0.4)
# Nodes that disagree for a moment send a client back and forth.
QUICK_REDIRECTIONS: Final = 3

# Commands that any node may answer.
_ANYWHERE: Final = frozenset(
    {
        *("ACL", "CLIENT", "CLUSTER", "COMMAND", "CONFIG", "ECHO", "INFO"),
        *("LASTSAVE", "PING", "ROLE", "SCRIPT", "TIME", "WAIT", "WAITAOF"),
    }
)
# They speak of what the same connection wrote before.
_WAITS: Final = frozenset({"WAIT", "WAITAOF"})
# redis-py's word; only newer ones have a class for it.
_NONE_FREE_IN_THREADS: Final = "Too many connections"
# Their key is behind a word that says what to do.
_WITH_SUBCOMMAND: Final = frozenset({"MEMORY", "OBJECT", "XGROUP", "XINFO"})


def slot_of(args: Sequence[Any]) -> int | None:
    """The slot of a command's key; None when any node may answer it.

    Raises:
        RedisClusterException: the command has no key that would tell a node.
    """
    command, _, subcommand = str(args[0]).upper().partition(" ")
    if command in _ANYWHERE:
        return None
    place = 1
    if command in ("EVAL", "EVALSHA"):
        place = 3
    elif command == "SCAN":
        # redis-py's own methods give bytes.
        words = [_encoded(word).upper() for word in args]
        place = words.index(b"MATCH") + 1 if b"MATCH" in words else len(args)
    elif command in _WITH_SUBCOMMAND and not subcommand:
        place = 2
    if place >= len(args):
        raise RedisClusterException(
            f"{command} has no key, so no node of the cluster is the one to ask. For "
            "commands to the whole cluster use django_redisjobs.get_connection()."
        )
    return key_slot(_encoded(args[place]))


def slots_of(commands: Sequence[Any]) -> dict[int | None, list[int]]:
    """Which of the (args, options) go together: indexes by slot. What any node may
    answer goes along with the first that has a key.
    """
    found: dict[int | None, list[int]] = {}
    anywhere = []
    for index, (args, _) in enumerate(commands):
        slot = slot_of(args)
        if slot is None:
            anywhere.append(index)
        else:
            found.setdefault(slot, []).append(index)
    if anywhere:
        slot = next(iter(found), None)
        found[slot] = sorted([*found.get(slot, []), *anywhere])
    return found


def check_waits(commands: Sequence[Any], redirected: Sequence[int]) -> None:
    """Raise ConnectionError where replicas were waited for on a node that some of
    these commands were not for. What is sent again waits for the right ones.
    """
    if redirected and any(args[0] in _WAITS for args, _ in commands):
        raise redis.ConnectionError(
            "The slot was moved while replicas were to be waited for."
        )


def raise_first(replies: list[Any]) -> list[Any]:
    """The replies, if none of them is an error."""
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
    return replies


class Slots:
    """Which node serves which slot, as far as known.

    Threads may share it: each change is one assignment, and to know too little
    only costs a look.
    """

    def __init__(self, seeds: Sequence[Host]) -> None:
        self._seeds = tuple(seeds)
        self._known: tuple[Host, ...] = ()
        self._ranges: tuple[tuple[int, int, Host], ...] = ()
        self._moved: dict[int, Host] = {}

    def owner(self, slot: int | None) -> Host | None:
        """Who serves a slot; of None: anybody who seems alive."""
        if slot is None:
            return self._known[0] if self._known else None
        if moved := self._moved.get(slot):
            return moved
        ranges = self._ranges
        return next((host for low, high, host in ranges if low <= slot <= high), None)

    def to_ask(self) -> list[Host]:
        """Nodes that may know more. The seeds stay: they may be names whose
        addresses change.
        """
        return list(dict.fromkeys((*self._known, *self._seeds)))

    def learn(self, reply: Any, asked: Host, slot: int | None) -> Host | None:
        """Take over an answer to CLUSTER SLOTS; gives the owner of ``slot``."""
        ranges = []
        for low, high, primary, *_ in reply:
            ranges.append((int(low), int(high), _host(primary, asked)))
        self._moved = {}
        self._ranges = tuple(ranges)
        self._known = tuple(dict.fromkeys(host for _, _, host in ranges))
        return self.owner(slot)

    def move(self, slot: int, host: Host) -> None:
        """One slot was found elsewhere."""
        self._moved[slot] = host
        if host not in self._known:
            self._known = (*self._known, host)

    def forget(self) -> None:
        """Whatever is known is in doubt."""
        self._moved = {}
        self._ranges = ()

    def doubt(self, host: Host, error: redis.RedisError) -> None:
        """``host`` did not answer: others may know who takes its place.

        Not where it was not asked, since its pool had no connection to spare.
        """
        if isinstance(error, NoneFree) or str(error) == _NONE_FREE_IN_THREADS:
            return
        self.forget()
        self._known = tuple(each for each in self._known if each != host)


class Route:
    """The way of one command: where to send it, given what was answered so far.

    ``asking``: the next node serves the slot for this command only, if told so.
    """

    def __init__(self, slots: Slots, slot: int | None) -> None:
        self._slots = slots
        self._slot = slot
        self._elsewhere: Host | None = None
        self._pauses = iter(PAUSES)
        self._redirections = 0

    @property
    def asking(self) -> bool:
        return self._elsewhere is not None

    def next(self) -> Host | None:
        """The node to send it to; None when somebody has to be asked first."""
        return self._elsewhere or self._slots.owner(self._slot)

    def after(self, error: redis.RedisError, host: Host) -> float:
        """Seconds to wait before the command may be sent again.

        Raises the error where it does not prove that the command did not run, or
        where that has been tried for long enough.
        """
        was_asking, self._elsewhere = self.asking, None
        word, rest = _parsed(error)
        if word in ("MOVED", "ASK"):
            target = _redirected(rest, host)
            if word == "ASK":
                self._elsewhere = target
                self._redirections += was_asking
            else:
                self._redirections += 1
                if self._slot is not None:
                    self._slots.move(self._slot, target)
            if self._redirections <= QUICK_REDIRECTIONS:
                return 0.0
            return self._pause(error)
        if word == "CLUSTERDOWN":
            self._slots.forget()
            return self._pause(error)
        if word == "TRYAGAIN":
            return self._pause(error)
        if not isinstance(error, redis.ResponseError):
            self._slots.doubt(host, error)
        raise error

    def _pause(self, error: redis.RedisError) -> float:
        pause = next(self._pauses, None)
        if pause is None:
            raise error
        return pause

    @staticmethod
    def undone(replies: Sequence[Any]) -> Iterator[int]:
        """Which commands of a batch did not run and may be sent again."""
        for index, reply in enumerate(replies):
            if isinstance(reply, redis.ResponseError) and _parsed(reply)[0]:
                yield index


def is_moved(error: BaseException) -> bool:
    """Whether a node said that another one serves the slot now."""
    return isinstance(error, redis.ResponseError) and _parsed(error)[0] == "MOVED"


def _parsed(error: redis.RedisError) -> tuple[str, str]:
    """The word by which a node refuses a command unrun, or '', and what follows."""
    text = str(error)
    if isinstance(error, MovedError):
        return "MOVED", text
    if isinstance(error, AskError):
        return "ASK", text
    if isinstance(error, TryAgainError):
        return "TRYAGAIN", text
    if isinstance(error, ClusterDownError):
        return "CLUSTERDOWN", text
    # redis-py before 6 knows these words only in its own Cluster client.
    word, _, rest = text.partition(" ")
    if type(error) is redis.ResponseError and word in _REFUSALS:
        return word, rest
    return "", text


_REFUSALS: Final = frozenset({"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"})


def _redirected(text: str, asked: Host) -> Host:
    # "3999 127.0.0.1:6381"; a node that does not know its name leaves it out.
    host, _, port = text.rpartition(" ")[2].rpartition(":")
    return Host(asked.name if host in ("", "?") else host, int(port))


def _host(entry: Sequence[Any], asked: Host) -> Host:
    name = entry[0].decode() if isinstance(entry[0], bytes) else entry[0]
    return Host(asked.name if name in ("", "?", None) else name, int(entry[1]))


def _encoded(key: Any) -> bytes:
    return key if isinstance(key, bytes) else str(key).encode()
