"""``python -m django_redisjobs.embedded FOLDER``: guard the server in that folder."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from django_redisjobs.embedded.binary import find_server
from django_redisjobs.embedded.guardian import guard
from django_redisjobs.embedded.home import Home


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m django_redisjobs.embedded",
        description="Run the embedded server of a folder until nobody uses it.",
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--server", help="the binary (default: the first that runs)")
    parser.add_argument("--socket", help="its socket (default: in the folder)")
    given = parser.parse_args()
    home = Home(given.folder.absolute())
    home.prepare()
    return guard(
        str(home.folder),
        given.server or str(find_server(home.folder)),
        given.socket or home.choose_socket(),
    )


if __name__ == "__main__":
    sys.exit(main())
