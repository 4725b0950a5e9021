"""The neighbours of the shop: a moody payment gateway, and slow carriers."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

BUSY_TWICE, REFUSED, ALWAYS_BUSY = "5105", "4000", "3714"
PRICES = {"swift": ("14.50", 1), "harbour": ("6.20", 4), "pigeon": ("2.90", 9)}
CARRIER_SECONDS = 0.2

Answer = tuple[HTTPStatus, dict[str, object]]


class Request(BaseHTTPRequestHandler):
    """One exchange in JSON."""

    server: PaymentServer
    timeout = 30

    def do_POST(self) -> None:
        """``/charges``: take a payment."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(*self.server.charge(body["reference"], body["card"]))

    def do_GET(self) -> None:
        """``/quotes/CARRIER/ORDER``: a price for bringing an order."""
        carrier = self.path.split("/")[2]
        # Carriers think before they answer.
        threading.Event().wait(CARRIER_SECONDS)
        price, days = PRICES[carrier]
        self.answer(
            HTTPStatus.OK,
            {"carrier": carrier.capitalize(), "price": price, "days": days},
        )

    def answer(self, status: HTTPStatus, content: dict[str, object]) -> None:
        """Send the answer."""
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Keep quiet: the demo tells the story."""


class PaymentServer(ThreadingHTTPServer):
    """Listens on this machine only; port 0 picks a free one.

    ``attempts`` counts how often each payment was asked for, ``paid`` has the
    payments that went through: asking again for one of them changes nothing.
    """

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        self.lock = threading.Lock()
        self.attempts: Counter[str] = Counter()
        self.paid: dict[str, str] = {}
        super().__init__(("127.0.0.1", port), Request)

    @property
    def url(self) -> str:
        """The address as the setting ``GATEWAY_URL`` wants it."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def charge(self, reference: str, card: str) -> Answer:
        """What the gateway says to this payment, this time."""
        with self.lock:
            self.attempts[reference] += 1
            if card == REFUSED:
                return HTTPStatus.PAYMENT_REQUIRED, {"error": "The card was refused."}
            busy = card == BUSY_TWICE and self.attempts[reference] <= 2
            if busy or card == ALWAYS_BUSY:
                return HTTPStatus.SERVICE_UNAVAILABLE, {"error": "The bank is busy."}
            number = self.paid.setdefault(reference, f"pay-{len(self.paid) + 1:04}")
            return HTTPStatus.OK, {"payment": number}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed in the middle of a visit is part of the demo."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    def start(self) -> None:
        """Serve from a thread, until ``shutdown``."""
        threading.Thread(target=self.serve_forever, daemon=True).start()
