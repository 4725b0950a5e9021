"""Run a worker with the arguments that the first one of the command line holds."""

from __future__ import annotations

import json
import sys

import django

if __name__ == "__main__":
    django.setup()
    # Only here: the worker wants Django to be set up.
    from django_redisjobs import Worker

    Worker(**json.loads(sys.argv[1])).run()
