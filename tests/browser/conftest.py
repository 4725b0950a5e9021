"""A real browser before the admin of a real site, with a real worker behind it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from django.contrib.auth.models import Permission, User
from django.test import Client
from selenium import webdriver
from selenium.common.exceptions import (
    StaleElementReferenceException,
    WebDriverException,
)
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import Select, WebDriverWait

from django_redisjobs import conf
from tests.browser.axe import script_of
from tests.integration.core.store import Store

ROOT = Path(__file__).resolve().parents[2]
# Seconds. What is waited for takes one or two, and on a busy machine many.
PATIENCE = 60
JOBS = "/admin/redisjobs/job/"
QUEUES = "/admin/redisjobs/queue/"
WORKERS = "/admin/redisjobs/worker/"


def _program(*names: str) -> str:
    for name in names:
        if path := shutil.which(name):
            return path
    raise pytest.UsageError(
        f"These tests need a browser, and found no {' or '.join(names)}. On Debian: "
        "apt-get install chromium chromium-driver."
    )


@pytest.fixture(scope="session")
def driver() -> Iterator[webdriver.Chrome]:
    """One browser for all tests."""
    options = webdriver.ChromeOptions()
    options.binary_location = _program("chromium", "chromium-browser", "google-chrome")
    for argument in (
        "headless=new",
        "hide-scrollbars",
        "disable-gpu",
        "disable-dev-shm-usage",
    ):
        options.add_argument(f"--{argument}")
    options.add_argument("--window-size=1440,1200")
    options.add_argument("--lang=en")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(_program("chromedriver"))
    opened = webdriver.Chrome(options=options, service=service)
    yield opened
    opened.quit()


class Browser:
    """One person before the admin."""

    def __init__(self, driver: webdriver.Chrome, site: str, username: str) -> None:
        self.driver = driver
        self.site = site
        self.username = username

    def sign_in(self) -> None:
        client = Client()
        client.force_login(User.objects.get(username=self.username))
        self.driver.get(f"{self.site}/admin/login/")
        self.driver.delete_all_cookies()
        session = client.cookies["sessionid"].value
        self.driver.add_cookie({"name": "sessionid", "value": session, "path": "/"})

    def open(self, path: str) -> None:
        self.driver.get(self.site + path)

    def text(self, selector: str = "#content") -> str:
        return self.find(selector).text

    def find(self, selector: str) -> WebElement:
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def click(self, selector: str) -> None:
        """Click what leads to another page, and wait for that page."""
        page = self.find("html")
        self.find(selector).click()
        self.wait(lambda: _is_gone(page), f"the page after a click on {selector}")
        self.wait(
            lambda: self.run("return document.readyState") == "complete",
            "the page to be complete",
        )

    def choose(self, selector: str, value: str) -> None:
        Select(self.find(selector)).select_by_value(value)

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition: Callable[[], Any], what: str) -> Any:
        """Until it holds; Redis, the worker and the page are asked again and again."""
        waiting = WebDriverWait(
            self.driver,
            PATIENCE,
            ignored_exceptions=(WebDriverException,),
        )
        return waiting.until(lambda _driver: condition(), f"waited for {what}")

    def wait_for_text(self, text: str, selector: str = "#content") -> None:
        self.wait(lambda: text in self.text(selector), f"{text!r} in {selector}")

    def mark(self) -> None:
        """So that ``is_same_page`` tells whether the page was loaded anew since."""
        self.run("window.marked = true")

    def is_same_page(self) -> bool:
        return bool(self.run("return window.marked === true"))

    def complaints(self) -> list[str]:
        """What the console says since it was asked last."""
        entries: list[dict[str, Any]] = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [
            entry["message"]
            for entry in entries
            if entry["level"] in {"SEVERE", "WARNING"}
            and "favicon.ico" not in entry["message"]
        ]


def _is_gone(element: WebElement) -> bool:
    try:
        element.is_enabled()
    except StaleElementReferenceException:
        return True
    return False


@pytest.fixture
def sign_in(
    transactional_db: None,
    redisjobs: dict[str, Any],
    live_server: Any,
    driver: webdriver.Chrome,
) -> Callable[..., Browser]:
    """A browser of a staff user with these permissions of this app; with none named,
    of somebody who may do everything.
    """

    def begin(*codenames: str) -> Browser:
        if codenames:
            user = User.objects.create_user("ada", password="x", is_staff=True)
            permissions = Permission.objects.filter(
                content_type__app_label="redisjobs", codename__in=codenames
            )
            assert len(permissions) == len(codenames)
            user.user_permissions.set(permissions)
        else:
            User.objects.create_superuser("ada", password="x")
        browser = Browser(driver, live_server.url, "ada")
        browser.sign_in()
        browser.complaints()
        return browser

    return begin


@pytest.fixture
def browser(sign_in: Callable[..., Browser]) -> Iterator[Browser]:
    """Of somebody who may do everything; the console has to stay silent."""
    begun = sign_in()
    yield begun
    assert begun.complaints() == []


@pytest.fixture
def store(client: redis.Redis, redisjobs: dict[str, Any]) -> Store:
    return Store(client, conf.keys_for("default"))


@pytest.fixture
def open_gate(client: redis.Redis, prefix: str) -> Callable[[], None]:
    """Let a job that waits at the gate go on."""
    return lambda: client.rpush(f"{prefix}:gate", "open") and None


@pytest.fixture
def worker(redisjobs: dict[str, Any], tmp_path: Path) -> Iterator[None]:
    """``manage.py runworker``, in a process of its own."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.browser.settings",
        "BROWSER_TEST_REDISJOBS": json.dumps(redisjobs),
        "PYTHONPATH": str(ROOT),
    }
    log = tmp_path / "worker.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "django", "runworker", "--processes", "1"],
            cwd=ROOT,
            env=environment,
            stdout=file,
            stderr=file,
        )
    yield
    process.terminate()
    try:
        process.wait(PATIENCE)
    finally:
        process.kill()
        process.wait()
        sys.stdout.write(log.read_text())


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core."""
    path = script_of(Path(os.environ.get("AXE_CORE", "/nonexistent")))
    if not path.exists():
        raise pytest.UsageError(
            "axe-core is not there: run `tox run -e browser`, which fetches it, or let "
            "AXE_CORE name a folder that `python -m tests.browser.axe FOLDER` filled."
        )
    return path.read_text()
