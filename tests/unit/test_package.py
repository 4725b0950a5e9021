"""What importing the package does, and does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

import django_redisjobs


def run(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


def test_importing_the_package_loads_neither_django_nor_redis() -> None:
    loaded = run(
        "import sys, django_redisjobs, django_redisjobs.core.records\n"
        "print([m for m in ('django', 'redis') if m in sys.modules])"
    )

    assert loaded == "[]"


def test_public_names_need_no_settings_to_be_imported() -> None:
    loaded = run(
        "import sys\nfrom django_redisjobs import Retry, exceptions, signals\n"
        "print('django_redisjobs.worker' in sys.modules)"
    )

    assert loaded == "False"


@pytest.mark.parametrize("name", django_redisjobs.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(django_redisjobs, name) is not None
    assert name in dir(django_redisjobs)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'tasks'"):
        django_redisjobs.tasks  # noqa: B018
