"""The pages within themes that replace the admin's templates."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

ASK = (
    "import django; django.setup(); from tests.browser.themed import main; exit(main())"
)


@pytest.mark.parametrize("theme", ["unfold", "jazzmin"])
def test_every_page_works_in_a_theme(redisjobs: dict[str, Any], theme: str):
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.browser.themed_settings",
        "ADMIN_THEME": theme,
        "BROWSER_TEST_REDISJOBS": json.dumps(redisjobs),
    }

    ended = subprocess.run(
        [sys.executable, "-c", ASK],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert (ended.returncode, ended.stdout) == (0, ""), ended.stderr
