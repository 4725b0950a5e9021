from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.cache.backends.redis import RedisCache
from django.core.checks import run_checks
from django.test import override_settings

from django_redisjobs import registry
from django_redisjobs.surroundings import cache_problems


@pytest.fixture(autouse=True)
def functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """No job functions of other tests, which these settings would not fit."""
    monkeypatch.setattr(registry, "_functions", {})


NOWHERE = "unix:///nonexistent/redis.sock"


def ids_and_texts(redisjobs: Any) -> list[tuple[str, str]]:
    with override_settings(REDISJOBS=redisjobs):
        found = run_checks()
    return [
        (str(message.id), f"{message.msg} {message.hint or ''}")
        for message in found
        if str(message.id).startswith("redisjobs.")
    ]


def test_good_settings_pass() -> None:
    assert ids_and_texts({}) == []
    assert (
        ids_and_texts(
            {
                "URL": "redis://localhost:6379/0",
                "OPTIONS": {"socket_timeout": 3},
                "PREFIX": "shop",
                "QUEUES": {
                    "a": {"TIMEOUT": "5m", "RETRY": 2, "RESULT_TTL": 0},
                    "b": {},
                },
                "ON_COMMIT": "other",
                "TIMEOUT": None,
                "RETRY": 0,
                "RESULT_TTL": "1h",
                "KEEP": {"failed": ("7d", 10_000)},
                "LEASE": 30,
                "MAX_CRASHES": 3,
                "MAX_PAYLOAD": "512KB",
                "OUTBOX": False,
                "DURABLE": False,
                "REDACT": ["password"],
                "SIGNING_KEYS": ["k" * 32, None],
                "EAGER": False,
                "AUTODISCOVER": ["jobs"],
                "ADMIN": True,
            }
        )
        == []
    )


