"""Text that everybody can be sent. Python's may have halves of surrogate pairs in it, of
names of files say, which UTF-8 cannot carry: pages, terminals and Redis refuse them.
"""

from __future__ import annotations

import re
from typing import Final

_PAIR: Final = r"u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_HALF: Final = r"u([dD][89a-fA-F][0-9a-fA-F]{2})"
_ESCAPE: Final = re.compile(rf"\\(?:{_PAIR}|{_HALF}|.)")


def encodable(text: str) -> str:
    """``text`` with what UTF-8 cannot carry spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()


def encodable_json(text: str) -> str:
    """JSON whose texts, once they are read, are ``encodable``."""
    if "\\u" not in text:
        return text
    return _ESCAPE.sub(lambda found: rf"\\u{found[1]}" if found[1] else found[0], text)
