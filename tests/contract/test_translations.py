"""Every text of the admin is there in every language, and says what the original says.

What is missing is written into locale/, and compiled, within django_redisjobs/ by
`django-admin makemessages --all --no-location` and `django-admin compilemessages`.
"""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.contract.messages import (
    LANGUAGES,
    LOCALE,
    compiled,
    marked,
    templates,
    written,
)

PLACEHOLDER = re.compile(r"%(?:\(\w+\))?[ds]")
# Tags of templates with all between those that translate it, and comments.
TRANSLATED = re.compile(
    r"{%\s*(blocktranslate|comment)\b.*?end\1\s*%}|{%\s*block bodyclass.*?endblock\s*%}"
    r"|{%.*?%}|{{.*?}}",
    re.DOTALL,
)
READ_ALOUD = re.compile(r"""\b(?:title|aria-label|alt|placeholder)=["']([^"']*)""")
FORMS = {"ja": 1, "zh_Hans": 1}


def test_these_are_the_languages():
    assert tuple(sorted(path.name for path in LOCALE.iterdir())) == LANGUAGES


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_text_is_missing_and_none_is_left_over(language: str):
    catalog = compiled(language)

    assert {text for text, _ in marked()} - catalog.keys() == set()
    assert catalog.keys() - {text for text, _ in marked()} == set()
    assert all(all(forms) for forms in catalog.values())


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_is_compiled_is_what_is_written(language: str):
    assert compiled(language) == written(language)


@pytest.mark.parametrize("language", LANGUAGES)
def test_translations_have_the_same_placeholders(language: str):
    catalog = compiled(language)

    for single, plural in marked():
        forms = catalog[single]
        assert len(forms) == (FORMS.get(language, 2) if plural else 1), single
        wanted = Counter(PLACEHOLDER.findall(plural or single))
        for form in forms:
            assert Counter(PLACEHOLDER.findall(form)) == wanted, form


@pytest.mark.parametrize("path", templates(), ids=lambda path: path.name)
def test_no_template_has_text_that_nobody_can_translate(path):
    source = TRANSLATED.sub("", path.read_text())

    plain = re.sub(r"<[^>]*>", " ", source)
    assert re.findall(r"[A-Za-z]{2,}", plain) == []
    assert re.findall(r"[A-Za-z]{2,}", " ".join(READ_ALOUD.findall(source))) == []
