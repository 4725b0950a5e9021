"""What UTF-8 cannot carry, in texts and in JSON."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from django_redisjobs.core.texts import encodable, encodable_json

TEXTS = st.text(st.sampled_from('a\\"u8\n\u20ac\ud83d\ude00\udcff\U0001f600'))


def test_half_a_pair_is_spelled_out() -> None:
    assert encodable("caf\udce9.txt") == r"caf\udce9.txt"
    assert encodable("café 😀") == "café 😀"


@given(TEXTS)
def test_json_is_read_as_text_that_can_be_sent(text: str) -> None:
    stored = json.dumps(text)

    assert json.loads(encodable_json(stored)) == encodable(json.loads(stored))


@given(TEXTS)
def test_json_that_can_be_sent_stays_as_it_is(text: str) -> None:
    stored = json.dumps(encodable(text))

    assert encodable_json(stored) == stored
