"""The example project's demo as a newcomer starts it, in a process of its own."""

from __future__ import annotations

import os
import pty
import re
import selectors
import signal
import smtplib
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

EXAMPLE = Path(__file__).resolve().parents[2] / "example_project"
MANAGE = EXAMPLE / "manage.py"
DEMO = [sys.executable, str(MANAGE), "demo"]
# The embedded server stays for up to ten seconds after its last user.
GONE_SECONDS = 20

pytestmark = [pytest.mark.timeout(240), pytest.mark.slow]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A folder of its own for all data, and nothing of what this run was told."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("REDISJOBS_", "DJANGO_", "DATABASE_"))
    }
    return {
        **inherited,
        "DATA_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(EXAMPLE.parent), *filter(None, sys.path)]),
    }


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path) -> Iterator[None]:
    """After each test nobody works in its folder any more."""
    yield
    left = working_in(tmp_path)
    _, alive = psutil.wait_procs(left, timeout=GONE_SECONDS)
    named = [process.info for process in alive]
    for process in alive:
        process.kill()
    assert not named


def working_in(folder: Path) -> list[psutil.Process]:
    """Processes that were started for this folder."""
    found = []
    for process in psutil.process_iter(["pid", "cmdline"]):
        try:
            ours = process.environ().get("DATA_DIR") == str(folder)
            inside = process.cwd().startswith(str(folder))
        except psutil.Error:
            continue
        if (ours or inside) and process.pid != os.getpid():
            found.append(process)
    return found


def run(environment: dict[str, str], *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DEMO, *more],
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@contextmanager
def on_terminal(environment: dict[str, str]) -> Iterator[tuple[int, int]]:
    """The demo on a terminal of its own: (process id, terminal)."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(DEMO[0], DEMO, environment)
    try:
        yield pid, terminal
    finally:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def read_until(terminal: int, words: str, seconds: float = 200) -> str:
    """What the terminal shows up to these words, or to its end."""
    shown, deadline = b"", time.monotonic() + seconds
    with selectors.DefaultSelector() as selector:
        selector.register(terminal, selectors.EVENT_READ)
        while words.encode() not in shown and time.monotonic() < deadline:
            if not selector.select(timeout=1):
                continue
            try:
                shown += os.read(terminal, 65536)
            except OSError:  # the other side has gone
                break
    return shown.decode(errors="replace")


def exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_once_runs_everything_and_ends_by_itself(
    environment: dict[str, str], tmp_path: Path
):
    done = run(environment, "--once")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "✗" not in done.stdout
    assert done.stdout.count("✓") == 9
    for function in ("charge", "record_event", "render_poster", "send_reminder"):
        assert f"shop.jobs.{function} " in done.stdout
    poster = next(line for line in done.stdout.splitlines() if "render_poster" in line)
    assert re.search(r"render_poster +1 +0 +1 +3 .*crashed", poster)
    assert "\033" not in done.stdout
    assert done.stderr == ""


def test_what_does_not_come_out_right_is_named_and_fails(
    environment: dict[str, str], tmp_path: Path
):
    (tmp_path / "reports").write_text("A file where the reports' folder should be.")

    done = run(environment, "--once")

    assert done.returncode == 1
    assert "✗ Monthly report" in done.stdout
    assert "FileExistsError" in done.stdout
    assert "✓ Thumbnails" in done.stdout
    assert str(tmp_path / "logs") in done.stdout


def test_without_redis_it_says_so_and_ends(environment: dict[str, str]):
    done = run({**environment, "REDISJOBS_URL": "redis://127.0.0.1:1"}, "--once")

    assert done.returncode == 1
    assert "Redis at 127.0.0.1:1" in done.stdout
    assert "Traceback" not in done.stderr


def test_on_a_terminal_it_stays_until_ctrl_c(environment: dict[str, str]):
    with on_terminal(environment) as (pid, terminal):
        shown = read_until(terminal, "Ctrl-C ends everything.")
        second = run(environment, "--once")
        os.write(terminal, b"\x03")
        shown += read_until(terminal, "are gone.")

        assert exit_code(pid) == 0
    assert "/admin/redisjobs/" in shown
    assert "admin / admin" in shown
    assert "are gone." in shown
    assert second.returncode == 1
    assert "Another demo is running" in second.stdout


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_a_demo_that_is_ended_in_the_middle_leaves_nothing(
    environment: dict[str, str], number: signal.Signals, code: int
):
    with on_terminal(environment) as (pid, terminal):
        read_until(terminal, "Thumbnails")
        os.kill(pid, number)

        assert exit_code(pid) == code


def test_a_closed_terminal_ends_it(environment: dict[str, str]):
    with on_terminal(environment) as (pid, terminal):
        read_until(terminal, "Thumbnails")
        os.close(terminal)

        assert exit_code(pid) == 128 + signal.SIGHUP


def test_the_mail_server_keeps_letters_as_they_were_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(str(EXAMPLE))
    from demo.mailserver import MailServer

    letter = "Subject: Hello\r\n\r\n.one\r\n..two\r\nthree\r\n"
    with MailServer(tmp_path) as server:
        server.start()
        with smtplib.SMTP(*server.server_address[:2]) as smtp:
            smtp.sendmail("a@example.com", ["b@example.com"], letter)
            smtp.sendmail("a@example.com", ["c@example.com"], letter)
        server.shutdown()

    assert [path.read_bytes() for path in tmp_path.iterdir()] == [letter.encode()] * 2


def test_the_example_site_passes_the_checks_and_has_all_migrations(
    environment: dict[str, str],
):
    for command in (["check"], ["makemigrations", "--check", "--dry-run"]):
        subprocess.run(
            [sys.executable, "-W", "error", str(MANAGE), *command],
            env=environment,
            check=True,
            capture_output=True,
        )
