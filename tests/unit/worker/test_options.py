from __future__ import annotations

import pytest

from django_redisjobs.worker.options import (
    WorkerOptions,
    default_processes,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("65536", 65536),
        ("400M", 400 * 1024**2),
        ("1.5g", int(1.5 * 1024**3)),
        ("2 KiB", 2048),
        ("3kb", 3072),
        (7, 7),
        (4e8, 400_000_000),
    ],
)
def test_sizes(text, expected):
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "M", "-1", "1X", "1e3"])
def test_no_sizes(text):
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


@pytest.mark.parametrize(
    "options",
    [{"processes": -1}, {"threads": 0}, {"max_jobs": 0}, {"grace": -0.1}],
)
def test_numbers_out_of_range(options):
    (name,) = options
    with pytest.raises(ValueError, match=name):
        WorkerOptions(queues=("default",), **options)


def test_there_is_at_least_one_process():
    assert default_processes() >= 1
