"""The memory that a supervisor, its liaison and its children share.

Made before any fork. Each cell is one aligned double: a store of eight bytes
cannot be seen half done, every whole number in use is below 2**53, and no lock
is held when a process is killed in the middle of anything.

A *code* names one claim of one worker id in a single cell; together with the
worker id it is the token that Redis knows (see ``code_of`` and ``token_of``).
"""

from __future__ import annotations

import math
import mmap
import secrets
from dataclasses import dataclass
from enum import IntEnum

from .pace import LARGEST_BATCH

INDEXES_PER_CALL = 1 << 10
# Stands for all claims of a call whose answer is not known yet.
_ANY_INDEX = INDEXES_PER_CALL - 1
CALLS_PER_GROUP = 1 << 34
CODES_PER_GROUP = INDEXES_PER_CALL * CALLS_PER_GROUP
ID_BYTES = 64
TAIL_BYTES = 4096
"""Of the last lines that a job has logged."""

# Cells of a child.
BASE = 0  # the random part of its worker id
GENERATION = 1  # W = base-generation; raised before each registration
REGISTERED = 2  # the generation that Redis knows, 0 before the first
PHASE = 3
DEADLINE = 4  # monotonic time by which this phase must end; inf: none
SUCCEEDED = 5
FAILED = 6
RETRIED = 7
RSS = 8  # resident bytes, as last measured by the child itself
STEPPED = 9  # monotonic time at which Redis last answered a claim
PID = 10
FRESH_RSS = 11  # resident bytes before it ran anything; 0: nobody asked
KEPT = 12  # since when what ended jobs left keeps coroutines from databases; 0: not
CHILD_CELLS = 16

# Cells of a slot.
CODE = 0  # 0: the slot is free. Written last and cleared first
SLOT_GENERATION = 1
STARTED = 2
HARD = 3  # monotonic time at which the supervisor kills; inf: never; or WAITING
TAIL = 4  # which half of its room for last lines holds them, and how many bytes
SLOT_CELLS = 5

# Cells that belong to no child.
LIAISON_DEADLINE = 0
TURNED = 1  # monotonic time of the supervisor's last round
REDIS_AT = 2  # monotonic time of the liaison's last success with Redis; 0: it is away
STOPPING = 3  # not 0: the worker was asked to end
AWAY_SINCE = 4  # monotonic time since which Redis is away; 0: it is there
COMMON_CELLS = 8

WAITING = -1.0
"""In place of when to kill: the job waits for its turn, and its time does not run."""

CELL = 8
_BASE_LIMIT = 1 << 52
_TAIL_HALF = TAIL_BYTES + 1


class Phase(IntEnum):
    """Where a child is. What ends says so itself: an exit status can lie."""

    BOOT = 0
    LOOP = 1
    STOPPED = 2
    RECYCLED = 3
    EXHAUSTED = 4


ENDINGS = frozenset({Phase.STOPPED, Phase.RECYCLED, Phase.EXHAUSTED})


@dataclass(frozen=True, slots=True)
class Running:
    """One occupied slot, as another process sees it."""

    slot: int
    generation: int
    code: int
    started: float
    hard: float
    job_id: str

    @property
    def waits(self) -> bool:
        """Whether others keep it from beginning."""
        return self.hard == WAITING


def worker_id(base: int, generation: int) -> str:
    """The name of one incarnation of one child; never used twice."""
    return f"{base:013x}-{generation}"


def new_base() -> int:
    """The random part of the ids of one process's worker."""
    return secrets.randbelow(_BASE_LIMIT - 1) + 1


def code_of(token: str, group: int) -> int:
    """The cell value of a token ``W:call:index`` claimed from one group."""
    _, call, index = token.split(":")
    return group * CODES_PER_GROUP + int(call) * INDEXES_PER_CALL + int(index)


def group_of(code: int) -> int:
    return code // CODES_PER_GROUP


def token_of(code: int, worker: str) -> str:
    call, index = divmod(code % CODES_PER_GROUP, INDEXES_PER_CALL)
    return f"{worker}:{call}:{index}"


def code_of_call(call: int, group: int) -> int:
    """The code of whatever a call under way will claim."""
    return code_of(f":{call}:{_ANY_INDEX}", group)


def call_of(code: int) -> int:
    """The code that stands for all claims of the call that this one is of."""
    return code | _ANY_INDEX


