"""How Django's own values travel: model instances by reference, safe strings.

A reference is ``app.model:pk@alias``. The row is fetched when the job runs, so
the job sees what is in the database then, and stale copies never come back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.apps import apps
from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.core.files import File
from django.db import connections
from django.db.models import Manager, Model, QuerySet
from django.forms import BaseForm
from django.http import HttpRequest
from django.utils.functional import LazyObject, Promise
from django.utils.safestring import SafeString

from django_redisjobs.core.codec import Codec
from django_redisjobs.core.exceptions import PayloadMalformed, PayloadUnknown
from django_redisjobs.exceptions import MissingInstance

_MODEL_TAG = "model"


@dataclass(frozen=True, slots=True)
class ModelReference:
    """A model instance as it is stored: which row, in which database."""

    label: str
    pk: str
    using: str

    def __str__(self) -> str:
        return f"{self.label}:{self.pk}@{self.using}"

    @classmethod
    def of(cls, instance: Model) -> ModelReference:
        """Raises ValueError with advice when no row stands behind ``instance``."""
        meta = instance._meta
        # The class as the instance shows it: request.user is a lazy object.
        model = instance.__class__
        # A deleted one has a primary key of Nones if that has several columns.
        keys = instance.pk if isinstance(instance.pk, tuple) else (instance.pk,)
        if None in keys or instance._state.adding:
            raise ValueError(
                "it is not saved, so a job could not fetch it. Save it first, or pass "
                "its values."
            )
        if apps.all_models[meta.app_label].get(meta.model_name or "") is not model:
            raise ValueError(
                "it is of a historical or a replaced model class. Pass its primary key."
            )
        return cls(
            meta.label_lower,
            model._meta.pk.value_to_string(instance),
            instance._state.db or "default",
        )

    @classmethod
    def parse(cls, text: str) -> ModelReference:
        """Raises PayloadMalformed when ``text`` is no reference."""
        label, _, rest = text.partition(":")
        pk, at, using = rest.rpartition("@")
        if not (label and at and using):
            raise PayloadMalformed(f"{text!r} is no reference to a model instance.")
        return cls(label, pk, using)

    def locate(self) -> tuple[type[Model], Any]:
        """The model and the primary key, as this project has them. Makes no query.

        Raises:
            PayloadUnknown: this build has no such model or database.
            PayloadMalformed: it is no name of a model, or no primary key of it.
        """
        try:
            model = apps.get_model(self.label)
        except LookupError as error:
            raise PayloadUnknown(
                f"{self}: this build has no such model: {error}"
            ) from error
        except ValueError as error:
            raise PayloadMalformed(f"{self}: no such model: {error}") from error
        if self.using not in connections.settings:
            raise PayloadUnknown(
                f"{self}: this build has no such database: DATABASES has "
                f"{', '.join(connections.settings)}."
            )
        try:
            return model, model._meta.pk.to_python(self.pk)
        except (ValidationError, ValueError) as error:
            raise PayloadMalformed(f"{self}: no such primary key: {error}") from error

    def fetch(self) -> Model:
        """The row as it is now. Queries the database. Raises as ``locate`` does, too.

        Raises:
            MissingInstance: there is no such row any more.
        """
        model, pk = self.locate()
        try:
            found: Model = model._base_manager.using(self.using).get(pk=pk)
        except ObjectDoesNotExist as error:
            raise MissingInstance(
                f"{model._meta.label} with primary key {self.pk} is not in the database "
                f"{self.using!r}: it was deleted after the job was enqueued, or the "
                "enqueuing did not wait for its commit. If such a job has nothing left "
                'to do, say @job(on_missing="discard").'
            ) from error
        return found


def is_fetching(text: str) -> bool:
    """Whether decoding this JSON may query the database."""
    return f'{{"$":"{_MODEL_TAG}"' in text


def _build(read: Callable[[Any], object]) -> Codec:
    built = Codec()
    built.register(
        _MODEL_TAG,
        partial(_is_instance, Model),
        lambda instance: str(ModelReference.of(instance)),
        read,
        called="saved model instances",
    )
    # render_to_string() gives these; a job that mails them must not escape them. What is
    # stored was safe when it was enqueued.
    built.register(
        "SafeString", lambda value: type(value) is SafeString, str, SafeString
    )
    for kinds, advice in _ADVICE:
        built.refuse(partial(_is_instance, kinds), advice)
    return built


def _is_instance(kinds: type | tuple[type, ...], value: object) -> bool:
    return isinstance(value, kinds)


def _fetch(stored: Any) -> Model:
    return ModelReference.parse(str(stored)).fetch()


def _locate(stored: Any) -> ModelReference:
    reference = ModelReference.parse(str(stored))
    reference.locate()
    return reference


class _Row:
    """Stands for a model instance, and equals each of its row. Makes no query."""

    def __init__(self, model: type[Model], pk: Any) -> None:
        self._model, self._pk = model._meta.concrete_model, pk

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Model):
            return NotImplemented
        return (other._meta.concrete_model, other.pk) == (self._model, self._pk)

    def __hash__(self) -> int:
        return hash(self._pk)


def _row(stored: Any) -> _Row:
    return _Row(*ModelReference.parse(str(stored)).locate())


_ADVICE: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (QuerySet, "Pass list(queryset), or better the primary keys as a list."),
    (Manager, "Use the model's manager inside the job."),
    (Promise, "It is a lazy string: pass str(value), or translate inside the job."),
    (HttpRequest, "Pass the values of the request that the job needs."),
    (File, "Save it, and pass its name or the primary key of what holds it."),
    (LazyObject, "It is a lazy object: pass what it stands for, or its primary key."),
    (BaseForm, "Pass form.cleaned_data, or the primary key of what it saved."),
    (str, "It is a kind of str: pass str(value)."),
    (int, "It is a kind of int: pass int(value)."),
    (float, "It is a kind of float: pass float(value)."),
    (dict, "It is a kind of dict: pass dict(value)."),
    (list, "It is a kind of list: pass list(value)."),
    (tuple, "It is a kind of tuple: pass tuple(value), or a dict."),
    ((bytearray, memoryview), "Pass bytes(value)."),
)

codec = _build(_fetch)
"""What jobs and results are encoded and decoded with: rows are fetched."""

snapshot_codec = _build(ModelReference.parse)
"""For looking: model instances stay ``ModelReference``, no query is made."""

comparing_codec = _build(_row)
"""For comparing: what stands for a model instance equals it, no query is made."""

vetting_codec = _build(_locate)
"""As ``snapshot_codec``, but raises for models and databases that this build lacks."""
