from __future__ import annotations

from math import inf

from django_redisjobs.worker.shutdown import Shutdown, Step


def test_quiet_then_interrupt_then_kill():
    shutdown = Shutdown(grace=25)
    assert (shutdown.begun, shutdown.steps(100)) == (False, [])

    shutdown.ask(100)

    assert shutdown.begun
    assert shutdown.steps(100) == [Step.QUIET]
    assert (shutdown.steps(124.9), shutdown.next_at) == ([], 125)
    assert shutdown.steps(125) == [Step.INTERRUPT]
    assert shutdown.steps(126.9) == []
    assert shutdown.steps(127) == [Step.KILL]
    assert (shutdown.steps(1000), shutdown.next_at) == ([], inf)


def test_the_same_request_twice_is_one():
    shutdown = Shutdown(grace=25)
    shutdown.ask(100)
    shutdown.steps(100)

    shutdown.ask(100.9)

    assert shutdown.steps(101) == []


def test_a_second_request_ends_the_patience():
    shutdown = Shutdown(grace=25)
    shutdown.ask(100)
    shutdown.steps(100)

    shutdown.ask(101.1)

    assert shutdown.steps(101.1) == [Step.INTERRUPT]
    assert shutdown.next_at == 103.1
    shutdown.ask(101.9)
    assert shutdown.steps(101.9) == []
    assert shutdown.steps(103.1) == [Step.KILL]
    assert shutdown.next_at == inf


def test_after_the_third_request_nothing_is_waited_for():
    shutdown = Shutdown(grace=25)
    for now in (100, 101.1, 102.2):
        shutdown.ask(now)
        found = shutdown.steps(now)

    assert found == [Step.KILL]
    assert shutdown.next_at == inf


def test_a_patient_request_waits_for_ever_until_somebody_is_not():
    shutdown = Shutdown(grace=25)
    shutdown.ask(100, patient=True)
    assert shutdown.steps(100) == [Step.QUIET]
    assert shutdown.next_at == inf

    shutdown.ask(500)
    # The same request, sent twice.
    shutdown.ask(500.1)

    assert shutdown.steps(500.1) == []
    assert shutdown.next_at == 525
    assert shutdown.steps(525) == [Step.INTERRUPT]


def test_no_grace_at_all():
    shutdown = Shutdown(grace=0)
    shutdown.ask(100)

    assert shutdown.steps(100) == [Step.QUIET, Step.INTERRUPT]
    assert shutdown.steps(102) == [Step.KILL]
