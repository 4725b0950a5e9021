"""Only job functions and their callbacks can be reached by a path."""

from __future__ import annotations

import importlib
import runpy
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from django.test import override_settings

from django_redisjobs import exceptions, job, registry


def paid(job_id: str) -> None: ...


def not_a_job() -> None: ...


@job(on_success=paid)
def charge() -> None: ...


renamed = charge


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that nobody has imported yet."""
    path = tmp_path / "fresh_shop.py"
    monkeypatch.syspath_prepend(tmp_path)
    before = dict(registry._functions)
    yield path
    sys.modules.pop("fresh_shop", None)
    registry._broken.clear()
    registry._functions.clear()
    registry._functions.update(before)


def test_a_registered_function_is_found() -> None:
    assert registry.resolve("tests.unit.test_registry.charge") is charge


def test_a_job_function_is_found_under_another_name_of_it() -> None:
    assert registry.resolve("tests.unit.test_registry.renamed") is charge


def test_a_module_that_the_project_names_is_imported(module: Path) -> None:
    module.write_text("from django_redisjobs import job\n@job\ndef pay(): ...\n")

    assert registry.load("fresh_shop.pay").path == "fresh_shop.pay"


def edited(module: Path, code: str) -> None:
    module.write_text(f"from django_redisjobs import job\n{code}")
    # The same second and size would have Python read what it compiled before.
    for compiled in module.parent.glob("__pycache__/fresh_shop.*"):
        compiled.unlink()


def test_an_edited_module_may_be_reloaded(module: Path) -> None:
    edited(module, "@job\ndef pay(): return 1\n")
    first = registry.load("fresh_shop.pay")

    edited(module, "\n\n@job\ndef pay(): return 2\n")
    importlib.reload(sys.modules["fresh_shop"])
    second = registry.load("fresh_shop.pay")

    edited(module, "\n@job\ndef pay(): return 3\n")
    del sys.modules["fresh_shop"]
    importlib.import_module("fresh_shop")
    third = registry.load("fresh_shop.pay")

    assert [each() for each in (first, second, third)] == [1, 2, 3]


def test_two_functions_of_one_name_are_refused(module: Path) -> None:
    edited(module, "@job\ndef pay(): ...\n\n@job\ndef pay(): ...\n")

    with pytest.raises(exceptions.UnknownJobFunction, match="rename one of them") as e:
        registry.load("fresh_shop.pay")

    assert isinstance(e.value.__cause__, exceptions.DuplicateJobFunction)


def test_two_functions_of_one_name_in_a_script_are_refused(
    module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edited(module, "@job\ndef pay(): ...\n\n@job\ndef pay(): ...\n")
    # runpy says which module it is, for the time of its run.
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])

    with pytest.raises(exceptions.DuplicateJobFunction, match="rename one of them"):
        runpy.run_module("fresh_shop", run_name="__main__", alter_sys=True)


def test_a_plain_function_that_is_somebodys_callback_becomes_a_job_function() -> None:
    found = registry.resolve("tests.unit.test_registry.paid")

    assert found.function is paid
    assert registry.resolve("tests.unit.test_registry.paid") is found


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("tests.unit.test_registry.not_a_job", "is a plain function.*Put @job above"),
        ("os.system", "is a builtin_function_or_method, not a job function"),
        ("os.path", "is a module, not"),
        ("xml.dom.Node", "is a type, not"),
        ("tests.unit.test_registry.chrage", "no 'chrage'. Did you mean .*charge"),
        ("nowhere.jobs.charge", "cannot be imported: No module named 'nowhere'"),
        ("charge", "no dotted path"),
        ("", "no dotted path"),
        ("os.system('ls')", "no dotted path"),
        ("..charge", "no dotted path"),
        ("tests.unit.test_registry.Registry.charge", "cannot be imported"),
    ],
)
def test_anything_else_is_unknown(path: str, words: str) -> None:
    with pytest.raises(exceptions.UnknownJobFunction, match=words):
        registry.load(path)


def test_a_module_that_fails_to_import_its_own_needs_says_so(module: Path) -> None:
    module.write_text("import nothing_of_that_name\n")

    with pytest.raises(exceptions.UnknownJobFunction, match="nothing_of_that_name"):
        registry.load("fresh_shop.pay")


def test_a_module_that_fails_is_not_run_again_for_each_job(
    module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_holds_jobs", lambda _: True)
    runs: list[str] = []
    monkeypatch.setattr(registry, "runs_of_fresh_shop", runs, raising=False)
    module.write_text(
        "from django_redisjobs import registry\n"
        "registry.runs_of_fresh_shop.append('run')\n1 / 0\n"
    )

    for name in ("pay", "charge", "pay"):
        with pytest.raises(exceptions.UnknownJobFunction, match="ZeroDivisionError"):
            registry.resolve(f"fresh_shop.{name}")
    assert runs == ["run"]

    module.write_text("from django_redisjobs import job\n@job\ndef pay(): ...\n")
    monkeypatch.setattr(registry, "BROKEN_SECONDS", 0)
    assert registry.resolve("fresh_shop.pay").path == "fresh_shop.pay"


def test_no_function_of_half_a_module_is_run(
    module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_holds_jobs", lambda _: True)
    module.write_text("from django_redisjobs import job\n@job\ndef pay(): ...\n1 / 0\n")

    for _ in range(2):
        with pytest.raises(exceptions.UnknownJobFunction, match="ZeroDivisionError"):
            registry.resolve("fresh_shop.pay")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def (", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("raise NotImplementedError", "imported: NotImplementedError"),
        (
            "class Mute(Exception):\n    def __str__(self): 1 / 0\nraise Mute",
            "imported: Mute",
        ),
    ],
)
def test_a_module_that_fails_otherwise_says_why(
    module: Path, code: str, words: str
) -> None:
    module.write_text(code)

    with pytest.raises(exceptions.UnknownJobFunction, match=words) as caught:
        registry.load("fresh_shop.pay")

    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("error", ["JobTimeout", "JobInterrupted('cancel')"])
def test_who_is_interrupted_in_an_import_is_told_so(module: Path, error: str) -> None:
    module.write_text(
        f"from django_redisjobs import exceptions\nraise exceptions.{error}\n"
    )

    with pytest.raises((exceptions.JobTimeout, exceptions.JobInterrupted)):
        registry.load("fresh_shop.pay")


def test_job_functions_with_an_unknown_queue_are_told(module: Path) -> None:
    module.write_text(
        "from django_redisjobs import job\n"
        "@job('hihg')\ndef pay(): ...\n"
        "@job(on_success='fresh_shop.gone')\ndef charge(): ...\n"
    )
    registry.load("fresh_shop.pay")

    found = {
        function.path: reason
        for function, reason in registry.misconfigured()
        if function.path.startswith("fresh_shop")
    }

    assert "no queue 'hihg'" in found["fresh_shop.pay"]
    assert "'fresh_shop.gone' cannot be imported" in found["fresh_shop.charge"]
    # Who tells it says of which function.
    assert not any("fresh_shop.pay" in reason for reason in found.values())
    assert "fresh_shop.charge" not in found["fresh_shop.charge"]


def test_a_decorator_above_the_job_function_is_told(module: Path) -> None:
    edited(
        module,
        "from functools import cache, wraps\n"
        "from django.db.transaction import atomic\n"
        "@atomic\n@job\ndef first(): ...\n"
        "@cache\n@atomic\n@job\nasync def second(): ...\n"
        "@job\ndef third(): ...\n"
        "third = atomic(third.using(priority=5))\n",
    )

    for _ in range(2):
        registry.load("fresh_shop.first")
        importlib.reload(sys.modules["fresh_shop"])
        found = [path for path in registry.decorated() if "fresh_shop." in path]
        assert found == [f"fresh_shop.{name}" for name in ("first", "second", "third")]


def test_what_hides_no_job_function_is_not_taken_for_a_decorator(module: Path) -> None:
    edited(
        module,
        "from unittest.mock import MagicMock\n"
        "from django.db.transaction import atomic\n"
        "@job\n@atomic\ndef below(): ...\n"
        "@job\n@atomic\n@job\ndef twice(): ...\n"
        "def called(): ...\nas_job = job(atomic(called))\n"
        "@job\ndef other(): ...\nchecked = atomic(other)\n"
        "@job\ndef urgent(): ...\nurgent = urgent.using(priority=5)\n"
        "@job\ndef replaced(): ...\n"
        "if True:\n    @atomic\n    def replaced(): ...\n"
        "@job\ndef gone(): ...\ndel gone\n"
        "@job\ndef mocked(): ...\nmocked = MagicMock(spec=mocked)\n"
        "class Any:\n    def __getattr__(self, name): return self\n"
        "@job\ndef anything(): ...\nanything = Any()\n",
    )
    registry.load("fresh_shop.below")

    assert len([path for path in registry.functions() if "fresh_shop." in path]) == 9
    assert not [path for path in registry.decorated() if "fresh_shop." in path]


def test_a_proxy_above_the_job_function_is_told(
    module: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Proxy:
        def __init__(self, wrapped: Any) -> None:
            self.__wrapped__ = wrapped

        @property
        def __class__(self) -> Any:
            return type(self.__wrapped__)

    edited(module, "@job\ndef pay(): ...\n")
    pay = registry.load("fresh_shop.pay")
    monkeypatch.setattr(sys.modules["fresh_shop"], "pay", Proxy(pay))

    assert isinstance(Proxy(pay), type(pay))
    assert "fresh_shop.pay" in registry.decorated()


def test_a_callback_in_another_group_is_told(module: Path) -> None:
    module.write_text(
        "from django_redisjobs import job\n"
        "@job('low')\ndef paid(job_id): ...\n"
        "@job('high', on_success=paid)\ndef pay(): ...\n"
    )
    pay = registry.load("fresh_shop.pay")

    with (
        override_settings(REDISJOBS={"QUEUES": {"high": {}, "low": {"GROUP": "b"}}}),
        pytest.raises(exceptions.ConfigurationError, match="of the same group"),
    ):
        pay.check_configuration()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("antigravity.fly", "antigravity is not loaded here"),
        ("this.d", "Import it in one of those"),
        ("django.contrib.auth.management.commands.createsuperuser.x", "not loaded"),
        # It is an app's, and named like a module of jobs, but is none.
        ("django.contrib.auth.jobs.charge", "No module named"),
        ("os.system", "is a builtin_function_or_method, not a job function"),
        ("charge", "no dotted path"),
    ],
)
def test_what_redis_names_is_not_imported(
    path: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("antigravity", "this"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    before = set(sys.modules)

    with pytest.raises(exceptions.UnknownJobFunction, match=words):
        registry.resolve(path)

    assert set(sys.modules) == before


def test_what_redis_names_calls_no_code_of_a_loaded_module(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Lazy packages import what they are asked for."""
    lazy = ModuleType("lazy_shop")
    lazy.__getattr__ = pytest.fail  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "lazy_shop", lazy)

    with pytest.raises(exceptions.UnknownJobFunction, match="has no 'anything'"):
        registry.resolve("lazy_shop.anything")


