"""What a server says when it refuses a command, wherever in the answer it stands."""

from __future__ import annotations

import re
from typing import Any, Final

from redis.exceptions import ReadOnlyError, ResponseError

# Before Redis 7 what a command of a script was answered is wrapped.
_IN_SCRIPT: Final = re.compile(r"@user_script: ?\d+: -([A-Z]+ .*)")
# To writes, and to what blocked when it became one.
_OF_REPLICAS: Final = ("READONLY ", "UNBLOCKED force ")


def said(error: Exception) -> str:
    """What the command was answered, be it one within a script."""
    text = str(error).strip()
    wrapped = _IN_SCRIPT.search(text)
    return wrapped[1] if wrapped else text


def is_of_replica(reply: Any) -> bool:
    """Whether a server did nothing of a command because it is a replica. A primary that
    another one replaced is one, and keeps its connections.
    """
    # Nearly all replies are none, and each is asked about.
    if not isinstance(reply, ResponseError):
        return False
    return isinstance(reply, ReadOnlyError) or said(reply).startswith(_OF_REPLICAS)
