from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import environ
import pytest
from django.test import override_settings

from django_redisjobs import conf
from django_redisjobs.conf.addresses import Address
from django_redisjobs.core.records import JobStatus, Keep
from django_redisjobs.exceptions import ConfigurationError, UnknownQueue
from django_redisjobs.retries import Retry


def settings_of(**redisjobs: Any) -> conf.Settings:
    with override_settings(REDISJOBS=redisjobs):
        return conf.get_settings()


def env_of(**variables: str) -> environ.Env:
    env = environ.Env()
    env.ENVIRON = variables  # type: ignore[assignment]
    return env


def test_nothing_is_required() -> None:
    settings = settings_of()

    assert settings.url == "embedded://"
    assert settings.prefix == "redisjobs"
    assert list(settings.queues) == ["default"]
    assert settings.queues["default"].timeout == 300
    assert settings.queues["default"].retry == Retry(max=3)
    assert settings.queues["default"].result_ttl == 3600
    assert settings.keep == {
        JobStatus.SUCCEEDED: Keep(3_600_000, 10_000),
        JobStatus.FAILED: Keep(604_800_000, 10_000),
        JobStatus.CANCELLED: Keep(3_600_000, 1_000),
        JobStatus.EXPIRED: Keep(3_600_000, 1_000),
    }
    assert (settings.lease_ms, settings.max_crashes) == (30_000, 3)
    assert settings.max_payload == 1_048_576
    assert settings.on_commit is True
    assert settings.autodiscover == ("jobs", "tasks")


def test_a_missing_setting_means_the_defaults() -> None:
    with override_settings():
        from django.conf import settings

        del settings.REDISJOBS
        conf.get_settings.cache_clear()

        assert conf.get_settings().url == "embedded://"


def test_queues_take_their_own_values_or_those_of_the_whole() -> None:
    settings = settings_of(
        QUEUES={
            "high": {"TIMEOUT": None, "RETRY": 0, "GROUP": "fast", "OUTBOX": True},
            "low": None,
        },
        TIMEOUT="30m",
        RETRY=Retry(max=9),
        RESULT_TTL=timedelta(days=1),
    )

    high, low = settings.queues["high"], settings.queues["low"]
    assert (high.timeout, high.retry, high.group) == (None, Retry(max=0), "fast")
    assert (high.outbox, low.outbox) == (True, False)
    assert (low.timeout, low.retry, low.group) == (1800, Retry(max=9), "default")
    assert high.result_ttl == low.result_ttl == 86_400


def test_queues_keep_the_order_of_the_settings() -> None:
    with override_settings(
        REDISJOBS={"QUEUES": {"z": {}, "a": {"GROUP": "other"}, "b": {}}}
    ):
        assert list(conf.get_settings().queues) == ["z", "a", "b"]
        assert list(conf.groups().items()) == [
            (conf.keys_for("z"), ["z", "b"]),
            (conf.keys_for("a"), ["a"]),
        ]


def test_keys_follow_prefix_and_group() -> None:
    with override_settings(
        REDISJOBS={"PREFIX": "shop", "QUEUES": {"a": {"GROUP": "other"}, "b": {}}}
    ):
        assert conf.keys_for("a").base == "shop:{other}:"
        assert conf.keys_for("b").base == "shop:{default}:"


def test_partial_keep_leaves_the_rest() -> None:
    keep = settings_of(KEEP={"failed": ("1d", 5)}).keep

    assert keep[JobStatus.FAILED] == Keep(86_400_000, 5)
    assert keep[JobStatus.SUCCEEDED] == Keep(3_600_000, 10_000)


def test_settings_are_read_once_and_again_after_a_change() -> None:
    with override_settings(REDISJOBS={"PREFIX": "one"}):
        assert conf.get_settings() is conf.get_settings()
        assert conf.keys_for("default").prefix == "one"
        with override_settings(REDISJOBS={"PREFIX": "two"}):
            assert conf.get_settings().prefix == "two"
            assert conf.keys_for("default").prefix == "two"
        assert conf.get_settings().prefix == "one"


def test_an_unknown_queue_names_the_nearest_one() -> None:
    with (
        override_settings(REDISJOBS={"QUEUES": ["high", "default"]}),
        pytest.raises(UnknownQueue, match=r"high, default.*Did you mean 'default'"),
    ):
        conf.get_queue_settings("defualt")