@pytest.mark.parametrize(
    ("id_", "redisjobs", "told"),
    [
        ("E001", ["redis://"], "not a dict"),
        ("E001", None, "not a dict"),
        ("E002", {"QEUES": ["a"]}, "Did you mean 'QUEUES'?"),
        ("E002", {"url": "redis://h"}, "Did you mean 'URL'?"),
        ("E002", {"NONSENSE": 1}, "Known keys: ADMIN"),
        ("E002", {"QUEUES": {"a": {"TIMOUT": 5}}}, "['a'] has an unknown key"),
        ("E014", {"DURABLE": "yes"}, "nothing to wait for"),
        ("E014", {"DURABLE": {"DISC": True}}, "'DISC' is unknown"),
        ("E014", {"DURABLE": {"DISK": False}}, "it waits for nothing"),
        ("E014", {"DURABLE": {"REPLICAS": -1}}, "REPLICAS is -1"),
        ("E014", {"DURABLE": {"DISK": True, "TIMEOUT": "6s"}}, "to 5 s"),
        (
            "E014",
            {"URL": "redis://", "DURABLE": 1, "OPTIONS": {"socket_timeout": 1}},
            "longer than the socket_timeout",
        ),
        ("E013", {"SIGNING_KEYS": "k" * 50}, "a str is no list of keys"),
        ("E013", {"SIGNING_KEYS": ["k" * 31]}, "item 0 has 31 characters"),
        ("E013", {"SIGNING_KEYS": ["k" * 32, 7]}, "item 1 is a int, not text"),
        ("E013", {"SIGNING_KEYS": [None]}, "there is no key in it"),
        ("E003", {"URL": "redsi://h"}, "Did you mean redis://?"),
        ("E003", {"URL": "localhost:6379"}, "no scheme"),
        ("E003", {"URL": ""}, "is no URL"),
        ("E003", {"URL": None}, "is no URL"),
        ("E003", {"URL": 6379}, "is no URL"),
        ("E003", {"URL": "redis://h:port"}, "URL"),
        ("E003", {"URL": "redis://redis..example"}, "1 to 63 characters"),
        ("E003", {"URL": f"rediss://{'x' * 64}.example"}, "its host is no name"),
        ("E003", {"URL": "redis://redis%2E%2Eexample"}, "its host is no name"),
        ("E003", {"URL": "sentinel://a,.b:1/jobs"}, "its host is no name"),
        ("E003", {"URL": "cluster://a,b..c:1"}, "its host is no name"),
        ("E003", {"URL": "redis://h/jobs"}, "number of a database"),
        ("E003", {"URL": "redis://:p@ss#x@h:6379/0"}, "In a password write %23 for #"),
        ("E003", {"URL": "redis://:p@ss?x@h:6379/0"}, "%3F for ?"),
        ("E003", {"URL": "redis://:p@ss#"}, "%23 for #"),
        ("E003", {"URL": "redis://h/0?db=1&x"}, "no name=value follows"),
        ("E003", {"URL": "unix:///run/redis.sock#1"}, "write %23 for #"),
        ("E003", {"URL": "sentinel://h/jobs#1"}, "write %23 for #"),
        ("E003", {"URL": "cluster://h,other#1"}, "write %23 for #"),
        ("E003", {"URL": "unix://run/redis.sock"}, "unix:///path"),
        ("E003", {"URL": {"LOCATION": "127.0.0.1:11211"}}, "not a Redis URL"),
        ("E004", {"QUEUES": "high"}, "neither a list of names nor a dict"),
        ("E004", {"QUEUES": []}, "names no queue"),
        ("E004", {"QUEUES": {"a": 5}}, "not a dict"),
        ("E005", {"QUEUES": ["a b"]}, "letters, digits"),
        ("E005", {"QUEUES": ["x" * 65]}, "1 to 64"),
        ("E005", {"QUEUES": [5]}, "letters, digits"),
        ("E006", {"TIMEOUT": "soon"}, "'soon' is not a duration"),
        ("E006", {"TIMEOUT": 0}, "None means no timeout"),
        ("E006", {"QUEUES": {"a": {"TIMEOUT": -1}}}, "['a']['TIMEOUT']"),
        ("E006", {"RESULT_TTL": True}, "not a duration"),
        ("E006", {"LEASE": 0}, "too short"),
        ("E008", {"CACHE": "nowhere"}, "CACHES has"),
        ("E008", {"CACHE": ["default"]}, "CACHES has"),
        ("E008", {"CACHE": "default"}, "not a Redis URL"),
        ("E008", {"CACHE": "default", "URL": "redis://h"}, "both URL and CACHE"),
        ("E009", {"KEEP": 5}, "not a dict"),
        ("E009", {"KEEP": {"done": ("1h", 1)}}, "succeeded, failed"),
        ("E009", {"KEEP": {"running": ("1h", 1)}}, "succeeded, failed"),
        ("E009", {"KEEP": {"failed": "7d"}}, "how long and how many"),
        ("E009", {"KEEP": {"failed": ("7d", -1)}}, "whole number"),
        ("E009", {"KEEP": {"failed": ("x", 1)}}, "not a duration"),
        ("E010", {"PREFIX": "a{b}"}, "no prefix"),
        ("E010", {"PREFIX": 5}, "no prefix"),
        ("E010", {"QUEUES": {"a": {"GROUP": "{x}"}}}, "no group"),
        ("E010", {"ON_COMMIT": "nowhere"}, "default, other"),
        ("E010", {"ON_COMMIT": 1}, "database alias"),
        ("E010", {"RETRY": "3"}, "not a retry policy"),
        ("E010", {"RETRY": -1}, "RETRY"),
        ("E010", {"MAX_CRASHES": 0}, "from 1 up"),
        ("E010", {"MAX_PAYLOAD": "big"}, "no size"),
        ("E010", {"MAX_PAYLOAD": 0}, "no size"),
        ("E010", {"EAGER": "yes"}, "neither True nor False"),
        ("E010", {"AUTODISCOVER": "jobs"}, "not a list"),
        ("E010", {"OPTIONS": ["a"]}, "not a dict"),
        ("E010", {"OPTIONS": {"protocol": 3}}, "protocol cannot be chosen"),
        ("E010", {"OPTIONS": {"sentinel_kwargs": 5}}, "not a dict"),
        ("E010", {"OPTIONS": {"socket_timeout": "5"}}, "'5', not a number"),
        ("E010", {"OPTIONS": {"max_connections": True}}, "True, not a number"),
        ("E003", {"URL": "redis://h?socket_timeout=x"}, "'x' is no value of socket_t"),
        ("E002", {"URL": "embedded://?timout=5"}, "an unknown key 'timout'"),
        ("E002", {"URL": "memory://?keep=1h"}, "'keep' cannot be given in the URL"),
        ("E002", {"URL": "redis://h?signing_keys=x"}, "Put SIGNING_KEYS into"),
        ("E002", {"OPTIONS": {"pasword": "x"}}, "Did you mean 'password'?"),
        ("E002", {"OPTIONS": {"PASSWORD": "x"}}, "Did you mean 'password'?"),
        ("E002", {"OPTIONS": {"whatever": 1}}, "in lower case"),
        ("E002", {"OPTIONS": {1: 2}}, "an unknown key 1"),
        (
            "E002",
            {
                "URL": "sentinel://h/jobs",
                "OPTIONS": {"sentinel_kwargs": {"passwort": "x"}},
            },
            "['sentinel_kwargs'] has an unknown key 'passwort'. Did you mean 'password'",
        ),
        ("E002", {"URL": "redis://h?socket_timout=1"}, "Did you mean 'socket_timeout'"),
        ("E003", {"URL": "redis://one,two"}, "Several are for sentinel:// and cluster"),
        ("E003", {"URL": "sentinel://one:26379"}, "does not name the service"),
        ("E003", {"URL": "sentinel:///jobs"}, "names no host"),
        ("E003", {"URL": "sentinel://h/jobs/x"}, "number of a database"),
        ("E003", {"URL": "cluster://"}, "names no host"),
        ("E003", {"URL": "cluster://one,,two"}, "names no host"),
        ("E003", {"URL": "cluster://one/3"}, "database 0 only"),
        (
            "E010",
            {"URL": "cluster://one", "OPTIONS": {"db": 3}},
            "database 0 only. Remove db",
        ),
        (
            "E010",
            {"URL": "redis://h", "OPTIONS": {"ssl_ca_certs": "x"}},
            "Write rediss://",
        ),
        (
            "E010",
            {"URL": "unix:///s", "OPTIONS": {"ssl": True}},
            "which unix:// has not",
        ),
        (
            "E010",
            {"URL": "redis://h", "OPTIONS": {"sentinel_kwargs": {}}},
            "is for sentinel://",
        ),
    ],
)
def test_each_mistake_has_its_id_and_says_what_to_do(
    id_: str, redisjobs: Any, told: str
) -> None:
    found = ids_and_texts(redisjobs)

    assert [each for each, _ in found] == [f"redisjobs.{id_}"]
    assert told in found[0][1]


