"""Makes the pictures of docs/screenshots: ``tox run -e screenshots``."""

from __future__ import annotations

import io
import json
import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from typing import Any

import pytest
from PIL import Image

from django_redisjobs import get_queue
from django_redisjobs.core.records import AttemptRecord
from django_redisjobs.monitoring.spreads import BUCKETS, starts_ms
from tests.integration.core.store import Store, Worker

from .conftest import JOBS, QUEUES, ROOT, WORKERS, Browser

FOLDER = ROOT / "docs" / "screenshots"
Colour = tuple[int, int, int]
COMMON, RARE = 96, 160
"""Colours of a picture: few are enough, and make it small."""
WIDTH, LOWEST, HIGHEST = 1280, 600, 1512
HOUR_MS, MINUTE_MS = 3_600_000, 60_000
TRACEBACK = """Traceback (most recent call last):
  File "/srv/site/shop/jobs.py", line 48, in charge_card
    receipt = gateway.charge(order.card, order.total)
  File "/srv/site/shop/gateway.py", line 112, in charge
    raise CardDeclined(f"Card {card.masked} was declined: {answer.reason}")
shop.gateway.CardDeclined: Card 4000…0002 was declined: insufficient funds
"""
REASONS = (
    (
        "shop.jobs.charge_card",
        "shop.gateway.CardDeclined",
        "Card 4000…0002 was declined: insufficient funds",
    ),
    (
        "shop.jobs.send_confirmation",
        "smtplib.SMTPRecipientsRefused",
        "550 no such user here",
    ),
    ("shop.reports.nightly", "", "crashed: killed by signal 9"),
)