def test_every_mistake_is_told_at_once() -> None:
    with (
        override_settings(REDISJOBS={"PREFIX": "a b", "LEASE": "x", "QUEUE": []}),
        pytest.raises(ConfigurationError) as caught,
    ):
        conf.get_settings()

    told = str(caught.value)
    assert "PREFIX" in told
    assert "LEASE" in told
    assert "Did you mean 'QUEUES'?" in told


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis://localhost", "localhost:6379"),
        ("redis://user:pass@redis.example:7000/3?db=1", "redis.example:7000"),
        ("rediss://[::1]:6380/0", "[::1]:6380"),
        ("redis://[fe80::1%25eth0]", "[fe80::1%25eth0]:6379"),
        ("redis://my_shop_redis_1", "my_shop_redis_1:6379"),
        ("redis://redis.example.", "redis.example.:6379"),
        ("redis://zürich.example", "zürich.example:6379"),
        ("unix:///run/redis.sock?db=2", "unix:///run/redis.sock"),
        ("unix://user:pass@/run/redis.sock", "unix:///run/redis.sock"),
        ("embedded://", "embedded://"),
        ("embedded:///var/lib/jobs", "embedded:///var/lib/jobs"),
        ("REDIS://localhost", "localhost:6379"),
        ("memory://", "memory://"),
        (
            "cluster://:p@one:7000,two,[::1]:7001",
            "cluster://one:7000,two:6379,[::1]:7001",
        ),
        ("sentinel://u:p@one,two:1/jobs/3?x=1", "sentinel://one:26379,two:1/jobs"),
    ],
)
def test_an_address_says_where_without_a_password(url: str, text: str) -> None:
    assert str(Address.parse(url)) == text


@pytest.mark.parametrize(
    "url",
    [
        env_of(R="redis://h:1/2").url("R"),
        env_of(R="redis://h:1/2").cache_url("R"),
        env_of(R="redis://h:1/2")("R"),
        {"BACKEND": "x", "LOCATION": ["redis://h:1/2", "redis://replica:1/2"]},
        {"LOCATION": "redis://h:1/2,redis://replica:1/2"},
        " redis://h:1/2\n",
    ],
)
def test_a_url_is_taken_in_every_form_that_settings_have(url: Any) -> None:
    assert settings_of(URL=url).url == "redis://h:1/2"


@pytest.mark.parametrize(
    "url",
    [
        "embedded://",
        "embedded:///var/lib/jobs",
        "memory://",
        "unix:///run/redis.sock?db=2",
        "rediss://u:p%40w@h:1/2?ssl_ca_certs=/ca.pem",
        "sentinel://:p@one:1,two:2/jobs/0",
        "cluster://one:1,two:2",
    ],
)
def test_env_url_keeps_every_kind_of_url(url: str) -> None:
    assert settings_of(URL=env_of(R=url).url("R")).url == url
    assert settings_of(URL=env_of(R=url)("R")).url == url


def test_env_cache_url_keeps_options_of_connections() -> None:
    env = env_of(
        R="rediss://u@one:1/2?password=p&ssl_ca_certs=/ca.pem&timeout=5&key_prefix=x"
    )
    settings = settings_of(URL=env.cache_url("R"), OPTIONS={"client_name": "shop"})

    assert settings.url == "rediss://u@one:1/2"
    assert settings.options == {
        "password": "p",
        "ssl_ca_certs": "/ca.pem",
        "client_name": "shop",
    }
    assert settings_of(URL=env_of(R="rediscache://h:1/2").cache_url("R")).url == (
        "redis://h:1/2"
    )
    assert settings_of(URL=env_of(R="redis:///run/r.sock").cache_url("R")).url == (
        "unix:///run/r.sock"
    )


@pytest.mark.parametrize(
    ("url", "server_url"),
    [
        ("sentinel://u:p@one:1,two:2/jobs/3?db=1", "redis://u:p@one:1/3?db=1"),
        ("sentinel://one/jobs", "redis://one:26379/"),
        ("cluster://:p%40@one,two", "redis://:p%40@one:6379/"),
        ("rediss://h/1", "rediss://h:6379/1"),
        ("redis://[::1]:7/1", "redis://[::1]:7/1"),
        ("unix:///run/r.sock?db=1", "unix:///run/r.sock?db=1"),
    ],
)
def test_an_address_has_a_url_that_redis_py_reads(url: str, server_url: str) -> None:
    assert Address.parse(url).server_url == server_url


def test_a_cache_of_django_redis_gives_its_pool_options() -> None:
    caches = {
        "jobs": {
            "LOCATION": "rediss://h:1/2",
            "OPTIONS": {
                "CONNECTION_POOL_KWARGS": {"ssl_cert_reqs": None, "max_connections": 9},
                "PASSWORD": "secret",
                "SOCKET_TIMEOUT": 0.1,
            },
        }
    }
    with override_settings(CACHES=caches, REDISJOBS={"CACHE": "jobs"}):
        assert conf.get_settings().options == {
            "password": "secret",
            "ssl_cert_reqs": None,
        }


def test_a_cache_gives_its_url_and_credentials() -> None:
    caches = {
        "jobs": {
            "LOCATION": "redis://h:1/2",
            "OPTIONS": {"PASSWORD": "secret", "CLIENT_CLASS": "x"},
        }
    }
    with override_settings(CACHES=caches, REDISJOBS={"CACHE": "jobs"}):
        settings = conf.get_settings()

    assert settings.url == "redis://h:1/2"
    assert settings.options == {"password": "secret"}