def test_no_message_has_a_password() -> None:
    for url in (
        "rediz://u:secret@h",
        "redis://u:secret@h/x",
        "redis://u:secret@h:x",
        "redis://u:secret#1@h",
        "redis://:p@secret#x@h:6379/0",
        "redis://:p@secret?x@h:6379/0",
        "unix://:p@secret#x@/run/redis.sock",
        "redis://u:secret/1@h",
        "u:secret@h",
        b"redis://u:secret@h",
        "sentinel://u:secret@h",
        "sentinel://u:secret#1@h/jobs",
        "cluster://u:secret@h:x,two",
        "cluster://u:secret/1@h",
        "redis://u:p@secret../1@h",
        ["redis://u:secret@h"],
        {"LOCATION": "u:secret@h"},
    ):
        for redisjobs in ({"URL": url}, {"CACHE": url}, url):
            found = ids_and_texts(redisjobs)

            assert found
            assert "secret" not in str(found)


LOCAL = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}


class KeepingCache(RedisCache):
    def clear(self) -> bool:
        return False


def cache(location: str, **options: Any) -> dict[str, Any]:
    return {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": location,
        "OPTIONS": options,
    }


@pytest.mark.parametrize(
    ("redisjobs", "entry"),
    [
        ({"CACHE": "pages"}, cache("redis://h:1/2")),
        ({"CACHE": "pages"}, cache("redis://h", db=2)),
        ({"URL": "redis://h"}, cache("redis://:secret@H:6379/0")),
        ({"URL": "redis://h/0", "OPTIONS": {"db": 3}}, cache("redis://h?db=3")),
        ({"URL": "redis://localhost"}, cache("redis://127.0.0.1:6379/0", db=1)),
        ({"URL": "unix:///r.sock?db=2"}, cache("unix:///r.sock", db="2")),
        ({"URL": "cluster://one,two"}, cache("redis://two,redis://replica")),
    ],
)
def test_a_cache_in_the_database_of_the_jobs_is_told(
    redisjobs: Any, entry: dict[str, Any]
) -> None:
    with override_settings(CACHES={"default": LOCAL, "pages": entry}):
        ((id_, text),) = ids_and_texts(redisjobs)

    assert id_ == "redisjobs.W015"
    assert "To clear the cache 'pages' deletes all jobs" in text
    assert "secret" not in text


