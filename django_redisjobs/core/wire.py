"""Commands on a connection, packed without redis-py's look at each argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .scripts import Command

pack: Callable[[Command], bytes] | None
try:
    from hiredis import pack_command as pack
except ImportError:
    pack = None


def send_on(connection: Any, command: Command, *, check_health: bool = True) -> None:
    """Send ``command``; the caller reads the reply. Raises redis-py's errors, and
    TypeError for an argument that is neither text, bytes nor a number.
    """
    if pack is None:
        connection.send_command(*command, check_health=check_health)
    else:
        connection.send_packed_command([pack(command)], check_health=check_health)
