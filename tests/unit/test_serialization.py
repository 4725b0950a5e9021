"""Model instances travel as references and come back as the rows of that moment."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import AnonymousUser, Group, User
from django.core.files.base import ContentFile
from django.db.migrations.state import ProjectState
from django.db.models import CompositePrimaryKey, IntegerField, Model
from django.forms import Form
from django.http import HttpRequest
from django.template import engines
from django.test.utils import isolate_apps
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy

from django_redisjobs import exceptions
from django_redisjobs.core.codec import Codec
from django_redisjobs.core.exceptions import (
    PayloadMalformed,
    PayloadNotSerializable,
    PayloadUnknown,
)
from django_redisjobs.serialization import (
    ModelReference,
    codec,
    is_fetching,
    snapshot_codec,
    vetting_codec,
)

both = pytest.mark.django_db(databases=["default", "other"])


@both
def test_a_row_is_fetched_as_it_is_when_it_is_read() -> None:
    group = Group.objects.create(name="old")
    text = codec.dumps({"group": [group]})
    Group.objects.update(name="new")

    back = codec.loads(text)

    assert back == {"group": [group]}
    assert back["group"][0].name == "new"


@both
def test_a_row_is_fetched_from_the_database_it_came_from() -> None:
    Group.objects.using("default").create(pk=5, name="here")
    there = Group.objects.using("other").create(pk=5, name="there")

    back = codec.loads(codec.dumps(there))

    assert (back.name, back._state.db) == ("there", "other")


@both
def test_the_text_is_the_reference() -> None:
    group = Group.objects.create(pk=7, name="g")

    text = codec.dumps(group)

    assert text == '{"$":"model","v":"auth.group:7@default"}'
    assert is_fetching(text)
    assert not is_fetching(codec.dumps("model"))


@both
@pytest.mark.parametrize("reader", [snapshot_codec, vetting_codec], ids=["see", "vet"])
def test_looking_at_it_makes_no_query(
    django_assert_num_queries: Any, reader: Codec
) -> None:
    text = codec.dumps((Group.objects.create(pk=7, name="g"),))

    with django_assert_num_queries(0):
        seen = reader.loads(text)

    assert seen == (ModelReference("auth.group", "7", "default"),)
    assert str(seen[0]) == "auth.group:7@default"


@both
def test_the_lazy_user_of_a_request_is_carried() -> None:
    user = User.objects.create(username="a")

    assert codec.loads(codec.dumps(SimpleLazyObject(lambda: user))) == user


@both
def test_a_missing_row_is_a_clear_error() -> None:
    group = Group.objects.create(pk=7, name="g")
    text = codec.dumps(group)
    group.delete()

    with pytest.raises(exceptions.MissingInstance, match="Group with primary key 7"):
        codec.loads(text)


@pytest.mark.parametrize("instance", [Group(name="new"), Group(pk=3, name="new")])
def test_an_unsaved_instance_is_refused(instance: Group) -> None:
    with pytest.raises(PayloadNotSerializable, match=r"Group: .*Save it first"):
        codec.dumps([instance])


@isolate_apps("tests")
def test_a_deleted_instance_is_refused_whatever_its_primary_key() -> None:
    class Entry(Model):  # noqa: DJ008
        pk = CompositePrimaryKey("book", "line")
        book = IntegerField()
        line = IntegerField()

        class Meta:
            app_label = "tests"

    for instance in (Entry(), Entry(book=1), Group()):
        instance._state.adding = False
        with pytest.raises(PayloadNotSerializable, match="Save it first"):
            codec.dumps(instance)


@both
def test_a_historical_model_is_refused() -> None:
    historical = ProjectState.from_apps(apps).apps.get_model("auth", "Group")
    group = historical.objects.create(name="g")

    with pytest.raises(PayloadNotSerializable, match="historical or a replaced"):
        codec.dumps(group)


@pytest.mark.parametrize(
    "stored",
    [
        "auth.group",
        "auth.group:5",
        "nothing:5@default",
        "auth.group:x@default",
        "",
        5,
        None,
    ],
)
@pytest.mark.parametrize("reader", [codec, vetting_codec], ids=["run", "vet"])
def test_a_reference_that_means_nothing_is_malformed(
    reader: Codec, stored: Any
) -> None:
    with pytest.raises(PayloadMalformed) as caught:
        reader.loads(json.dumps({"$": "model", "v": stored}))

    assert not isinstance(caught.value, PayloadUnknown)


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ("auth.nothing:5@default", "no such model"),
        ("nothing.group:5@default", "no such model"),
        ("auth.group:5@nowhere", "no such database: DATABASES has default, other"),
    ],
)
@pytest.mark.parametrize("reader", [codec, vetting_codec], ids=["run", "vet"])
def test_what_this_build_lacks_is_unknown(
    reader: Codec, stored: str, words: str
) -> None:
    with pytest.raises(PayloadUnknown, match=words):
        reader.loads(json.dumps({"$": "model", "v": stored}))


def test_rendered_text_stays_safe() -> None:
    template = engines["django"].from_string("<p>{{ a }}</p>")
    back = codec.loads(codec.dumps([template.render({"a": "&"}), mark_safe("<br>")]))

    assert back == ["<p>&amp;</p>", "<br>"]
    assert {type(text) for text in back} == {SafeString}


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (gettext_lazy("Save"), r"lazy string: pass str\(value\)"),
        (Group.objects.all(), "primary keys as a list"),
        (Group.objects, "manager inside the job"),
        (HttpRequest(), "values of the request"),
        (ContentFile(b"x"), "Save it, and pass its name"),
        (Form(), "cleaned_data"),
        (AnonymousUser(), "an id from which"),
        (SimpleLazyObject(AnonymousUser), "a lazy object"),
        (type("Kind", (str,), {})("x"), r"pass str\(value\)"),
        (bytearray(b"x"), r"Pass bytes\(value\)"),
    ],
)
def test_what_is_refused_comes_with_advice(value: object, words: str) -> None:
    with pytest.raises(PayloadNotSerializable, match=words):
        codec.dumps(value)
