"""Whether words are found in what people may see of a job."""

from __future__ import annotations

import json
from collections.abc import Sequence

from django_redisjobs.core.payload import Body
from django_redisjobs.models import Job
from django_redisjobs.redaction import redacted


def has_words(job: Job, words: Sequence[str]) -> bool:
    """Whether each word is in the id, the function's path or the arguments, whatever
    its case. What REDACT hides is not found.
    """
    text = f"{job.pk} {job.function}".casefold()
    left = [word for word in map(str.casefold, words) if word not in text]
    if not left or job.body is None:
        return not left
    # Hiding costs more than looking, and what is not there at all needs none.
    return _are_in(left, job.body) and _are_in(left, redacted(job.body))


def _are_in(words: Sequence[str], body: Body) -> bool:
    text = json.dumps([body.args, body.kwargs], ensure_ascii=False).casefold()
    return all(word in text for word in words)
