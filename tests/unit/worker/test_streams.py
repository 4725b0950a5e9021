"""Forking beside a log that cannot be written."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, suppress

from django_redisjobs.worker.forking import fork
from django_redisjobs.worker.streams import drop_unwritten, flush_streams


@contextmanager
def full(monkeypatch):
    """Standard error is a pipe that takes no more, and a line waits in its buffer; gives
    the pipe's reader.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with open(writer, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with suppress(BlockingIOError):
            while True:
                os.write(writer, b"\n" * 4096)
        stream.write("waiting")
        yield reader
    os.close(reader)


def empty(reader):
    text = b""
    os.set_blocking(reader, False)
    with suppress(BlockingIOError):
        while found := os.read(reader, 65536):
            text += found
    return text.decode().strip()


def test_a_process_is_forked_and_what_waits_is_written_once(monkeypatch):
    go_read, go_write = os.pipe()

    def run():
        os.read(go_read, 1)
        sys.stderr.write("child ")
        return 7

    with full(monkeypatch) as reader:
        pid = fork(run, [])
        empty(reader)
        os.write(go_write, b"!")
        _, status = os.waitpid(pid, 0)
        sys.stderr.flush()
        written = empty(reader)
    for each in (go_read, go_write):
        os.close(each)

    assert os.waitstatus_to_exitcode(status) == 7
    assert written == "child waiting"


def test_what_is_dropped_is_not_written_later(monkeypatch):
    with full(monkeypatch) as reader:
        unwritten = flush_streams()
        drop_unwritten(unwritten)
        empty(reader)
        sys.stderr.write("later")
        sys.stderr.flush()
        written = empty(reader)
        assert unwritten == [sys.stderr]

    assert written == "later"


def test_who_has_no_streams_forks_all_the_same(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)

    pid = fork(lambda: 0, [])

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
