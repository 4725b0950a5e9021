"""A script's header binds its arguments."""

from __future__ import annotations

import hashlib

import pytest

from django_redisjobs.core.keys import SCHEMA_VERSION, GroupKeys
from django_redisjobs.core.scripts import SCRIPTS

KEYS = GroupKeys("p", "g")


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_call_names_what_the_header_declares(name: str):
    script = SCRIPTS[name]
    named = dict.fromkeys(script.arguments, "1")

    command = script.bind(KEYS, **named)

    assert command[:5] == ("EVALSHA", script.sha, 2, "p:{g}:", "p:{g}:schema")
    assert len(command) == 5 + len(named)
    with pytest.raises(TypeError, match=rf"{name}\.lua takes .*unknown"):
        script.bind(KEYS, **named, unknown=1)
    if named:
        with pytest.raises(TypeError, match=rf"{name}\.lua takes"):
            script.bind(KEYS, **dict(list(named.items())[1:]))
    if script.rest is None:
        with pytest.raises(TypeError, match="1 more"):
            script.bind(KEYS, "more", **named)


@pytest.mark.parametrize("name", sorted(SCRIPTS))
def test_a_script_is_sent_without_comments_and_with_what_it_includes(name: str):
    script = SCRIPTS[name]

    assert hashlib.sha1(script.source.encode()).hexdigest() == script.sha
    assert "--@include" not in script.source
    assert not any(line.startswith("--") for line in script.source.splitlines())
    assert "local base = KEYS[1]" in script.source
    assert f"local SCHEMA = '{SCHEMA_VERSION}'" in script.source


def test_arguments_stand_in_the_order_of_the_header():
    command = SCRIPTS["register"].bind(
        KEYS, "host", "here", lease_ms=30_000, worker="w"
    )

    assert command[5:] == ("w", 30_000, "host", "here")
