"""What the docs say of states and settings, and their links, is so."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from django.core.management import load_command_class
from django.test import override_settings

import django_redisjobs
from django_redisjobs import conf
from django_redisjobs.conf import environment
from django_redisjobs.core.records import TRANSITIONS, JobStatus
from tests.contract.places import DOCS, PACKAGE, ROOT, first_column, page

PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"manage\.py (redisjobs|runworker) ([^`;\n\[]+)")
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_job_states_are_the_legal_transitions():
    documented = {
        (operation, before, after)
        for operation, source, target in re.findall(
            r"^\| (\w+) \| (nothing|`\w+`) \| ((?:`\w+` ?)+)\|$",
            page("explanation/job-states.md"),
            re.MULTILINE,
        )
        for before in [None if source == "nothing" else JobStatus(source.strip("`"))]
        for after in map(JobStatus, re.findall(r"\w+", target))
    }
    legal = {
        (operation, before, after)
        for operation, changes in TRANSITIONS.items()
        for before, targets in changes.items()
        for after in targets
    }

    assert documented == legal


def test_every_status_is_explained():
    assert set(JobStatus) <= set(first_column(page("explanation/job-states.md")))


@override_settings(REDISJOBS={"?": 1, "QUEUES": {"q": {"?": 1}}})
def test_settings_page_has_every_key_and_no_other():
    whole, of_queue = (
        problem.hint.removeprefix("Known keys: ").removesuffix(".").split(", ")
        for problem in conf.problems()
    )
    general, _, own = page("reference/settings.md").partition("## A queue's own")

    assert sorted(first_column(general)) == sorted(whole)
    assert sorted(first_column(own.partition("\n## ")[0])) == sorted(of_queue)


def test_settings_page_tells_which_keys_a_url_can_hold():
    general, _, below = page("reference/settings.md").partition("## A queue's own")
    section = below.partition("## From the environment")[2].partition("\n## ")[0]
    (possible,) = re.findall(
        r"^These are (.*?)\. The other keys", section, re.DOTALL | re.MULTILINE
    )
    (others,) = re.findall(r"The other keys, (.*?), do not fit", section, re.DOTALL)

    held = re.findall(r"`(\w+)`", possible)
    assert sorted(held) == sorted(environment._OPTIONS)
    every = {"URL", *map(str.upper, held), *re.findall(r"`(\w+)`", others)}
    assert every == set(first_column(general))


def test_checks_page_has_every_id_and_no_other():
    source = "".join(path.read_text() for path in PACKAGE.rglob("*.py"))
    used = set(re.findall(r'"(?:redisjobs\.)?([EW]0\d\d)"', source))
    documented = first_column(page("reference/checks.md"))

    assert sorted(documented) == sorted(f"redisjobs.{each}" for each in used)


def test_api_page_has_every_public_name():
    names = [name for name in django_redisjobs.__all__ if name != "__version__"]
    text = page("reference/api.md")
    documented = re.findall(r"^## `(\w+)", text, re.MULTILINE)
    of_classes = text.partition("\n## To annotate with\n")[2].partition("\n## ")[0]
    documented += first_column(of_classes)

    assert sorted(documented) == sorted(names)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path):
    text = path.read_text(encoding="utf-8")
    broken = [link for link in LINK.findall(text) if not (path.parent / link).exists()]

    assert not broken


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_python_in_the_docs_is_python(path: Path):
    for block in BLOCK.findall(path.read_text(encoding="utf-8")):
        ast.parse(block)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_in_the_docs_are_understood(path: Path):
    for name, words in COMMAND.findall(path.read_text(encoding="utf-8")):
        if words.startswith("ACTION"):
            continue
        parser = load_command_class("django_redisjobs", name).create_parser("", name)
        parser.parse_args(words.split())


def test_every_page_is_reachable_from_the_index():
    linked = {
        (DOCS / link).resolve()
        for link in LINK.findall((DOCS / "index.md").read_text(encoding="utf-8"))
    }

    assert set(DOCS.rglob("*.md")) == linked | {DOCS / "index.md"}
