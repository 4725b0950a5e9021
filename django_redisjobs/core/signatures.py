"""Signed bodies: who can only write to Redis cannot make a job that workers run.

A signature is one more element at the end of a body, made with HMAC-SHA256 over the
body's text and the job's id. So nothing is encoded twice, and a body that was copied
to another id is refused as well.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from typing import Final

from .exceptions import SignatureRejected

# The same secret may sign other things elsewhere.
_PURPOSE: Final = b"django-redisjobs: the body of a job"
_SIGNATURE: Final = re.compile(r',"([0-9a-f]{64})"\]$')
_LENGTH: Final = len(',""]') + 64
# The id of a callback is that of its job, a letter, and the run that ended: which one
# nobody knows when the job is made.
_CALLBACK: Final = re.compile(r"(.+-[sf])[0-9]+\Z")


class Signatures:
    """``keys``: the first one signs, each of them is accepted. None among them: what
    has no signature is accepted, too.

    Raises ValueError without any key.
    """

    def __init__(self, keys: Sequence[str | None]) -> None:
        self._keys = [
            hmac.digest(key.encode(), _PURPOSE, "sha256")
            for key in keys
            if key is not None
        ]
        self._accepts_unsigned = None in keys
        if not self._keys:
            raise ValueError("There is no key.")

    def sign(self, job_id: str, body: str) -> str:
        """``body`` with its signature."""
        return with_signature(body, self.of(job_id, body))

    def of(self, job_id: str, body: str) -> str:
        """The signature of a body that has none yet."""
        return _signature(self._keys[0], job_id, body)

    def check(self, job_id: str, body: str) -> None:
        """Raise SignatureRejected unless it may run: it is as who has a key made it."""
        found = _SIGNATURE.search(body)
        if found is None:
            if self._accepts_unsigned:
                return
            raise SignatureRejected(
                "The job is not signed. Who enqueued it has no SIGNING_KEYS, or it was "
                "written to Redis past this package."
            )
        unsigned = body[:-_LENGTH] + "]"
        for key in self._keys:
            if hmac.compare_digest(_signature(key, job_id, unsigned), found[1]):
                return
        raise SignatureRejected(
            "The job's signature is of no key in SIGNING_KEYS. Who enqueued it has "
            "other keys, or what is stored of it was changed."
        )


def with_signature(body: str, signature: str) -> str:
    """``body``, which has none, with its signature."""
    return f'{body[:-1]},"{signature}"]'


def _signature(key: bytes, job_id: str, body: str) -> str:
    callback = _CALLBACK.match(job_id)
    name = callback[1] if callback else job_id
    # What came from Redis may be no UTF-8; what was made here always is.
    text = f"{name}\n{body}".encode("utf-8", "surrogateescape")
    return hmac.digest(key, text, "sha256").hex()
