"""A PostgreSQL of the tests' own, on a unix socket and with TLS on a port; torn down
after.

PostgreSQL refuses to run as root: then it runs as the user ``nobody``.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

import psycopg
import trustme

from tests.topologies.servers import free_port


def find(program: str) -> str:
    """The path of ``initdb`` or ``postgres``; an error where there is none."""
    if path := shutil.which(program):
        return path
    # Debian keeps them out of PATH.
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))
    if found:
        return str(found[-1])
    raise RuntimeError(
        f"These tests need PostgreSQL: {program} is not on PATH. Install it "
        "(Debian: postgresql), or leave out the environment 'postgres'."
    )


class Database:
    """One cluster in a folder of its own, without fsync: it lives for the tests."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="rj-pg-", dir="/tmp"))
        self.user = "nobody" if os.geteuid() == 0 else None
        if self.user:
            owner = pwd.getpwnam(self.user)
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
        data = self.folder / "data"
        self._run(
            find("initdb"),
            *("-D", str(data), "-U", "tests", "-A", "trust", "-E", "UTF8"),
            *("--locale=C", "--no-sync"),
        )
        self.port, certificate = free_port(), self._certificate()
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(
                [
                    find("postgres"),
                    *("-D", str(data), "-k", str(self.folder)),
                    *("-c", "listen_addresses=127.0.0.1", "-p", str(self.port)),
                    *("-c", "ssl=on", "-c", f"ssl_cert_file={certificate}"),
                    *("-c", f"ssl_key_file={certificate}", "-c", "fsync=off"),
                ],
                user=self.user,
                cwd=self.folder,
                stdout=log,
                stderr=log,
            )
        self._wait_ready()

    def _wait_ready(self) -> None:
        while True:
            try:
                psycopg.connect(
                    host=self.host, port=self.port, user="tests", dbname="postgres"
                ).close()
            except psycopg.OperationalError:
                # It refuses until it is ready; a process that ended never will be.
                if self.process.poll() is not None:
                    log = (self.folder / "log").read_text(errors="replace")
                    raise RuntimeError(f"PostgreSQL did not start: {log}") from None
            else:
                return

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, check=False, user=self.user, cwd=self.folder, capture_output=True
        )
        if done.returncode:
            raise RuntimeError(f"{command[0]} failed: {done.stdout!r} {done.stderr!r}")

    def _certificate(self) -> Path:
        """With its key: a file that is for the server's user alone."""
        path = self.folder / "server.pem"
        issued = trustme.CA().issue_cert("127.0.0.1", "localhost")
        issued.private_key_and_cert_chain_pem.write_to_path(str(path))
        path.chmod(0o600)
        if self.user:
            owner = pwd.getpwnam(self.user)
            os.chown(path, owner.pw_uid, owner.pw_gid)
        return path

    @property
    def host(self) -> str:
        return str(self.folder)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
