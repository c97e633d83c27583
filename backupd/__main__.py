"""The `backupd` program. There is no daemon in this version: it says so and how backups are run instead."""

from __future__ import annotations

import argparse
import sys

from backupd import __version__


def main() -> int:
    """Answer `--version` and `--help`; anything else ends with 1 and the command that makes backups."""
    parser = argparse.ArgumentParser(
        prog="backupd",
        description="The backup daemon. This version has none: backups run with 'bkctl once PATH... --to DEST'.",
    )
    parser.add_argument("--version", action="version", version=f"backupd {__version__}")
    parser.parse_args()
    sys.stderr.write("backupd: this version has no daemon; backups run with 'bkctl once PATH... --to DEST'\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