class Scene:
    """A shop on a busy day."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.client = store.client
        self.keys = store.keys
        self.now_ms = store.now_ms()
        self.chance = random.Random(4)

    def set_up(self) -> str:
        """Fill the store; the id of a job that failed."""
        self._counters()
        workers = self._workers()
        failed = [self._fail(workers[0], number) for number in range(30)]
        self._waiting()
        for worker in workers:
            worker.claim(1)
        get_queue("low").pause("the bank is down until noon", by="ada", for_="1h")
        return failed[-1]

    def _counters(self) -> None:
        for bucket, length_ms, number in (
            ("hour", HOUR_MS, 168),
            ("minute", MINUTE_MS, 60),
        ):
            for age in range(number):
                at = self.now_ms // length_ms - age
                share = 0.5 + 0.5 * abs(at % 24 - 12) / 12
                counted = dict(self._counted(share * length_ms / MINUTE_MS))
                key = self.keys.statistics(bucket, at)
                self.client.hset(key, mapping=counted)
                for queue in ("high", "default", "low"):
                    self._timings(bucket, at, queue, counted[f"q:{queue}:succeeded"])

    def _timings(self, bucket: str, at: int, queue: str, runs: int) -> None:
        """A few runs of each time, so that they are many enough."""
        counters = self.client.bitfield(self.keys.spread(bucket, at, queue))
        busy = self.chance.uniform(0.7, 1.6)
        for _ in range(60):
            for lane, usual_ms, width in ((0, 12, 1.1), (1, 90, 0.9)):
                took_ms = busy * self.chance.lognormvariate(math.log(usual_ms), width)
                starts = range(BUCKETS)
                place = max(each for each in starts if starts_ms(each) <= took_ms)
                counters.incrby("u32", f"#{2 * place + lane}", max(1, runs // 60))
        counters.execute()

    def _counted(self, minutes: float) -> Iterator[tuple[str, int]]:
        for queue, each in (("high", 15), ("default", 40), ("low", 6)):
            done = int(each * minutes * self.chance.uniform(0.7, 1.3))
            failed = int(done * self.chance.choice((0, 0, 0, 0.01, 0.06)))
            yield f"q:{queue}:succeeded", done
            yield f"q:{queue}:failed", failed
            yield f"q:{queue}:retried", failed * 2
            yield f"q:{queue}:run_ms", done * self.chance.randint(60, 240)
            yield f"q:{queue}:wait_ms", done * self.chance.randint(3, 60)
        for function, each, length_ms in (
            ("shop.jobs.send_confirmation", 24, 120),
            ("shop.jobs.charge_card", 20, 310),
            ("shop.jobs.resize_picture", 12, 95),
            ("newsletter.jobs.send_issue", 3, 2_900),
        ):
            done = int(each * minutes)
            yield f"f:{function}:succeeded", done
            yield f"f:{function}:run_ms", done * length_ms

    def _fail(self, worker: Worker, number: int) -> str:
        function, exception, message = self.chance.choice((*REASONS, *REASONS[:1] * 3))
        if number == 29:
            function, exception, message = REASONS[0]
        queue = self.chance.choice(("high", "default"))
        body = json.dumps([function, [4711 + number], {"currency": "EUR"}])
        (job_id,) = self.store.add(queue, body=body)
        for run, kind in ((1, "retry"), (2, "failed")):
            (job,) = worker.claim()
            ended = job.claimed_ms + 310 * run
            attempt = AttemptRecord(
                *(run, run, worker.name, job.claimed_ms, ended),
                *("failed" if exception else "crashed", exception, message),
                TRACEBACK if exception else "",
                logs=((ended - 90, "INFO", "shop.gateway", "charging 49.90 EUR"),),
            )
            worker.settle(
                job,
                kind=kind,
                error=f"{exception.rpartition('.')[2]}: {message}".lstrip(": "),
                attempt=attempt.to_json(),
                started_ms=job.claimed_ms,
                finished_ms=ended,
            )
            self.store.promote(job_id)
        return job_id

    def _waiting(self) -> None:
        for queue, function, count in (
            ("high", "shop.jobs.send_confirmation", 3),
            ("default", "shop.jobs.resize_picture", 1_240),
            ("low", "newsletter.jobs.send_issue", 86),
        ):
            body = json.dumps([function, [1], {}])
            self.store.add(queue, count, body=body)
        body = json.dumps(["shop.jobs.remind", [7], {}])
        self.store.add("default", 25, body=body, delay_ms=9_000_000)

    def _workers(self) -> list[Worker]:
        workers = []
        for number in range(6):
            host = f"web-{number // 3 + 1}.example.com"
            worker = self.store.worker(
                *("high", "default", "low"), name=f"{host}:4711-{number}"
            )
            info: dict[Any, Any] = {
                "name": f"{host}:4711",
                "host": host,
                "pid": 4712 + number,
                "queues": "high default low",
                "started_ms": self.now_ms - 1_500_000 - number // 3 * 600_000,
                "version": "0.1.0",
                "memory": 73_000_000 + number * 4_100_000,
            }
            self.client.hset(self.keys.worker(worker.name), mapping=info)
            self.client.zadd(self.keys.workers, {worker.name: self.now_ms + 3_600_000})
            workers.append(worker)
        return workers


@pytest.mark.timeout(300)
def test_pictures(browser: Browser, store: Store) -> None:
    job_id = Scene(store).set_up()
    FOLDER.mkdir(exist_ok=True)
    pages = {
        "overview": f"{QUEUES}?period=24h",
        "jobs": f"{JOBS}?status__exact=failed",
        "job": f"{JOBS}{job_id}/change/",
        "workers": WORKERS,
        "pause": f"{QUEUES}high/pause/",
    }
    pictures = {}
    for name, path in pages.items():
        browser.open(path)
        # Where the tests' server is belongs to no picture.
        browser.run(
            "for (const each of document.querySelectorAll('.rj-where'))"
            " each.textContent = 'Redis at redis.example.com:6379'"
        )
        for theme in ("light", "dark"):
            browser.run("document.documentElement.dataset.theme = arguments[0]", theme)
            pictures[f"{name}-{theme}.png"] = take(browser)
    # This takes its time, which none of the pages is to show.
    for file, picture in pictures.items():
        reduced(picture).save(FOLDER / file, optimize=True)


def take(browser: Browser) -> Image.Image:
    """The whole page, unless it is very long."""
    browser.driver.set_window_size(WIDTH, LOWEST)
    frame = int(browser.run("return window.outerHeight - window.innerHeight"))
    height = int(browser.run("return document.documentElement.scrollHeight"))
    browser.driver.set_window_size(WIDTH, min(height, HIGHEST) + frame)
    shot = browser.driver.get_screenshot_as_png()
    return Image.open(io.BytesIO(shot)).convert("RGB")


def reduced(picture: Image.Image) -> Image.Image:
    """In few colours: what is common stays as it is, all else becomes what is near it,
    be it only a dot or a line.
    """
    data = picture.tobytes()
    pixels = list(zip(data[::3], data[1::3], data[2::3], strict=True))
    colours = [colour for colour, _count in Counter(pixels).most_common()]
    rest = bytes(chain.from_iterable(colours[COMMON:] or colours))
    rare = Image.frombytes("RGB", (len(rest) // 3, 1), rest)
    found = iter(rare.quantize(RARE, dither=Image.Dither.NONE).getpalette() or ())
    chosen = [*colours[:COMMON], *islice(zip(found, found, found, strict=False), RARE)]
    places = {colour: _nearest(colour, chosen) for colour in colours}
    small = Image.frombytes("P", picture.size, bytes(places[each] for each in pixels))
    small.putpalette(list(chain.from_iterable(chosen)))
    return small


def _nearest(colour: Colour, chosen: Sequence[Colour]) -> int:
    return min(range(len(chosen)), key=lambda place: math.dist(colour, chosen[place]))
