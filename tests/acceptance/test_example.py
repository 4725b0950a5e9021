"""The example project's own tests, as its developers run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parents[2] / "example_project"


def test_the_tests_of_the_example_pass_without_any_server(tmp_path: Path):
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("REDISJOBS_", "DJANGO_", "DATABASE_"))
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE / "manage.py"), "test"],
        cwd=EXAMPLE,
        env={
            **environment,
            "DATA_DIR": str(tmp_path),
            # Whoever asks it fails.
            "REDISJOBS_URL": "unix:///nonexistent/nobody-is-to-be-asked",
            "PYTHONPATH": os.pathsep.join(
                [str(EXAMPLE.parent), *filter(None, sys.path)]
            ),
        },
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Ran 1\d tests", done.stderr)
    assert "Warning" not in done.stderr
    assert list(tmp_path.iterdir()) == []