def tokens_of(code: int, worker: str) -> list[str]:
    """The tokens that a code may stand for: one, or those of a whole call."""
    call, index = divmod(code % CODES_PER_GROUP, INDEXES_PER_CALL)
    if index != _ANY_INDEX:
        return [token_of(code, worker)]
    return [f"{worker}:{call}:{index}" for index in range(LARGEST_BATCH)]


class Board:
    """What one child shows. Only the child writes, but for leases (the liaison).

    ``leases``: of each group, by its number, the monotonic time after which nothing of
    it may start.
    """

    __slots__ = ("cells", "ids", "leases", "slots", "tails")

    def __init__(
        self, cells: memoryview[float], ids: memoryview, tails: memoryview, slots: int
    ) -> None:
        self.cells = cells
        self.leases = cells[CHILD_CELLS + slots * SLOT_CELLS :]
        self.ids = ids
        self.tails = tails
        self.slots = slots

    def clear(self, base: int) -> None:
        """Make the board that of a new incarnation; before its fork."""
        for index in range(len(self.cells)):
            self.cells[index] = 0.0
        self.cells[BASE] = base
        self.cells[DEADLINE] = math.inf

    @property
    def generation(self) -> int:
        return int(self.cells[GENERATION])

    @property
    def worker(self) -> str:
        return worker_id(int(self.cells[BASE]), self.generation)

    @property
    def registered(self) -> bool:
        """Whether Redis knows this child under its id of now."""
        return 0 < self.cells[REGISTERED] == self.cells[GENERATION]

    @property
    def phase(self) -> Phase:
        return Phase(int(self.cells[PHASE]))

    def enter(self, phase: Phase, deadline: float) -> None:
        self.cells[DEADLINE] = deadline
        self.cells[PHASE] = phase

    def slot_offset(self, slot: int) -> int:
        return CHILD_CELLS + slot * SLOT_CELLS

    def write_tail(self, slot: int, text: bytes) -> None:
        """What is there stays readable until the new one is whole."""
        cell = self.slot_offset(slot) + TAIL
        half = 1 - int(self.cells[cell]) // _TAIL_HALF
        start = (2 * slot + half) * TAIL_BYTES
        self.tails[start : start + len(text)] = text
        self.cells[cell] = half * _TAIL_HALF + len(text)

    def tail(self, slot: int) -> bytes:
        """The last lines of the job in a slot; empty when it logged none."""
        half, length = divmod(
            int(self.cells[self.slot_offset(slot) + TAIL]), _TAIL_HALF
        )
        start = (2 * slot + half) * TAIL_BYTES
        return bytes(self.tails[start : start + length])

    def running(self, first: int | None = None) -> list[Running]:
        """Every occupied slot, or of the ``first`` ones; one that changes meanwhile is
        left out.
        """
        slots = self.slots if first is None else first
        found = (self._slot(slot) for slot in range(slots))
        return [one for one in found if one is not None]

    def _slot(self, slot: int) -> Running | None:
        offset = self.slot_offset(slot)
        code = int(self.cells[offset + CODE])
        if code == 0:
            return None
        name = bytes(self.ids[slot * ID_BYTES : (slot + 1) * ID_BYTES])
        one = Running(
            slot=slot,
            generation=int(self.cells[offset + SLOT_GENERATION]),
            code=code,
            started=self.cells[offset + STARTED],
            hard=self.cells[offset + HARD],
            job_id=name.partition(b"\0")[0].decode("utf-8", "replace"),
        )
        return one if int(self.cells[offset + CODE]) == code else None


class SharedMemory:
    """One anonymous mapping for a supervisor and all that it forks."""

    def __init__(self, children: int, slots: int, groups: int = 1) -> None:
        self._child_cells = CHILD_CELLS + slots * SLOT_CELLS + groups
        cells = COMMON_CELLS + children * self._child_cells
        self._slots = slots
        self._cells = memoryview(mmap.mmap(-1, cells * CELL)).cast("d")
        self._ids = memoryview(mmap.mmap(-1, children * slots * ID_BYTES))
        # Two for each slot, of which one is written while the other is read.
        self._tails = memoryview(mmap.mmap(-1, children * slots * 2 * TAIL_BYTES))
        self.common = self._cells[:COMMON_CELLS]

    def board(self, child: int) -> Board:
        start = COMMON_CELLS + child * self._child_cells
        names = child * self._slots * ID_BYTES
        room = self._slots * 2 * TAIL_BYTES
        return Board(
            self._cells[start : start + self._child_cells],
            self._ids[names : names + self._slots * ID_BYTES],
            self._tails[child * room : (child + 1) * room],
            self._slots,
        )
