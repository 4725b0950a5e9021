"""``manage.py demo``: the whole thing at work, on one machine, by one command."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import sys
import threading
import time
from datetime import datetime
from types import FrameType
from typing import Any, NoReturn

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import ObjectDoesNotExist
from django.core.management import BaseCommand, CommandParser, call_command
from django.utils import timezone

from demo import summary
from demo.chapters import Chapter, all_chapters
from demo.children import ChildDied
from demo.display import Display
from demo.stage import Stage, StageTaken, raised
from demo.visitor import SiteRefused
from django_redisjobs import JobStatus
from django_redisjobs.exceptions import RedisJobsError
from django_redisjobs.models import Job

LIMIT_SECONDS = 120
TURN_SECONDS = 0.15
LOGIN = PASSWORD = "admin"
LIVE = {JobStatus.PENDING, JobStatus.SCHEDULED, JobStatus.RUNNING}


class Stopped(KeyboardInterrupt):
    """Somebody wants the demo to end: Ctrl-C, a signal, a closed terminal."""


class Command(BaseCommand):
    help = (
        "Runs the example shop with a worker, sends work of many kinds through the "
        "site's own forms, and checks that all of it came out right."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--once",
            action="store_true",
            help="End when the work is done, also on a terminal.",
        )

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, stop)
        display = Display()
        right = False
        try:
            prepare(display)
            with raised() as stage, undisturbed_end():
                right = play(stage, display)
                if not once and sys.stdout.isatty():
                    stay(stage, display)
        except Stopped as stopped:
            try:
                display.say("\nEnded: site, worker and neighbours are gone.")
            except OSError:
                forget_terminal()
            if not right:
                sys.exit(128 + int(stopped.args[0]))
        except (ChildDied, SiteRefused, StageTaken, TimeoutError) as error:
            display.say(f"The demo failed: {error}")
        if not right:
            sys.exit(1)


def stop(number: int, frame: FrameType | None) -> NoReturn:
    """Leave through the stage's exits; what is asked twice is already under way."""
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    raise Stopped(number)


def forget_terminal() -> None:
    """It was closed: what is buffered for it must not spoil the exit code."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere.fileno(), stream.fileno())


@contextlib.contextmanager
def undisturbed_end() -> Any:
    """Once the play is over, a signal must not cut the clearing up short."""
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)


def prepare(display: Display) -> None:
    """The database and somebody who may look at the admin."""
    display.say("Preparing the database ...")
    call_command("migrate", verbosity=0, interactive=False)
    admin, _ = get_user_model().objects.get_or_create(
        username=LOGIN, defaults={"is_staff": True, "is_superuser": True}
    )
    admin.set_password(PASSWORD)
    admin.save()


def play(stage: Stage, display: Display) -> bool:
    """All chapters; whether all came out right."""
    begun, clock = timezone.now(), time.monotonic()
    display.say(f"Site at {stage.visitor.address}/, a worker with two processes.")
    display.say("Sending work through the site's forms ...\n")
    chapters = all_chapters(mark=secrets.token_hex(3))
    for chapter in chapters:
        chapter.send(stage)
        show(chapters[: chapters.index(chapter) + 1], display)
    finished = follow(stage, chapters, display, begun)
    seconds = time.monotonic() - clock
    return tell(chapters, display, begun, seconds, finished=finished)


def show(chapters: list[Chapter], display: Display) -> bool:
    """Draw how far the chapters are; whether all are there."""
    lines = [(chapter.title, *chapter.steps()) for chapter in chapters]
    display.progress(lines)
    return all(done >= total for _, done, total in lines)


def follow(
    stage: Stage, chapters: list[Chapter], display: Display, begun: datetime
) -> bool:
    """Show progress until every effect is there and no job is left, or time is up."""
    pause = threading.Event()
    for turn in range(1, int(LIMIT_SECONDS / TURN_SECONDS)):
        stage.check()
        complete = show(chapters, display)
        # Without live jobs nothing more can come of it. One that was on its way from one
        # status to the next while the first look went on is seen by the second.
        if (complete or turn % 10 == 0) and not jobs_left(begun) + jobs_left(begun):
            return show(chapters, display)
        pause.wait(TURN_SECONDS)
    return False


def jobs_left(begun: datetime) -> int:
    """How many jobs of this demo have not ended."""
    live = Job.objects.filter(status__in=LIVE)
    return live.filter(enqueued_at__gte=begun).count()


def judged(chapter: Chapter) -> list[str]:
    """What is wrong with a chapter; what it cannot even look at counts too."""
    found = []
    try:
        found.extend(chapter.problems())
    except (RedisJobsError, ObjectDoesNotExist, OSError) as error:
        found.append(str(error).splitlines()[0])
    return found


def tell(
    chapters: list[Chapter],
    display: Display,
    begun: datetime,
    seconds: float,
    *,
    finished: bool,
) -> bool:
    """Print what happened; whether it is what should have."""
    found = {chapter.title: judged(chapter) for chapter in chapters}
    notes = {name: text for chapter in chapters for name, text in chapter.notes.items()}
    display.say(f"\nWhat the worker did in {seconds:.1f} s:\n")
    display.table(summary.HEADER, summary.rows(begun, notes))
    display.say("\nWhat came of it:\n")
    for title, problems in found.items():
        display.verdict(title, problems)
    left = jobs_left(begun)
    problems = [f"{left} jobs have not ended after {seconds:.0f} s"] if left else []
    display.verdict("Nothing left to do", problems)
    right = finished and not problems and not any(found.values())
    if not right:
        display.say(
            f"\nSite and worker wrote their logs to {settings.DATA_DIR / 'logs'}."
        )
    return right


def stay(stage: Stage, display: Display) -> NoReturn:
    """Leave everything up until somebody ends it."""
    address = stage.visitor.address
    display.say(f"\n  The shop   {address}/")
    display.say(f"  The admin  {address}/admin/redisjobs/   {LOGIN} / {PASSWORD}")
    display.say("\nCtrl-C ends everything.")
    pause = threading.Event()
    while True:
        stage.check()
        pause.wait(1)
