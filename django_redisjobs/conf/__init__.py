"""The only reader of Django's settings: ``settings.REDISJOBS`` as frozen values.

Read at the first use, never at import; read anew when a test changes settings.
"""

from __future__ import annotations

import difflib
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import ENVIRONMENT_VARIABLE
from django.conf import settings as django_settings
from django.core.signals import setting_changed

from django_redisjobs.conf.addresses import Address
from django_redisjobs.conf.environment import from_env
from django_redisjobs.conf.reading import Problem, read
from django_redisjobs.conf.values import QueueSettings, Settings
from django_redisjobs.core.keys import GroupKeys
from django_redisjobs.durations import parse_duration
from django_redisjobs.exceptions import ConfigurationError, UnknownQueue

__all__ = [
    "QueueSettings",
    "Settings",
    "embedded_folder",
    "from_env",
    "get_queue_settings",
    "get_settings",
    "groups",
    "keys_for",
    "parse_duration",
    "problems",
]

# A change of any of these changes what get_settings() answers.
WATCHED = frozenset({"REDISJOBS", "CACHES", "BASE_DIR"})


@cache
def get_settings() -> Settings:
    """The settings of this project.

    Raises:
        ConfigurationError: REDISJOBS is wrong; the message has every mistake.
    """
    found, mistakes = _read()
    if found is None:
        raise ConfigurationError("\n".join(str(mistake) for mistake in mistakes))
    return found


def problems() -> tuple[Problem, ...]:
    """Every mistake in REDISJOBS, for the system checks. No I/O."""
    return _read()[1]


def _read() -> tuple[Settings | None, tuple[Problem, ...]]:
    raw = getattr(django_settings, "REDISJOBS", {})
    return read(raw, getattr(django_settings, "CACHES", {}))


def get_queue_settings(name: str) -> QueueSettings:
    """The settings of one queue.

    Raises:
        UnknownQueue: REDISJOBS["QUEUES"] has no such queue.
    """
    queues = get_settings().queues
    try:
        return queues[name]
    except KeyError:
        pass
    near = difflib.get_close_matches(str(name), queues, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise UnknownQueue(
        f"There is no queue {name!r}: REDISJOBS['QUEUES'] has {', '.join(queues)}."
        f"{hint} Add it there, or name another queue."
    )


@cache
def keys_for(queue: str) -> GroupKeys:
    """The keys of the group that ``queue`` belongs to.

    Raises:
        UnknownQueue: REDISJOBS["QUEUES"] has no such queue.
    """
    group = get_queue_settings(queue).group
    return GroupKeys(prefix=get_settings().prefix, group=group)


def groups() -> dict[GroupKeys, list[str]]:
    """The queues of each group, by its keys; both in the order of the settings."""
    settings = get_settings()
    found: dict[str, list[str]] = {}
    for queue in settings.queues.values():
        found.setdefault(queue.group, []).append(queue.name)
    return {
        GroupKeys(prefix=settings.prefix, group=group): names
        for group, names in found.items()
    }


def embedded_folder() -> Path:
    """The folder of the embedded server: what ``embedded://`` names, else
    ``.redisjobs``, in BASE_DIR or beside the settings module.

    Raises:
        ConfigurationError: the settings have neither.
    """
    named = Address.parse(get_settings().url).path
    folder = Path(named or ".redisjobs").expanduser()
    return folder if folder.is_absolute() else _base_folder() / folder


def _base_folder() -> Path:
    if base := getattr(django_settings, "BASE_DIR", None):
        return Path(base).absolute()
    # Not settings.SETTINGS_MODULE, which is None inside override_settings.
    module = sys.modules.get(os.environ.get(ENVIRONMENT_VARIABLE, ""))
    if module is not None and module.__file__:
        return Path(module.__file__).absolute().parent
    raise ConfigurationError(
        "embedded:// has no place for its data: settings have no BASE_DIR and are no "
        'module. Set BASE_DIR, or REDISJOBS["URL"] to "embedded:///path/of/a/folder".'
    )


def _forget(*, setting: str, **_: Any) -> None:
    if setting in WATCHED:
        get_settings.cache_clear()
        keys_for.cache_clear()


setting_changed.connect(_forget, dispatch_uid="django_redisjobs.conf")
