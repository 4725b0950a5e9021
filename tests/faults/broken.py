"""Deliberately broken variants: the checker has to catch each of them.

A variant changes the text of scripts before anything has used them.
"""

from __future__ import annotations

import hashlib

from django_redisjobs.core import scripts

# variant -> script -> (text, what stands in its place)
VARIANTS: dict[str, dict[str, tuple[str, str]]] = {
    "no-rescue": {
        "rescue": (
            "local returned, ended, more = rescue_worker(",
            "do return {'rescued', {}, {}} end local returned, ended, more = rescue_worker(",
        ),
        "step": ("maintain(lease_ms, max_crashes, keep, queues)", "false"),
        "beat": ("maintain(lease_ms, max_crashes, keep, queues)", ""),
    },
}


def apply(variant: str) -> None:
    """Break this process' scripts; '' breaks nothing."""
    if not variant:
        return
    for name, (text, instead) in VARIANTS[variant].items():
        script = scripts.SCRIPTS[name]
        head, found, tail = script.source.rpartition(text)
        if not found:
            raise RuntimeError(f"Variant {variant} does not fit {name}.lua any more.")
        source = head + instead + tail
        sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()
        object.__setattr__(script, "source", source)
        object.__setattr__(script, "sha", sha)
        scripts._SOURCES[sha] = source
