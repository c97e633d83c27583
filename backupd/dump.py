"""Entry of processes that write out what no other program does: `python -m backupd.dump sqlite|device|system [PATH]`.

The bytes go to standard output; what goes wrong is a line on standard error and an exit code that is not 0,
but for a part that is left out: that is a line alone.
"""

from __future__ import annotations

import os
import shutil
import sys

from backupd.command_errors import CommandRefusedError
from backupd.operations.programs.accounts import SEARCH_PATH
from backupd.operations.programs.vouching import vouch
from backupd.source import dumping


def main() -> int:
    """Write out what the arguments name."""
    kind, *rest = sys.argv[1:]
    try:
        match kind, rest:
            case "sqlite", [path]:
                dumping.dump_sqlite(path, sys.stdout.fileno())
            case "device", [path]:
                dumping.dump_device(path, sys.stdout.fileno())
            case "system", []:
                dumping.dump_system(sys.stdout.fileno(), _find, _tell)
            case _:
                raise ValueError("sqlite PATH, device PATH or system")
    except (OSError, ValueError, dumping.DumpError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _tell(line: str) -> None:
    sys.stderr.write(f"{line}\n")


def _find(program: str) -> str | None:
    """The first in the PATH, else that of the system: one in which nobody else has a hand.

    Raises CommandRefusedError where there is one, and others have.
    """
    refusal: CommandRefusedError | None = None
    for path in (None, SEARCH_PATH):
        found = shutil.which(program, path=path)
        if found is None:
            continue
        try:
            vouch(found, {0, os.geteuid()})
        except CommandRefusedError as error:
            refusal = refusal or error
        else:
            return found
    if refusal is not None:
        raise refusal
    return None


if __name__ == "__main__":
    sys.exit(main())
