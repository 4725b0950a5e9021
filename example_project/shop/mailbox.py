"""The letters that the local mail server received, as files of one folder."""

from __future__ import annotations

import email
import email.policy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A message as it arrived."""

    to: str
    subject: str
    text: str
    arrived_at: datetime


def letters() -> list[Letter]:
    """All letters, newest first."""
    paths = sorted(Path(settings.MAIL_DIR).glob("*.eml"), reverse=True)
    return [read(path) for path in paths]


def read(path: Path) -> Letter:
    """One letter. The file's name begins with its arrival in nanoseconds."""
    message = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    body = message.get_body(("plain",))
    return Letter(
        to=str(message["To"]),
        subject=str(message["Subject"]),
        text=body.get_content() if body else "",
        arrived_at=datetime.fromtimestamp(int(path.stem.partition("-")[0]) / 1e9, UTC),
    )
