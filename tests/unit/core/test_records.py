"""What is stored of a job, read without a server."""

from __future__ import annotations

import re
from itertools import islice

import pytest

from django_redisjobs.core.exceptions import PayloadMalformed
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.core.records import (
    DEFAULT_KEEP,
    ENDED,
    ID_PATTERN,
    TRANSITIONS,
    AttemptRecord,
    JobStatus,
    Keep,
    WorkerRecord,
    keep_text,
    new_id,
    new_ids,
    parse_record,
)
from django_redisjobs.core.settlements import (
    Claimed,
    Settlement,
    settlement_fields,
    success_kept_ms,
)

PENDING = b'1 high -5 1700000000000 1700000001000 0 3\n["f",[],{}]'


def test_ids_are_unique_and_ordered_by_time():
    made = [new_id() for _ in range(10_000)]

    assert len(set(made)) == 10_000
    assert made == sorted(made)
    assert all(re.fullmatch(ID_PATTERN, one) for one in made)


def test_ids_made_together_stand_in_order_between_those_before_and_after():
    made = [new_id(), *islice(new_ids(), 10_000), new_id(), next(new_ids()), new_id()]

    assert len(set(made)) == 10_004
    assert made == sorted(made)
    assert all(re.fullmatch(ID_PATTERN, one) for one in made)


def test_ids_made_together_are_nobody_elses_where_clocks_agree(monkeypatch):
    monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_123_456_789)

    made = [each for _ in range(10) for each in islice(new_ids(), 100)]

    assert len(set(made)) == 1_000
    assert len({one[12:] for one in made}) == 1_000


def test_ids_made_together_begin_anew_where_the_last_digits_of_their_time_end(
    monkeypatch,
):
    ticks = (1_700_000_000_000 << 16) + 1022
    monkeypatch.setattr("time.time_ns", lambda: -((-ticks * 1_000_000) >> 16))

    made = list(islice(new_ids(), 7))

    assert [one[10:12] for one in made] == ["zy", "zy", "zz", "zy", "zz", "zy", "zz"]
    assert len({one[:10] for one in made}) == 1
    assert len(set(made)) == 7


def test_an_id_tells_when_it_was_made(monkeypatch):
    monkeypatch.setattr("time.time_ns", lambda: 1_700_000_000_123_456_789)

    ids = {new_id() for _ in range(100)}

    # Crockford's digits of 1700000000123.456789 ms x 2 ** 16, made by another program.
    assert {one[:12] for one in ids} == {"32yfwnm7px7g"}
    assert len(ids) == 100


@pytest.mark.parametrize("seconds", [-1, 0, 32_503_680_000])
def test_a_clock_that_stands_wrong_stops_no_job(monkeypatch, seconds: int):
    monkeypatch.setattr("time.time_ns", lambda: seconds * 10**9)

    assert re.fullmatch(ID_PATTERN, new_id())


def test_all_keys_of_a_group_have_its_hash_tag():
    keys = GroupKeys("p", "g")

    assert keys.base == "p:{g}:"
    names = [
        *(keys.schema, keys.workers, keys.queues, keys.paused, keys.tombstones),
        *(keys.beside, keys.aside, keys.job("1"), keys.state("1"), keys.result("1")),
        *(keys.attempts("1"), keys.pending("q"), keys.priority("q"), keys.alone("q")),
        *(keys.scheduled("q"), keys.ended("failed", "q"), keys.wake("q")),
        *(keys.done("1"), keys.claimed("w"), keys.worker("w"), keys.control("w")),
        keys.statistics("minute", 7),
    ]
    assert all(name.startswith("p:{g}:") for name in names)
    assert len(set(names)) == len(names)


def test_a_record_of_a_job_that_waits():
    envelope = parse_record(PENDING)

    assert (envelope.queue, envelope.priority, envelope.callbacks) == ("high", -5, 3)
    assert (envelope.enqueued_ms, envelope.due_ms) == (1700000000000, 1700000001000)
    assert (envelope.body, envelope.ended) == ('["f",[],{}]', None)


@pytest.mark.parametrize("left_out", [b" 0 0 0", b"", b" 0", b"   "])
def test_numbers_that_a_header_leaves_out_are_0(left_out: bytes):
    envelope = parse_record(b"1 high -5 1700000000000" + left_out + b"\n[]")

    assert (envelope.priority, envelope.enqueued_ms) == (-5, 1700000000000)
    assert (envelope.due_ms, envelope.expires_ms, envelope.callbacks) == (0, 0, 0)


@pytest.mark.parametrize("absurd", [b"9007199254740993", b"9" * 300, b"-1"])
def test_a_time_beyond_all_bounds_counts_as_0(absurd: bytes):
    times = b" ".join([absurd] * 3)
    end = b"\nfailed 3 2 1 w-1 " + times + b"\n{}"

    envelope = parse_record(b"1 high -5 " + times + b" 3\n[]" + end)

    ended = envelope.ended
    assert ended is not None
    assert (envelope.enqueued_ms, envelope.due_ms, envelope.expires_ms) == (0, 0, 0)
    assert (ended.started_ms, ended.finished_ms, ended.result_expires_ms) == (0, 0, 0)
    assert (envelope.callbacks, ended.run, ended.attempts) == (3, 3, 2)


