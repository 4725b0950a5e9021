"""What axe-core finds on each page, in light and dark."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.jobs import add, fail_first
from tests.integration.core.store import Store

from .conftest import JOBS, QUEUES, WORKERS, Browser
from .test_admin import evil_job

FIND = """
const [done] = arguments;
// The label of Django's own search field is a picture.
const where = {include: [["#content"]], exclude: [["#searchbar"]]};
axe.run(where).then(found => done(found.violations.map(each => ({
  rule: each.id, impact: each.impact, help: each.help,
  places: each.nodes.map(node => `${node.html.slice(0, 200)} ${node.failureSummary}`),
}))));
"""
SERIOUS = {"serious", "critical"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_serious_fault(
    browser: Browser, store: Store, worker: None, axe: str, theme: str
):
    for handle in (add.delay(1, 2), fail_first.delay("no such order")):
        handle.wait(timeout=60)
    failed = evil_job(store)
    (waiting,) = store.add("low", delay_ms=60_000)
    store.pause("low", reason="stocktaking", by="ada")

    found: list[str] = []
    for path in (
        *(QUEUES, f"{QUEUES}low/pause/", f"{QUEUES}high/pause/"),
        *(JOBS, f"{JOBS}?_facets=True&status__exact=failed"),
        *(f"{JOBS}{failed}/change/", f"{JOBS}{handle.id}/change/"),
        *(f"{JOBS}{waiting}/change/", WORKERS),
    ):
        browser.open(path)
        found += [
            f"{path}: {fault['rule']}: {place}"
            for fault in find(browser, axe, theme)
            if fault["impact"] in SERIOUS
            for place in fault["places"]
        ]
    # axe itself tries styles that the policy of the pages refuses.
    browser.complaints()
    assert not found, "\n".join(found)


def find(browser: Browser, axe: str, theme: str) -> list[dict[str, Any]]:
    browser.run("document.documentElement.dataset.theme = arguments[0]", theme)
    browser.run(axe)
    faults: list[dict[str, Any]] = browser.driver.execute_async_script(FIND)
    return faults