@pytest.mark.parametrize(
    ("redisjobs", "entry"),
    [
        ({"CACHE": "pages", "OPTIONS": {"db": 1}}, cache("redis://h:1/2")),
        ({"URL": "redis://h/1"}, cache("redis://h", db=2)),
        ({"URL": "redis://h/1"}, cache("redis://other/1")),
        ({"URL": "redis://h:1"}, cache("redis://h:2")),
        ({"URL": "unix:///r.sock?db=2"}, cache("unix:///r.sock")),
        ({"URL": "embedded://"}, cache("redis://h")),
        ({"URL": "redis://h"}, cache("redis://h:port")),
        ({"URL": "redis://h"}, LOCAL),
        (
            {"CACHE": "pages"},
            {**cache("redis://h"), "BACKEND": f"{__name__}.KeepingCache"},
        ),
    ],
)
def test_any_other_cache_passes(redisjobs: Any, entry: dict[str, Any]) -> None:
    with override_settings(CACHES={"default": LOCAL, "pages": entry}):
        assert ids_and_texts(redisjobs) == []


def test_what_is_no_cache_is_left_to_django() -> None:
    for entry in ({}, {**LOCAL, "BACKEND": "nowhere.Cache"}, cache("http://h")):
        with override_settings(CACHES={"pages": entry}, REDISJOBS={"URL": "redis://h"}):
            assert cache_problems() == []


def deploy_ids(redisjobs: Any) -> list[str]:
    with override_settings(REDISJOBS=redisjobs):
        found = run_checks(include_deployment_checks=True)
    return [str(each.id) for each in found if str(each.id).startswith("redisjobs.")]


def test_wrong_settings_are_all_that_a_deployment_check_tells() -> None:
    assert deploy_ids({"URL": ""}) == ["redisjobs.E003"]


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of an installed app's job functions."""
    package = tmp_path / "checked_shop"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "checked_shop", raising=False)
    monkeypatch.delitem(sys.modules, "checked_shop.jobs", raising=False)
    return package / "jobs.py"


def job_errors(*, deploy: bool, **redisjobs: Any) -> list[str]:
    apps = [*settings.INSTALLED_APPS, "checked_shop"]
    with override_settings(
        INSTALLED_APPS=apps, REDISJOBS={"URL": NOWHERE, **redisjobs}
    ):
        found = run_checks(include_deployment_checks=deploy)
    return [
        f"{each.id} {each.msg}"
        for each in found
        if str(each.id)[-4:] in {"E011", "E012", "E015", "W014"}
    ]


def test_job_functions_that_are_imported_are_checked(app: Path) -> None:
    app.write_text(
        "from django_redisjobs import job\n"
        "@job('hihg')\ndef pay(): ...\n"
        "@job(on_failure='nowhere.gone')\ndef charge(): ...\n"
        "@job(using_db='othr')\ndef book(): ...\n"
        "@job\ndef fine(): ...\n"
    )
    assert job_errors(deploy=False) == []
    import_module("checked_shop.jobs")

    for deploy in (False, True):
        unknown, gone, alias = job_errors(deploy=deploy)
        assert unknown.startswith("redisjobs.E011 checked_shop.jobs.pay cannot be enq")
        assert "no queue 'hihg'" in unknown
        assert "'nowhere.gone' cannot be imported" in gone
        assert "using_db='othr' is no alias in DATABASES, which has default" in alias


