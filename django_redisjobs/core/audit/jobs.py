"""Looking at every job, and at every id in a list or set.

Redis goes on meanwhile. What one look tells is true of one moment: a script took
it. Only a plain list is too long for that; whether a job is in none is found out
by going through the list from its end to its head, where ids can be added behind
us but none can slip by, and then looking once more at the job and both ends.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.scripts import SCRIPTS, Conversation, word, words

from .facts import Facts, judge, judge_entry, no_place
from .findings import Finding

LOOKED_AT: Final = 50
LISTED: Final = 2_000
NEAR: Final = 20_000
"""Ids at each end of a list that are looked through in the last look. More than
these would have to be handed back, or enqueued, while an audit reads a list."""

_LOOK = SCRIPTS["look"]


def look(
    keys: GroupKeys, jobs: Sequence[tuple[str, str]], near: int = 0
) -> Conversation[list[Facts]]:
    """Facts about (id, another place to look into) pairs, in bounded chunks."""
    found: list[Facts] = []
    for first in range(0, len(jobs), LOOKED_AT):
        chunk = jobs[first : first + LOOKED_AT]
        fields = [field for pair in chunk for field in pair]
        (reply,) = yield [_LOOK.bind(keys, *fields, window=near)]
        found += [
            Facts.parse(job_id, raw)
            for (job_id, _), raw in zip(chunk, reply[2], strict=True)
        ]
    return found


class Jobs:
    """What looked broken of jobs so far, and which ids the plain lists have."""

    def __init__(self, keys: GroupKeys) -> None:
        self._keys = keys
        # Ids of a list: those that jobs were seen to wait by, and the others.
        self._waiting: dict[str, set[str]] = defaultdict(set)
        self._listed: dict[str, set[str]] = {}
        self._unlisted: dict[str, Facts] = {}
        self._suspects: dict[tuple[str, str], list[Finding]] = {}

    def read_lists(self, queues: Sequence[str]) -> Conversation[None]:
        """Go through the plain lists of these queues."""
        for queue in queues:
            self._listed[queue] = yield from _members(self._keys, queue)

    def look_at(self, ids: Sequence[str]) -> Conversation[None]:
        """Look at jobs, by the ids of whatever is stored of them."""
        for facts in (yield from look(self._keys, [(job_id, "") for job_id in ids])):
            self._suspect(facts, "", list(judge(facts)))
            if facts.waits_in_list and not self._is_listed(facts):
                self._unlisted[facts.id] = facts

    def _is_listed(self, facts: Facts) -> bool:
        listed = self._listed.get(facts.queue, set())
        if facts.id in listed:
            listed.remove(facts.id)
            self._waiting[facts.queue].add(facts.id)
        return facts.id in self._waiting[facts.queue]

    def tombstones(self, queue: str, length: int) -> Conversation[int]:
        """How many of a list's ids no job was seen to wait by.

        Right only for a list that did not change while everything was looked at.
        """
        others = [(job_id, "") for job_id in self._listed.get(queue, set())]
        for facts in (yield from look(self._keys, others)):
            # It may have been claimed, and handed back since.
            if facts.waits_in_list and facts.queue == queue:
                self._is_listed(facts)
        return length - len(self._waiting[queue])

    def look_into(self, place: str) -> Conversation[None]:
        """Look at every id of a set, or of the list of those that run alone."""
        if place.startswith("alone:"):
            (raw,) = yield [("LRANGE", self._keys.base + place, 0, NEAR)]
            yield from self._look_at_entries(place, words(raw or ()))
            return
        cursor = 0
        while True:
            command = ("ZSCAN", self._keys.base + place, cursor, "COUNT", LOOKED_AT)
            (reply,) = yield [command]
            if reply is None:  # of another type by now
                return
            cursor = int(reply[0])
            ids = [word(job_id) for job_id, _score in reply[1]]
            yield from self._look_at_entries(place, ids)
            if not cursor:
                return

    def _look_at_entries(self, place: str, ids: Sequence[str]) -> Conversation[None]:
        pairs = [(job_id, place) for job_id in ids]
        for facts in (yield from look(self._keys, pairs)):
            self._suspect(facts, place, list(judge_entry(facts, place)))

    def _suspect(self, facts: Facts, place: str, found: list[Finding]) -> None:
        if found:
            self._suspects[facts.id, place] = found

    def confirm(self) -> Conversation[list[Finding]]:
        """Look again at whatever looked broken; what still does, is."""
        confirmed: dict[tuple[str, ...], Finding] = {}
        for facts, place in (yield from self._again(list(self._suspects))):
            found = judge_entry(facts, place) if place else judge(facts)
            before = {one.identity for one in self._suspects[facts.id, place]}
            for one in found:
                if one.identity in before:
                    confirmed[one.identity] = one
        for one in (yield from self._confirm_unlisted()):
            confirmed[one.identity] = one
        return list(confirmed.values())

    def _again(
        self, jobs: Sequence[tuple[str, str]]
    ) -> Conversation[list[tuple[Facts, str]]]:
        looked = yield from look(self._keys, jobs)
        return [(facts, place) for facts, (_, place) in zip(looked, jobs, strict=True)]

    def _confirm_unlisted(self) -> Conversation[list[Finding]]:
        suspects = self._unlisted
        if not suspects:
            return []
        queues = {facts.queue for facts in suspects.values()}
        listed = {}
        for queue in sorted(queues):
            listed[queue] = yield from _members(self._keys, queue)
        left = [
            (job_id, "")
            for job_id, facts in suspects.items()
            if job_id not in listed[facts.queue]
        ]
        return [
            no_place(facts)
            for facts in (yield from look(self._keys, left, near=NEAR))
            if not facts.near and facts.fingerprint == suspects[facts.id].fingerprint
        ]


def _members(keys: GroupKeys, queue: str) -> Conversation[set[str]]:
    """The ids of a plain list, none left out that was in it all the while."""
    found: set[str] = set()
    last = -1
    while True:
        (raw,) = yield [("LRANGE", keys.pending(queue), last - LISTED + 1, last)]
        if not raw:
            return found
        found.update(map(word, raw))
        last -= LISTED