@pytest.mark.parametrize(
    ("url", "options"),
    [
        ("redis://h", {"db": 2}),
        ("redis://h/", {"db": 2}),
        ("unix:///run/r.sock", {"db": 2}),
        ("redis://h/0", {}),
        ("redis://h?db=1", {}),
        ("unix:///run/r.sock?db=1", {}),
    ],
)
def test_the_database_of_a_cache_is_first_that_of_its_url(
    url: str, options: dict[str, Any]
) -> None:
    caches = {"jobs": {"LOCATION": url, "OPTIONS": {"db": 2}}}
    with override_settings(CACHES=caches, REDISJOBS={"CACHE": "jobs"}):
        assert conf.get_settings().options == options


def test_the_embedded_folder_is_in_base_dir_whatever_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    with override_settings(BASE_DIR=tmp_path, REDISJOBS={}):
        assert conf.embedded_folder() == tmp_path / ".redisjobs"
    with override_settings(BASE_DIR=str(tmp_path), REDISJOBS={"URL": "embedded://a/b"}):
        assert conf.embedded_folder() == tmp_path / "a" / "b"
    with override_settings(REDISJOBS={"URL": "embedded:///var/a%20b"}):
        assert conf.embedded_folder() == Path("/var/a b")


def test_without_base_dir_the_embedded_folder_is_beside_the_settings() -> None:
    from django.conf import settings

    with override_settings(REDISJOBS={}):
        del settings.BASE_DIR

        assert conf.embedded_folder() == Path(__file__).parents[1] / ".redisjobs"


@pytest.mark.parametrize("password", ["x[Secret99]y", "pa\uff03Secret99", "[Secret99"])
@pytest.mark.parametrize("scheme", ["redis", "sentinel", "cluster"])
def test_an_address_that_is_none_does_not_show_its_password(
    scheme: str, password: str
) -> None:
    url = f"{scheme}://:{password}@host:6379/0"
    with (
        override_settings(REDISJOBS={"URL": url}),
        pytest.raises(ConfigurationError, match="In a password write") as caught,
    ):
        conf.get_settings()

    assert "Secret99" not in str(caught.value)


def test_with_neither_the_error_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from django.conf import settings

    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")
    with override_settings(REDISJOBS={}):
        del settings.BASE_DIR

        with pytest.raises(ConfigurationError, match="Set BASE_DIR"):
            conf.embedded_folder()


def test_from_env_reads_options_from_the_url() -> None:
    env = env_of(
        REDISJOBS_URL="redis://u:p%40@h:1/2?queues=high,default&timeout=300&db=4"
        "&retry=5&on_commit=off&prefix=shop&Result_TTL=1h&max_payload=2MB&eager=1"
    )

    redisjobs = conf.from_env(env)

    assert redisjobs == {
        "URL": "redis://u:p%40@h:1/2?db=4",
        "QUEUES": ["high", "default"],
        "TIMEOUT": "300",
        "RETRY": 5,
        "ON_COMMIT": False,
        "PREFIX": "shop",
        "RESULT_TTL": "1h",
        "MAX_PAYLOAD": "2MB",
        "EAGER": True,
    }
    settings = settings_of(**redisjobs)
    assert settings.queues["high"].timeout == 300
    assert settings.max_payload == 2 * 1024 * 1024


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("embedded://", {"URL": "embedded://"}),
        ("embedded://?timeout=none", {"URL": "embedded://", "TIMEOUT": None}),
        ("redis://h?on_commit=other", {"URL": "redis://h", "ON_COMMIT": "other"}),
        ("redis://h?durable=on", {"URL": "redis://h", "DURABLE": True}),
        ("redis://h?durable=1", {"URL": "redis://h", "DURABLE": 1}),
        ("redis://h?durable=2", {"URL": "redis://h", "DURABLE": 2}),
        ("redis://h?durable=0", {"URL": "redis://h", "DURABLE": False}),
        ("", {}),
    ],
)
def test_from_env_with_little_in_it(line: str, expected: dict[str, Any]) -> None:
    found = conf.from_env(env_of(REDISJOBS_URL=line))

    assert found == expected
    # True is 1 and False is 0, but not for the settings.
    assert [*map(type, found.values())] == [*map(type, expected.values())]


def test_from_env_without_the_variable_is_the_embedded_server() -> None:
    assert conf.from_env(env_of()) == {}


@pytest.mark.parametrize("option", ["eager=perhaps", "retry=many", "durable=-1"])
def test_from_env_names_the_option_that_is_wrong(option: str) -> None:
    with pytest.raises(ConfigurationError, match=f"MINE: .*{option.partition('=')[0]}"):
        conf.from_env(env_of(MINE=f"redis://h?{option}"), "MINE")


@pytest.mark.parametrize("query", ["queues=high&queues=low", "timeout=5&TIMEOUT=6"])
def test_from_env_drops_no_option_that_is_given_twice(query: str) -> None:
    with pytest.raises(ConfigurationError, match="is given twice"):
        conf.from_env(env_of(REDISJOBS_URL=f"redis://h?{query}"))
