"""The demo's stage: neighbours, site and worker, up for as long as it lasts."""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TextIO

from django.conf import settings

from demo.children import Child, free_port
from demo.mailserver import MailServer
from demo.paymentserver import PaymentServer
from demo.visitor import Visitor

START_SECONDS = 60


class StageTaken(Exception):
    """Another demo uses the same data."""


@dataclass(frozen=True, slots=True)
class Stage:
    """What chapters play on."""

    mail: MailServer
    gateway: PaymentServer
    visitor: Visitor
    children: list[Child]

    def check(self) -> None:
        """Raises ChildDied when site or worker is gone."""
        for child in self.children:
            child.check()


@contextmanager
def raised() -> Iterator[Stage]:
    """Start everything; end everything, in whichever way the block is left."""
    with ExitStack() as stack:
        lock = stack.enter_context((settings.DATA_DIR / "demo.lock").open("w"))
        take(lock)
        mail = stack.enter_context(MailServer(settings.MAIL_DIR))
        gateway = stack.enter_context(PaymentServer())
        for server in (mail, gateway):
            server.start()
            stack.callback(server.shutdown)
        port = free_port(8000)
        children: list[Child] = []
        stack.callback(end, children)
        environment = {"SMTP_URL": mail.url, "GATEWAY_URL": gateway.url}
        for name, command in (
            ("site", f"runserver --noreload 127.0.0.1:{port}"),
            ("worker", "runworker high default low --processes 2 --grace 5 -v 2"),
        ):
            children.append(Child(name, command.split(), environment))
        stage = Stage(mail, gateway, Visitor(f"http://127.0.0.1:{port}"), children)
        await_site(stage)
        yield stage


def take(lock: TextIO) -> None:
    """Make sure that this is the only demo here: two would take each other's jobs."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise StageTaken(
            f"Another demo is running in {settings.DATA_DIR}. End it first, or set "
            "DATA_DIR to another folder."
        ) from None


def await_site(stage: Stage) -> None:
    """Wait until the site answers. Raises ChildDied or TimeoutError."""
    pause = threading.Event()
    for _ in range(START_SECONDS * 10):
        stage.check()
        if stage.visitor.is_welcome():
            return
        pause.wait(0.1)
    raise TimeoutError(f"The site did not answer:\n{stage.children[0].tail()}")


def end(children: list[Child]) -> None:
    """End all children at the same time."""
    for child in children:
        child.ask_to_stop()
    for child in children:
        child.wait(30)