def test_a_record_of_a_job_that_ended():
    end = b'\nfailed 3 2 1 w-1 1700000000001 1700000000002 0\n{"error":"no\\n"}'

    ended = parse_record(PENDING + end).ended

    assert ended is not None
    assert (ended.status, ended.run, ended.attempts, ended.crashes) == (
        *(JobStatus.FAILED, 3, 2, 1),
    )
    assert (ended.worker, ended.document) == ("w-1", {"error": "no\n"})
    assert (ended.started_ms, ended.finished_ms) == (1700000000001, 1700000000002)


@pytest.mark.parametrize("document", [b"", b"{}", b"{", b"[1]", b"null", b"\xff"])
def test_an_end_whose_document_is_unreadable_is_still_an_end(document: bytes):
    end = b"\nsucceeded 1 1 0 w 1 2 0\n" + document

    ended = parse_record(PENDING + end).ended

    assert ended is not None
    assert ended.status is JobStatus.SUCCEEDED
    assert ("error" in ended.document) == (document not in {b"", b"{}"})


@pytest.mark.parametrize(
    "raw",
    [
        *(b"", b"\n", b"junk", b"2 q 0 1 0 0 0\n[]", b"1 q x 1 0 0 0\n[]"),
        *(b"1 q 0\n[]", b"1 q 0 1 0 0 0 0\n[]", PENDING + b"\nnever 1 1 0 w 1 2 0\n{}"),
        PENDING + b"\nfailed 1\n{}",
    ],
)
def test_what_is_no_record_is_refused(raw: bytes):
    with pytest.raises(PayloadMalformed, match="Not a job's record"):
        parse_record(raw)


def test_an_attempt_comes_back_as_it_was():
    attempt = AttemptRecord(1, 2, "w", 3, 4, "failed", "E", 'a\n"ß"', "line\nline")

    assert AttemptRecord.from_json(attempt.to_json()) == attempt
    assert "\n" not in attempt.to_json()


@pytest.mark.parametrize("text", ["", "{}", "[]", "5", b"\xff", '{"number":1}'])
def test_what_is_no_attempt_is_refused(text: str | bytes):
    with pytest.raises(PayloadMalformed, match="Not an attempt"):
        AttemptRecord.from_json(text)


def test_what_a_worker_told_of_itself():
    told = {"pid": "4711", "started_ms": "5", "queues": "high low", "version": "1.2"}
    record = WorkerRecord("w-1", 0, told, ())

    assert (record.pid, record.started_ms, record.version) == (4711, 5, "1.2")
    assert record.queues == ["high", "low"]


@pytest.mark.parametrize("text", ["", "-1", "x", "²", "1.5", "9" * 5000])
def test_a_worker_that_tells_of_no_number_tells_nothing(text: str):
    record = WorkerRecord("w-1", 0, {"pid": text, "started_ms": text}, ())

    assert (record.pid, record.started_ms) == (0, 0)
    assert (record.queues, record.version) == ([], "")


def test_a_policy_as_scripts_read_it():
    default = keep_text(DEFAULT_KEEP)
    assert default == "3600000 10000 604800000 10000 3600000 1000 3600000 1000"
    assert keep_text({}) == default
    some = keep_text({JobStatus.FAILED: Keep(5, 6)})
    assert some == "3600000 10000 5 6 3600000 1000 3600000 1000"


def test_the_table_of_transitions_is_closed():
    reached = {
        status for row in TRANSITIONS.values() for to in row.values() for status in to
    }

    assert reached == set(JobStatus)
    for row in TRANSITIONS.values():
        assert row.keys() <= {*JobStatus, None}
    # What has ended changes only when it is run again.
    for name, row in TRANSITIONS.items():
        assert name == "retry" or not row.keys() & ENDED


def claimed() -> Claimed:
    return Claimed("id", "w:1:0", "q", 0, "[]", 100, 200, 4, 2, 1, False, None, 300)


def test_the_line_of_a_settlement():
    settlement = Settlement(
        "failed", claimed(), "f", 500, 900, attempt="{}", error='x"\n', meta="{}"
    )

    fields = settlement_fields(settlement, success_kept_ms(DEFAULT_KEEP))

    kind, entry, numbers, tail, attempt = fields
    assert (kind, entry, attempt) == ("failed", "id w:1:0", "{}")
    # It ran for 400 ms, and had waited for 300 since it was due.
    assert numbers == "f 400 300"
    assert tail == '4 3 1 w 500 900 0\n{"meta":{},"error":"x\\"\\n"}'


def test_clocks_that_disagree_give_no_negative_times():
    settlement = Settlement("succeeded", claimed(), "f", 150, 140)

    assert settlement_fields(settlement, success_kept_ms(DEFAULT_KEEP))[2] == "f 0 0"


@pytest.mark.parametrize(
    ("ttl_ms", "kept", "apart"),
    [(0, False, ""), (1000, False, "[1]"), (3_600_000, True, ""), (10**12, True, "")],
)
def test_where_a_result_goes(ttl_ms: int, kept: bool, apart: str):
    settlement = Settlement(
        "succeeded", claimed(), "f", 500, 900, result="[1]", result_ttl_ms=ttl_ms
    )

    fields = settlement_fields(settlement, success_kept_ms({}))

    assert ('"result":[1]' in fields[3]) == kept
    if apart:
        assert (fields[0], *fields[4:]) == ("apart", str(ttl_ms), apart)
        assert fields[3].startswith("4 3 1 w 500 900 1900\n")
    else:
        assert (fields[0], *fields[4:]) == ("succeeded",)