def test_modules_within_a_module_of_jobs_are_imported_when_redis_names_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "deep_shop" / "jobs"
    folder.mkdir(parents=True)
    for package in (folder.parent, folder):
        (package / "__init__.py").touch()
    code = "from django_redisjobs import job\n@job\ndef send(): ...\n"
    (folder / "mail.py").write_text(code)
    (folder.parent / "services.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)

    with override_settings(INSTALLED_APPS=["django_redisjobs", "deep_shop"]):
        found = registry.resolve("deep_shop.jobs.mail.send")
        with pytest.raises(exceptions.UnknownJobFunction, match="not loaded here"):
            registry.resolve("deep_shop.services.send")

    assert found.path == "deep_shop.jobs.mail.send"


def test_modules_of_installed_apps_are_discovered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "found_shop"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "jobs.py").write_text(
        "from django_redisjobs import job\n@job\ndef found(): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    with override_settings(INSTALLED_APPS=["django_redisjobs", "found_shop"]):
        registry.autodiscover()

    assert "found_shop.jobs.found" in registry.functions()


def test_modules_behind_a_broken_one_are_discovered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = "from django_redisjobs import job\n@job\ndef found(): ...\n"
    apps = {"bad_shop": f"{jobs}import no_such\nthing", "good_shop": jobs}
    apps |= {"gone_shop": f"{jobs}raise SystemExit", "idle_shop": ""}
    for name, source in apps.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").touch()
        if source:
            (tmp_path / name / "jobs.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)

    with override_settings(INSTALLED_APPS=["django_redisjobs", *apps]):
        broken = registry.broken_modules()

    assert broken == {
        "bad_shop.jobs": "ModuleNotFoundError: No module named 'no_such'",
        "gone_shop.jobs": "SystemExit",
    }
    assert "good_shop.jobs.found" in registry.functions()
    assert not {"bad_shop.jobs.found", "gone_shop.jobs.found"} & set(
        registry.functions()
    )


SLOW = """\
from django_redisjobs import job, registry

@job
def pay(): return tax()

registry.reached.set()
registry.gate.wait(30)
if failure := getattr(registry.gate, "failure", None):
    raise failure

def tax(): return 5
"""


@pytest.fixture
def slow(module: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The path of a function in a module that loads until the gate is opened."""
    gate, reached = threading.Event(), threading.Event()
    monkeypatch.setattr(registry, "_holds_jobs", lambda _: True)
    monkeypatch.setattr(registry, "gate", gate, raising=False)
    monkeypatch.setattr(registry, "reached", reached, raising=False)
    module.write_text(SLOW)
    yield SimpleNamespace(path="fresh_shop.pay", gate=gate, reached=reached)
    gate.set()
    if loading := registry._loading.pop("fresh_shop", None):
        loading.exception(30)


def test_who_may_not_be_held_up_does_not_wait_for_an_import(slow: Any) -> None:
    for seconds in (0.01, 60):
        with pytest.raises(exceptions.UnknownJobFunction, match="has not ended yet"):
            registry.resolve(slow.path, seconds)

    slow.gate.set()
    registry._loading["fresh_shop"].result(30)
    assert registry.resolve(slow.path, 0.01).function() == 5


def test_an_import_that_fails_late_is_not_begun_again_at_once(slow: Any) -> None:
    with pytest.raises(exceptions.UnknownJobFunction, match="has not ended yet"):
        registry.resolve(slow.path, 0.01)
    registry.gate.failure = ZeroDivisionError("late")  # type: ignore[attr-defined]
    slow.gate.set()
    registry._loading["fresh_shop"].exception(30)

    for _ in range(2):
        with pytest.raises(exceptions.UnknownJobFunction, match="late"):
            registry.resolve(slow.path, 60)
    assert "fresh_shop" not in registry._loading


def test_what_is_loading_in_another_thread_is_waited_for(slow: Any) -> None:
    found: list[Any] = []
    loading = threading.Thread(target=lambda: found.append(registry.resolve(slow.path)))
    loading.start()
    assert slow.reached.wait(30)

    with pytest.raises(exceptions.UnknownJobFunction, match="has not ended yet"):
        registry.resolve(slow.path, 0.01)
    slow.gate.set()
    assert registry.resolve(slow.path).function() == 5
    loading.join(30)
    assert found == [registry.resolve(slow.path)]
