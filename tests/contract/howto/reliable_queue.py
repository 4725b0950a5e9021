"""Pages of a site, and one job that is killed in the middle of them."""

from __future__ import annotations

from django_redisjobs import JobStatus, Worker

indexed = []


def index_page(page: int) -> None:
    indexed.append(page)


def check() -> None:
    names = globals()
    assert names["handle"].result(timeout=0) == "page 7 is indexed"
    info = names["info"]
    assert info.crashes == 1
    assert [each.outcome for each in info.attempts] == ["crashed", "succeeded"]
    assert "SIGKILL" in info.attempts[0].message
    counted = names["count_stock"].delay(1)
    all_of_them = names["index_all"].delay(3)
    Worker(processes=1, burst=True).run()
    assert counted.status() is JobStatus.SUCCEEDED
    assert (all_of_them.result(timeout=0), all_of_them.info().meta) == (3, {"done": 3})
    assert not indexed
