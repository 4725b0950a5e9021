"""A job function before it talks to Redis: copies, policies, refused arguments."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connections
from django.test import override_settings

from django_redisjobs import Retry, conf, exceptions, job, testing
from django_redisjobs.core.exceptions import PayloadMalformed
from django_redisjobs.definitions import Policy


@job
def add(a: int, b: int = 2) -> int:
    return a + b


@job("high", timeout=60, retry=Retry(max=5, on=(OSError,)), result_ttl=0)
def charge(order_id: int) -> str:
    return str(order_id)


@job(atomic=True)
def book() -> None: ...


@job(atomic=True, using_db="other")
def book_elsewhere() -> None: ...


@job("nowhere")
def lost(job_id: str = "") -> None: ...


@job(on_failure=lost)
def told() -> None: ...


@pytest.fixture(autouse=True)
def queues() -> Iterator[None]:
    values: dict[str, Any] = {"high": {}, "default": {"TIMEOUT": "2m", "RETRY": 1}}
    with override_settings(REDISJOBS={"QUEUES": values, "MAX_PAYLOAD": 100}):
        yield


def test_using_gives_a_copy_and_leaves_the_original() -> None:
    other = add.using(queue="high", priority=10)

    assert (other.options.queue, other.options.priority) == ("high", 10)
    assert (add.options.queue, add.options.priority) == ("default", 0)
    assert type(other) is type(add)
    assert other(1) == 3


def test_using_adds_to_what_was_used_before() -> None:
    twice = add.using(queue="high", priority=10).using(priority=-1)

    assert (twice.options.queue, twice.options.priority) == ("high", -1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"run_after": datetime(2026, 1, 1)}, "without a time zone"),  # noqa: DTZ001
        ({"run_after": -1}, "run_after=-1"),
        ({"run_after": timedelta(seconds=-1)}, "at least 0"),
        ({"run_after": float("nan")}, "run_after=nan"),
        ({"run_after": "-5m"}, "not a duration"),
        ({"expires": -1}, "expires=-1"),
        ({"priority": 1000}, "from -100 to 100"),
        ({"retry": Retry(on=(KeyError,))}, "cannot carry exception classes"),
    ],
)
def test_a_bad_value_of_a_call_is_a_value_error(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        add.using(**options)


def test_an_unknown_option_of_a_call_is_a_type_error() -> None:
    with pytest.raises(TypeError, match=r"add\.using\(\) has no option 'delay'"):
        add.using(delay=5)  # type: ignore[typeddict-unknown-key]


def test_arguments_that_do_not_fit_are_refused_with_the_signature() -> None:
    with pytest.raises(TypeError, match=r"missing a required argument: 'a'.*Nothing"):
        add.delay()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"add\(a: .int., b: .int. = 2\)"):
        add.delay(1, 2, 3)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="unexpected keyword argument 'c'"):
        add.delay(1, c=3)  # type: ignore[call-arg]


def test_an_argument_that_a_job_cannot_carry_is_refused_by_name() -> None:
    with pytest.raises(exceptions.PayloadNotSerializable, match="argument 'b': object"):
        add.delay(1, object())  # type: ignore[arg-type]


def test_arguments_over_the_limit_are_refused_with_both_figures() -> None:
    with pytest.raises(
        exceptions.PayloadTooLarge, match=r"add: 243 bytes .* allows 100\."
    ):
        add.delay("x" * 200)  # type: ignore[arg-type]


def test_an_unknown_queue_is_refused_at_delay() -> None:
    with pytest.raises(
        exceptions.UnknownQueue, match=r"test_definitions\.lost: .*no queue 'nowhere'"
    ):
        lost.delay()
    with pytest.raises(
        exceptions.UnknownQueue, match=r"definitions\.add: .*Did you mean 'high'"
    ):
        add.using(queue="hihg").delay(1)
    with pytest.raises(exceptions.UnknownQueue, match=r"definitions\.lost: There is"):
        told.delay()


def test_an_unknown_database_is_refused_at_delay() -> None:
    with pytest.raises(
        exceptions.ConfigurationError, match=r"add: using_db='ledgr' is"
    ):
        add.using(using_db="ledgr").delay(1)
    with override_settings(REDISJOBS={"ON_COMMIT": "ledgr"}):
        with pytest.raises(
            exceptions.ConfigurationError,
            match=r"REDISJOBS\['ON_COMMIT'\] = 'ledgr' is no alias .* default, other",
        ):
            add.delay(1)
        with testing.captured_jobs() as captured:
            add.using(using_db="default").delay(1)
    captured.assert_enqueued(add, args=(1,))


def test_an_atomic_job_is_one_of_its_database(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = conf.get_settings()
    assert add.atomic_in(settings) is None
    assert book.atomic_in(settings) == "default"
    assert book_elsewhere.atomic_in(settings) == "other"
    with override_settings(REDISJOBS={"ON_COMMIT": "other"}):
        assert book.atomic_in(conf.get_settings()) == "other"

    none = {"ENGINE": "django.db.backends.dummy"}
    monkeypatch.setitem(connections.settings, "default", none)
    monkeypatch.setattr(book, "_plan", None)
    with pytest.raises(
        exceptions.ConfigurationError, match=r"book: atomic=True .*'default'.*using_db"
    ):
        book.delay()


def test_a_bad_call_among_many_is_told_by_its_place() -> None:
    with pytest.raises(TypeError, match="missing a required") as hit:
        add.delay_many([(1,), {"b": 2}])
    with pytest.raises(TypeError, match="takes tuples of positional or dicts"):
        add.delay_many(["ab"])

    assert hit.value.__notes__ == ["It was item 1 of delay_many."]


def test_the_policy_is_the_functions_else_the_queues() -> None:
    assert add.policy("default", {}) == Policy(120, Retry(max=1), 3600)
    assert add.policy("high", {}) == Policy(300, Retry(max=3), 3600)
    assert charge.policy("high", {}) == Policy(60, Retry(max=5, on=(OSError,)), 0)


def test_the_policy_follows_changed_settings() -> None:
    before = add.policy("default", {}).timeout

    with override_settings(REDISJOBS={"TIMEOUT": 7}):
        assert add.policy("default", {}).timeout == 7

    assert before == add.policy("default", {}).timeout == 120


def test_what_a_job_carries_comes_first() -> None:
    carried = {"timeout": None, "retry": {"max": 9}, "result_ttl": 5}

    policy = charge.policy("high", carried)

    assert policy == Policy(None, Retry(max=9, on=(OSError,)), 5)


@pytest.mark.parametrize(
    "carried",
    [{"timeout": "x"}, {"result_ttl": None}, {"retry": 5}, {"retry": {"max": "x"}}],
)
def test_carried_nonsense_is_malformed(carried: dict[str, Any]) -> None:
    with pytest.raises(PayloadMalformed):
        charge.policy("high", carried)


def test_a_time_with_zone_is_kept_to_the_millisecond() -> None:
    when = datetime(2200, 1, 1, 0, 0, 0, 123_000, tzinfo=UTC)

    plan = add.using(run_after=when)._current_plan()

    assert (plan.due_ms, plan.delay_ms) == (7_258_118_400_123, None)


def test_a_job_function_is_copied_as_little_as_a_function() -> None:
    variant = charge.using(queue="default", retry=2)
    for each in (charge, variant):
        each.check_configuration()
        assert copy.copy(each) is copy.deepcopy([each])[0] is each

    assert pickle.loads(pickle.dumps(charge)) is charge
    back = pickle.loads(pickle.dumps(variant))
    assert (back.path, back.options) == (variant.path, variant.options)
    assert back.options.queue == "default"
    with testing.captured_jobs() as captured:
        back.delay(1)
    assert captured[0].options == {"retry": Retry(max=2)}
