"""``manage.py neighbours``: the mail server and the gateway alone.

For those who run the site and a worker by hand, each in a terminal of its own.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management import BaseCommand

from demo.mailserver import MailServer
from demo.paymentserver import PaymentServer


class Command(BaseCommand):
    help = "Runs the local mail server and the payment gateway until Ctrl-C."

    def handle(self, *args: Any, **options: Any) -> None:
        gateway_port = urlsplit(settings.GATEWAY_URL).port or 80
        with (
            MailServer(settings.MAIL_DIR, settings.SMTP_URL.port) as mail,
            PaymentServer(gateway_port) as gateway,
        ):
            mail.start()
            gateway.start()
            self.stdout.write(f"Mail server at {mail.url}, gateway at {gateway.url}.")
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
            gateway.shutdown()
            mail.shutdown()
