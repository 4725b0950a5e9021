"""Signatures of bodies: what they cover, which keys count."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from django_redisjobs.core.codec import Codec
from django_redisjobs.core.exceptions import SignatureRejected
from django_redisjobs.core.payload import decode_body, encode_body
from django_redisjobs.core.signatures import Signatures

ID = "0193a1b2c3d4e5f60000aabbccdd"
NEW, OLD = "n" * 32, "o" * 32
BODY = '["shop.jobs.charge",[1,"é"],{}]'


def test_a_signed_body_is_accepted_and_reads_as_before() -> None:
    signed = Signatures([NEW]).sign(ID, BODY)

    Signatures([NEW]).check(ID, signed)
    body = decode_body(signed, Codec())
    assert (body.function, body.args, body.options) == (
        "shop.jobs.charge",
        [1, "é"],
        {},
    )
    assert json.loads(signed)[:3] == json.loads(BODY)


def test_options_are_signed_too() -> None:
    signatures = Signatures([NEW])
    text = encode_body("f", [], {}, {"on_success": ["shop.jobs.thank", "q"]}, Codec())
    signed = signatures.sign(ID, text)

    signatures.check(ID, signed)
    assert decode_body(signed, Codec()).options["on_success"][0] == "shop.jobs.thank"
    with pytest.raises(SignatureRejected):
        signatures.check(ID, signed.replace("thank", "steal"))


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("charge", "refund"),
        lambda text: text.replace("[1,", "[2,"),
        lambda text: text.replace("{}", '{"a":1}'),
        lambda text: text.replace(',"', ', "'),
        lambda text: text[:-3] + ("0" if text[-3] != "0" else "1") + text[-2:],
    ],
)
def test_any_change_is_noticed(change: Callable[[str], str]) -> None:
    signatures = Signatures([NEW])
    signed = signatures.sign(ID, BODY)

    with pytest.raises(SignatureRejected):
        signatures.check(ID, change(signed))


def test_a_body_counts_for_its_own_id_only() -> None:
    signatures = Signatures([NEW])
    signed = signatures.sign(ID, BODY)

    with pytest.raises(SignatureRejected, match="changed"):
        signatures.check(ID[:-1] + "e", signed)


def test_a_callback_counts_for_whichever_run_ended() -> None:
    signatures = Signatures([NEW])
    signed = signatures.sign(f"{ID}-s0", BODY)

    signatures.check(f"{ID}-s7", signed)
    for other in (ID, f"{ID}-f7", f"{ID}-s7-s1", f"{ID}-s\uff11", f"{ID}-s1\n"):
        with pytest.raises(SignatureRejected):
            signatures.check(other, signed)


def test_the_first_key_signs_and_all_are_accepted() -> None:
    both = Signatures([NEW, OLD])

    both.check(ID, Signatures([OLD]).sign(ID, BODY))
    Signatures([NEW]).check(ID, both.sign(ID, BODY))
    with pytest.raises(SignatureRejected, match="no key in SIGNING_KEYS"):
        Signatures([OLD]).check(ID, both.sign(ID, BODY))


def test_without_a_signature_only_where_that_is_allowed() -> None:
    Signatures([NEW, None]).check(ID, BODY)
    # Whatever is signed has to be signed well.
    with pytest.raises(SignatureRejected):
        Signatures([NEW, None]).check(ID, Signatures([OLD]).sign(ID, BODY))
    with pytest.raises(SignatureRejected, match="not signed"):
        Signatures([NEW]).check(ID, BODY)


def test_none_may_come_first() -> None:
    signatures = Signatures([None, NEW])

    Signatures([NEW]).check(ID, signatures.sign(ID, BODY))


def test_keys_do_not_show() -> None:
    assert NEW not in repr(Signatures([NEW]))
    with pytest.raises(ValueError, match="no key"):
        Signatures([None])


def test_bytes_that_are_no_utf8_are_only_refused() -> None:
    broken = Signatures([NEW]).sign(ID, BODY).replace("é", "\udcff")

    with pytest.raises(SignatureRejected):
        Signatures([NEW]).check(ID, broken)
