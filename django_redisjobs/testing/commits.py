"""A TestCase's transaction never commits: what tests take for its commits."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import TestCase

from django_redisjobs.enqueueing import is_only_of_a_test, send_waiting


def send_what_waits() -> None:
    """Send the jobs that wait for nothing but the commit of this test of a TestCase."""
    for database in _in_test_only():
        send_waiting(database)


@contextmanager
def committing() -> Iterator[None]:
    """What is left to a commit within happens at the end, as it would in a worker,
    whose jobs are in no transaction but their own: no commit around it has it once more.
    """
    with ExitStack() as stack:
        for database in _in_test_only():
            stack.enter_context(_committing(database))
        yield


@contextmanager
def _committing(database: BaseDatabaseWrapper) -> Iterator[None]:
    before = len(database.run_on_commit)
    try:
        with TestCase.captureOnCommitCallbacks(using=database.alias, execute=True):
            yield
    finally:
        # As at a commit, what one hook raises loses those after it.
        del database.run_on_commit[before:]


def _in_test_only() -> list[BaseDatabaseWrapper]:
    """Databases whose open transactions are all of a TestCase."""
    return [
        database
        for database in connections.all(initialized_only=True)
        if database.in_atomic_block and is_only_of_a_test(database)
    ]