def test_a_wrong_setting_is_not_told_for_each_job_function(app: Path) -> None:
    app.write_text("from django_redisjobs import job\n@job\ndef pay(): ...\n")
    import_module("checked_shop.jobs")

    for redisjobs in ({"URL": ""}, {"URL": "memory://", "ON_COMMIT": "nowhere"}):
        assert len(ids_and_texts(redisjobs)) == 1
        assert "redisjobs.E011" not in deploy_ids(redisjobs)


def test_a_decorator_above_a_job_function_is_told_once(app: Path) -> None:
    app.write_text(
        "from django.db.transaction import atomic\n"
        "from django_redisjobs import job\n"
        "@atomic\n@job\ndef pay(): ...\n"
        "@job\n@atomic\ndef book(): ...\n"
    )

    for _ in range(2):
        (above,) = job_errors(deploy=True)
        assert above.startswith("redisjobs.E015 checked_shop.jobs.pay has a decorator ")
        assert above.endswith("Workers leave it out: put it below.")


def test_a_callback_that_does_not_take_the_id_alone_is_told(app: Path) -> None:
    app.write_text(
        "from django_redisjobs import job\n"
        "def none(): ...\n"
        "@job\ndef two(job_id, reason): ...\n"
        "@job\ndef named(*, job_id): ...\n"
        "@job\nasync def one(job_id, reason='', *, by=None): ...\n"
        "def several(*ids): ...\n"
        "import functools\n"
        "def giving(f):\n"
        "    @functools.wraps(f)\n"
        "    def call(job_id): return f('more', job_id)\n"
        "    return call\n"
        "@giving\ndef given(more, job_id): ...\n"
        "@job\n@giving\ndef given_too(more, job_id): ...\n"
        "@job(on_success=given, on_failure=given_too)\ndef fifth(): ...\n"
        "@job(on_success=none)\ndef first(): ...\n"
        "@job(on_failure=two)\ndef second(): ...\n"
        "@job(on_failure='checked_shop.jobs.named')\ndef third(): ...\n"
        "@job(on_success=one, on_failure=several)\ndef fourth(): ...\n"
    )

    first, second, third = job_errors(deploy=True)

    told = "redisjobs.E011 checked_shop.jobs."
    assert first.startswith(f"{told}first cannot be enqueued. on_success='checked_sho")
    assert "nothing else, but is none(): too many positional arguments." in first
    assert "two(job_id, reason): missing a required argument: 'reason'." in second
    assert third.startswith(f"{told}third ")


def test_a_callback_that_names_callbacks_is_told(app: Path) -> None:
    app.write_text(
        "from django_redisjobs import job\n"
        "@job\ndef third(job_id): ...\n"
        "@job(on_failure=third)\ndef second(job_id): ...\n"
        "@job(on_success=second)\ndef first(): ...\n"
    )

    (unheard,) = job_errors(deploy=True)

    assert unheard.startswith("redisjobs.W014 checked_shop.jobs.first has on_success: ")
    assert "checked_shop.jobs.second, which names callbacks itself" in unheard


def test_for_a_deployment_all_of_them_are_imported(app: Path) -> None:
    app.write_text("from django_redisjobs import job\n@job('hihg')\ndef pay(): ...\n")

    (unknown,) = job_errors(deploy=True)

    assert "checked_shop.jobs.pay" in unknown


def test_each_module_that_cannot_be_imported_is_told_beside_the_others(
    app: Path,
) -> None:
    app.write_text("from django_redisjobs import job\n@job('hihg')\ndef pay(): ...\n")
    (app.parent / "first.py").write_text("import nothing_of_that_name\n")
    (app.parent / "last.py").write_text("import sys\nsys.exit('no setting')\n")
    modules = ["first", "jobs", "last"]

    first, last, unknown = job_errors(deploy=True, AUTODISCOVER=modules)

    told = "redisjobs.E012 The module of job functions checked_shop"
    assert first.startswith(f"{told}.first cannot be imported: ModuleNotFoundError: ")
    assert "nothing_of_that_name" in first
    assert last.startswith(f"{told}.last cannot be imported: SystemExit: no setting")
    assert "checked_shop.jobs.pay" in unknown
