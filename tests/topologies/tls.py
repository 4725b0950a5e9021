"""A server that speaks TLS only: by itself where its binary can, else behind a relay
that ends the TLS before it.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from pathlib import Path
from typing import Any

import trustme

from tests.servers import Server

from .servers import HOST, free_port


class Certificates:
    """An authority of its own; files of it, the server's and a client's."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.authority = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.authority))
        self.server = self._write(
            folder / "server.pem", authority.issue_cert(HOST, "localhost")
        )
        self.client = self._write(
            folder / "client.pem", authority.issue_cert("client@example.org")
        )

    @staticmethod
    def _write(path: Path, issued: Any) -> Path:
        issued.private_key_and_cert_chain_pem.write_to_path(str(path))
        return path

    def server_context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(
            ssl.Purpose.CLIENT_AUTH, cafile=str(self.authority)
        )
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_cert_chain(self.server)
        return context


class TLSServer:
    """Wants clients to show a certificate, too. ``native``: without the relay."""

    def __init__(self, certificates: Certificates, *arguments: str) -> None:
        self.port = free_port()
        self.native = True
        self.relay: Relay | None = None
        try:
            self.server = Server(
                *("--tls-port", str(self.port)),
                *("--tls-cert-file", str(certificates.server)),
                *("--tls-key-file", str(certificates.server)),
                *("--tls-ca-cert-file", str(certificates.authority)),
                *arguments,
            )
        except RuntimeError:
            # Built without TLS.
            self.native = False
            self.server = Server(*arguments)
            self.relay = Relay(self.port, self.server.socket, certificates)

    @property
    def url(self) -> str:
        return f"rediss://localhost:{self.port}/0"

    def stop(self) -> None:
        if self.relay is not None:
            self.relay.stop()
        self.server.stop()


class Relay:
    """Takes TLS connections and hands what comes to a unix socket, and back."""

    def __init__(self, port: int, target: str, certificates: Certificates) -> None:
        self._target = target
        self._context = certificates.server_context()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete, args=(self._serve(port),)
        )
        self._thread.start()
        self._ready.wait(10)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self, port: int) -> None:
        server = await asyncio.start_server(
            self._connected, "localhost", port, ssl=self._context
        )
        self._ready.set()
        await self._stopping.wait()
        server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connected(self, reader: Any, writer: Any) -> None:
        inner_reader, inner_writer = await asyncio.open_unix_connection(self._target)
        await asyncio.gather(
            self._carry(reader, inner_writer), self._carry(inner_reader, writer)
        )

    @staticmethod
    async def _carry(reader: Any, writer: Any) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()
