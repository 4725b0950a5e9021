"""What ``@job`` accepts, in which forms, and what it refuses with which words."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Iterator
from types import FunctionType, SimpleNamespace
from typing import Any

import pytest

from django_redisjobs import Retry, exceptions, job, registry
from django_redisjobs.definitions import AsyncJobFunction, JobFunction
from django_redisjobs.options import INHERIT


@job
def bare(a: int, b: int = 2) -> int:
    """Adds."""
    return a + b


@job()
def called() -> None: ...


@job("high")
def named() -> None: ...


@job(queue="low", timeout="5m", retry=7, result_ttl="1h", priority=-5, expires=60)
def detailed() -> None: ...


@job("high", on_success=bare, on_failure="tests.unit.test_decorators.called")
async def fetch(a: int) -> str:
    return str(a)


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any) -> Any:
        return function(*args)

    return wrapper


@job
@traced
def wrapped(a: int) -> int:
    return a


@pytest.fixture(autouse=True)
def registered() -> Iterator[dict[str, JobFunction[..., Any]]]:
    """The registry, as it was before the test in the end."""
    before = dict(registry._functions)
    yield registry._functions
    registry._functions.clear()
    registry._functions.update(before)


def test_calling_a_job_function_runs_it_here_and_now() -> None:
    assert bare(1) == 3
    assert asyncio.run(fetch(5)) == "5"


def test_a_job_function_shows_what_it_wraps() -> None:
    assert (bare.__name__, bare.__doc__, bare.__module__) == ("bare", "Adds.", __name__)
    assert isinstance(bare.__wrapped__, FunctionType)
    assert list(inspect.signature(bare).parameters) == ["a", "b"]
    assert repr(bare) == "<JobFunction tests.unit.test_decorators.bare>"


def test_every_form_of_the_decorator_gives_its_options() -> None:
    assert bare.options.queue == called.options.queue == "default"
    assert bare.options.timeout is bare.options.retry is INHERIT
    assert (named.options.queue, named.options.result_ttl) == ("high", INHERIT)
    options = detailed.options
    assert (options.queue, options.timeout, options.retry) == ("low", 300, Retry(max=7))
    assert (options.result_ttl, options.priority, options.expires) == (3600, -5, 60)


def test_callbacks_are_kept_as_dotted_paths() -> None:
    assert fetch.options.on_success == bare.path == "tests.unit.test_decorators.bare"
    assert fetch.options.on_failure == called.path


def test_coroutine_functions_are_told_apart() -> None:
    assert isinstance(fetch, AsyncJobFunction)
    assert (fetch.is_async, bare.is_async) == (True, False)


def test_a_decorated_function_keeps_its_path_if_the_decorator_uses_wraps() -> None:
    assert wrapped.path == "tests.unit.test_decorators.wrapped"
    assert wrapped(4) == 4


class Shop:
    def method(self) -> None: ...


def generator() -> Iterator[int]:
    yield 1


def no_wraps() -> Callable[[], None]:
    def inner() -> None: ...

    return inner


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (Shop.method, "is a method.*move it to the top level"),
        (lambda: None, "is a lambda.*Move it to the top level"),
        (no_wraps(), "inside another function.*lacks functools.wraps"),
        (generator, "is a generator"),
        (Shop, "needs a function, not type"),
        (print, "needs a function, not builtin_function_or_method"),
        (functools.partial(print), "needs a function, not partial"),
        (bare, "is a job function already.*using"),
    ],
)
def test_what_no_worker_could_run_is_refused(target: Any, words: str) -> None:
    with pytest.raises(exceptions.DefinitionError, match=words):
        job(target)


def in_script() -> None: ...


@pytest.mark.parametrize(
    "main",
    [
        SimpleNamespace(),
        SimpleNamespace(__spec__=None),
        SimpleNamespace(__spec__=SimpleNamespace(name="__main__")),
        SimpleNamespace(__spec__=SimpleNamespace(name="shop.__main__")),
    ],
)
def test_a_function_of_a_script_is_refused(
    main: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_script, "__module__", "__main__")
    monkeypatch.setitem(__import__("sys").modules, "__main__", main)

    with pytest.raises(exceptions.DefinitionError, match=r"\(__main__\).*jobs\.py"):
        job(in_script)


def test_a_module_that_is_run_keeps_its_real_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    main = SimpleNamespace(__spec__=SimpleNamespace(name="shop.jobs"))
    monkeypatch.setattr(in_script, "__module__", "__main__")
    monkeypatch.setitem(__import__("sys").modules, "__main__", main)

    assert job(in_script).path == "shop.jobs.in_script"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timeot": 5}, "no option 'timeot'. Did you mean 'timeout'.*Choose from"),
        ({"unique": True}, "no option 'unique'.*Choose from atomic, expires"),
        ({"priority": 1.5}, "priority is an int"),
        ({"priority": True}, "priority is an int"),
        ({"atomic": 1}, "choose True or False"),
        ({"queue": 5}, "name of a queue is a str"),
        ({"retry": "3"}, "not a retry policy"),
        ({"on_success": 5}, "needs a function"),
        ({"on_success": lambda job_id: None}, "is a lambda"),
        ({"using_db": 5}, "alias of DATABASES"),
        ({"run_after": 5}, "no option 'run_after'"),
    ],
)
def test_an_option_that_is_unknown_or_of_a_wrong_type_is_a_type_error(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(TypeError, match=words) as hit:
        job(**options)

    assert isinstance(hit.value, exceptions.DefinitionError)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"timeout": 0}, "above 0; None for no limit"),
        ({"timeout": -1}, "timeout=-1"),
        ({"timeout": float("nan")}, "timeout=nan"),
        ({"timeout": "soon"}, "not a duration"),
        ({"expires": 0}, "before it could start"),
        ({"priority": 101}, "from -100 to 100"),
        ({"priority": -101}, "from -100 to 100"),
        ({"on_failure": "paid"}, "dotted path is like"),
        ({"on_failure": bare.using(priority=1)}, "options of its @job"),
        ({"on_failure": traced(bare)}, "bare has a decorator above its @job"),
        ({"on_missing": "ignore"}, "'fail' or 'discard'"),
        ({"retry": -1}, "retry=-1"),
    ],
)
def test_a_value_out_of_range_is_a_value_error(
    options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        job(**options)


def test_a_queue_given_twice_is_an_error() -> None:
    with pytest.raises(TypeError, match="given twice"):
        job("high", queue="low")  # type: ignore[call-overload]


def test_a_function_and_options_in_one_call_are_an_error() -> None:
    with pytest.raises(TypeError, match=r"job\(\.\.\.\)\(function\)"):
        job(in_script, timeout=3)  # type: ignore[call-overload]


def test_a_transaction_around_a_coroutine_is_refused() -> None:
    with pytest.raises(exceptions.DefinitionError, match="do not span awaits"):
        job(atomic=True)(fetch.function)


def define(source: str, filename: str) -> JobFunction[..., Any]:
    space: dict[str, Any] = {"__name__": "shop_of_tests"}
    exec(compile(source, filename, "exec"), space)
    made: JobFunction[..., Any] = job(space["pay"])
    return made


def test_importing_the_same_code_again_is_no_error() -> None:
    source = "def pay(): ...\n"
    define(source, "shop.py")

    again = define(source, "shop.py")

    assert registry.functions()["shop_of_tests.pay"] is again


def test_two_functions_of_one_path_are_an_error() -> None:
    define("def pay(): ...\n", "shop.py")

    with pytest.raises(
        exceptions.DuplicateJobFunction, match=r"shop\.py:1 and at shop\.py:2"
    ):
        define("\ndef pay(): ...\n", "shop.py")
    with pytest.raises(exceptions.DuplicateJobFunction, match=r"other\.py:1"):
        define("def pay(): ...\n", "other.py")
