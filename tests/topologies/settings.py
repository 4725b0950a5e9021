"""Settings of the workers that these tests start; the test gives REDISJOBS as JSON."""

from __future__ import annotations

import json
import os

from tests.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, "tests.topologies"]  # noqa: F405
REDISJOBS = json.loads(os.environ["TOPOLOGY_TEST_REDISJOBS"])
