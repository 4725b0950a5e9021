"""A machine whose clock is off by FAULTS_CLOCK seconds: Python imports this by itself
where this folder is on its path.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from typing import Any

OFFSET = int(os.environ.get("FAULTS_CLOCK", "0"))

_time, _time_ns, _datetime = time.time, time.time_ns, dt.datetime


class _Kind(type):
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, _datetime)


class _Datetime(_datetime, metaclass=_Kind):
    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return _datetime.now(tz) + dt.timedelta(seconds=OFFSET)

    @classmethod
    def today(cls) -> Any:
        return cls.now()


if OFFSET:
    time.time = lambda: _time() + OFFSET
    time.time_ns = lambda: _time_ns() + OFFSET * 1_000_000_000
    dt.datetime = _Datetime  # type: ignore[misc]
