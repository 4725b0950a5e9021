"""What the docs give as a proof is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.contract.places import ROOT, page

PAGES = ("explanation/delivery-guarantees.md", "explanation/faults.md")
PROOF = re.compile(r"`(tests/[\w/]+\.py)(?:::(\w+))?`")
GUARANTEE = re.compile(r"^\| G(\d+) \| [^|]+ \| ([^|]+) \|$", re.MULTILINE)


@pytest.mark.parametrize("name", PAGES)
def test_every_proof_exists(name: str):
    proofs = PROOF.findall(page(name))

    assert proofs
    for path, function in proofs:
        assert Path(ROOT, path).is_file(), path
        source = Path(ROOT, path).read_text(encoding="utf-8")
        assert not function or f"def {function}(" in source, f"{path}::{function}"


def test_each_of_the_twenty_guarantees_has_a_proof():
    rows = GUARANTEE.findall(page("explanation/delivery-guarantees.md"))

    assert [int(number) for number, _ in rows] == list(range(1, 21))
    assert all(PROOF.search(proof) for _, proof in rows)


def test_every_fault_test_is_in_the_table():
    listed = {path for path, _ in PROOF.findall(page("explanation/faults.md"))}
    there = {
        str(path.relative_to(ROOT)) for path in ROOT.glob("tests/faults/test_*.py")
    }

    assert there <= listed
