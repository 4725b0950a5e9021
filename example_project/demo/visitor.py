"""A visitor of the site: what a browser does, with the standard library."""

from __future__ import annotations

import html
import http.cookiejar
import re
import urllib.error
import urllib.parse
import urllib.request
import uuid

Files = dict[str, tuple[str, bytes]]


class SiteRefused(Exception):
    """The site answered with an error."""


class Visitor:
    """Fetches pages and sends forms, with cookies and CSRF token like a browser."""

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self.cookies = http.cookiejar.CookieJar()
        # No proxy: the site is on this machine.
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}),
            urllib.request.HTTPCookieProcessor(self.cookies),
        )

    def is_welcome(self) -> bool:
        """Whether the site answers."""
        try:
            self.get("/")
        except (OSError, SiteRefused):
            return False
        return True

    def get(self, path: str) -> str:
        """The page at ``path``."""
        return self.open(urllib.request.Request(self.address + path))[1]  # noqa: S310

    def post(
        self,
        path: str,
        fields: dict[str, str] | None = None,
        files: Files | None = None,
    ) -> str:
        """Send a form as from the home page; returns the path one ends at."""
        if not any(cookie.name == "csrftoken" for cookie in self.cookies):
            self.get("/")
        token = next(c.value for c in self.cookies if c.name == "csrftoken")
        content, kind = encode(
            {**(fields or {}), "csrfmiddlewaretoken": token or ""}, files or {}
        )
        request = urllib.request.Request(  # noqa: S310 the address is the demo's own
            self.address + path,
            data=content,
            headers={"Content-Type": kind, "Referer": self.address + "/"},
        )
        return urllib.parse.urlsplit(self.open(request)[0]).path

    def open(self, request: urllib.request.Request) -> tuple[str, str]:
        """The address one ends at, and its page. Raises SiteRefused."""
        try:
            with self.opener.open(request, timeout=30) as answer:
                return answer.url, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as error:
            page = error.read().decode(errors="replace")
            said = re.sub(r"(?s)<(style|script).*?</\1>|<[^>]+>", " ", page)
            said = " ".join(html.unescape(said).split())[:300]
            raise SiteRefused(
                f"{request.get_method()} {request.full_url}: {error.code} {said}"
            ) from None


def encode(fields: dict[str, str], files: Files) -> tuple[bytes, str]:
    """A form's content and content type; with files in parts."""
    if not files:
        return (
            urllib.parse.urlencode(fields).encode(),
            "application/x-www-form-urlencoded",
        )
    border = uuid.uuid4().hex
    parts = [
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
        for name, value in fields.items()
    ]
    parts += [
        f'Content-Disposition: form-data; name="{name}"; filename="{file}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n".encode()
        + content
        for name, (file, content) in files.items()
    ]
    body = b"".join(b"--%s\r\n%s\r\n" % (border.encode(), part) for part in parts)
    return (
        body + b"--%s--\r\n" % border.encode(),
        f"multipart/form-data; boundary={border}",
    )
