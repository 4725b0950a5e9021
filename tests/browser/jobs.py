"""What the worker of browser tests runs."""

from __future__ import annotations

from django_redisjobs import current_job, get_connection, job
from django_redisjobs.conf import get_settings

EVIL = "<script>document.title='broken in'</script><img src=x onerror=alert(1)>"


@job
def add(a: int, b: int) -> int:
    return a + b


@job(retry=0)
def fail_first(message: str) -> str:
    """Fails once, and succeeds when it is run again."""
    context = current_job()
    assert context is not None
    if context.run == 1:
        raise ValueError(message)
    return "better now"


@job
def wait_at_gate() -> str:
    """Runs until the test lets it go on."""
    get_connection().blpop([f"{get_settings().prefix}:gate"], timeout=120)
    return "through the gate"
