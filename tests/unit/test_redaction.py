"""What REDACT names is hidden from people, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from django.test import override_settings

from django_redisjobs import job, redaction
from django_redisjobs.core.payload import Body, parse_body
from django_redisjobs.redaction import HIDDEN, discreet, redacted, redacted_value
from django_redisjobs.serialization import codec


@job
def login(user: str, password: str, *codes: str, token: str = "") -> None: ...


HERE = f"{__name__}.login"


def body(*args: Any, function: str = HERE, **kwargs: Any) -> Body:
    stored_args, stored_kwargs = codec.encode_call(args, kwargs, [], careful=False)
    return Body(function, stored_args, stored_kwargs, {}, True)


def stored(called: Body) -> str:
    return json.dumps([called.function, called.args, called.kwargs])


def redacting(*patterns: str) -> Callable[[Any], Any]:
    return override_settings(REDISJOBS={"REDACT": patterns})


@redacting("password", "*TOKEN*")
def test_arguments_are_hidden_by_name_wherever_they_stand() -> None:
    shown = redacted(body("ann", "geheim", token="t0ken"))

    assert shown.args == ["ann", HIDDEN]
    assert shown.kwargs == {"token": HIDDEN}


@redacting("codes")
def test_the_rest_of_the_positional_arguments_has_one_name() -> None:
    assert redacted(body("ann", "p", "1", "2")).args == ["ann", "p", HIDDEN, HIDDEN]


@redacting(f"{HERE}.user")
def test_a_pattern_may_be_of_one_function() -> None:
    assert redacted(body("ann", "p")).args == [HIDDEN, "p"]
    assert redacted(body("ann", function="x.jobs.y", user="b")).kwargs == {"user": "b"}


@redacting("password")
def test_positional_arguments_of_an_unknown_function_are_all_hidden() -> None:
    shown = redacted(body("ann", 1, function="gone.jobs.login", user="ann"))

    assert shown.args == [HIDDEN, HIDDEN]
    assert shown.kwargs == {"user": "ann"}


@redacting("token")
def test_a_dollar_among_the_names_is_no_tag() -> None:
    assert redacted(body(**{"$": 1, "token": "x"})).kwargs == {"$": 1, "token": HIDDEN}


KEY = "-----BEGIN KEY-----\nMIIEvQIBADANBg\nx\n-----END KEY-----"


@redacting("token")
@pytest.mark.parametrize(
    ("value", "text", "shown"),
    [
        (b"hunter2\x00", "bad b'hunter2\\x00'", f"bad b'{HIDDEN}'"),
        ("abc+def/gh==", "GET /?t=abc%2Bdef%2Fgh%3D%3D", f"GET /?t={HIDDEN}"),
        ("jane@x.org ann", "?e=jane%40x.org+ann", f"?e={HIDDEN}"),
        ('two "words"', 'body {"a": "two \\"words\\""}', f'body {{"a": "{HIDDEN}"}}'),
        ("pässword", r"body p\u00e4ssword", f"body {HIDDEN}"),
        (
            datetime(2026, 1, 2, tzinfo=UTC),
            "at 2026-01-02 00:00:00+00:00",
            f"at {HIDDEN}",
        ),
        (KEY, "  | MIIEvQIBADANBg\n  | x", f"  | {HIDDEN}\n  | x"),
    ],
)
def test_texts_lose_the_values_however_they_are_written(
    value: object, text: str, shown: str
) -> None:
    assert discreet(text, stored(body(token=value))) == shown


def test_an_int_of_too_many_digits_stands_in_no_text() -> None:
    assert list(redaction._forms(2**20_000)) == []


@redacting("token")
def test_what_utf_8_cannot_carry_is_hidden_as_well() -> None:
    called = body(token="a\udcffbcdef")

    assert discreet("no a\udcffbcdef!", stored(called)) == f"no {HIDDEN}!"


@redacting("token")
def test_lines_of_a_long_text_are_looked_through_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    called = stored(body(token="\n".join(f"secret {number}" for number in range(99))))
    forms: list[object] = []
    found = redaction._forms
    monkeypatch.setattr(redaction, "_forms", lambda v: forms.append(v) or found(v))

    assert [discreet(f"secret {number}", called) for number in range(99)] == [
        HIDDEN
    ] * 99
    assert len(forms) == 1


@redacting("password", "pin")
def test_keys_within_arguments_are_hidden() -> None:
    form = {"name": "ann", "password": ["a", "b"], "more": [{"pin": 1234}]}
    mixed = {1: "one", "pin": 1234}

    shown = redacted(body(form, mixed, (1, {"pin": 1})))

    assert [codec.restore(value) for value in shown.args] == [
        {"name": "ann", "password": HIDDEN, "more": [{"pin": HIDDEN}]},
        HIDDEN,
        (1, {"pin": HIDDEN}),
    ]
    assert codec.restore(redacted(body(mixed)).args[0]) == {1: "one", "pin": HIDDEN}


@redacting("pin")
def test_results_are_hidden_by_key() -> None:
    assert redacted_value(HERE, {"pin": 1, "n": 2}) == {"pin": HIDDEN, "n": 2}
    assert redacted_value(HERE, 12) == 12


@redacting("password", "pin")
def test_texts_lose_the_values() -> None:
    called = body({"pin": "98765", "name": "ann"}, 'ge"heim\n', "yes", token="t0ken")
    text = "no ann 98765 with " + repr('ge"heim\n') + ' or ge"heim\n; t0ken, yes'

    told = discreet(text, stored(called))

    assert told == f"no ann {HIDDEN} with '{HIDDEN}' or {HIDDEN}; t0ken, yes"


@redacting("password")
def test_short_values_are_left_in_texts() -> None:
    assert discreet("no way", stored(body("ann", "no"))) == "no way"


def test_nothing_is_hidden_where_nothing_is_named() -> None:
    called = parse_body(f'["{HERE}",["ann","geheim"],{{}}]')

    assert redacted(called) is called
    assert discreet("geheim", stored(called)) == "geheim"


@pytest.mark.parametrize("value", [None, True, [], {}, {"$": "dict", "v": 1}])
@redacting("password")
def test_odd_values_do_no_harm(value: Any) -> None:
    assert redacted_value(HERE, value) is not HIDDEN
    assert discreet("text", stored(Body(HERE, [value, value], {}, {}))) == "text"
