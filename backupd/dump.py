"""Entry of processes that write out what no other program does: `python -m backupd.dump sqlite|device|system [PATH]`.

The bytes go to standard output; what goes wrong is a line on standard error and an exit code that is not 0.
"""

from __future__ import annotations

import sys

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
                dumping.dump_system(sys.stdout.fileno())
            case _:
                raise ValueError("sqlite PATH, device PATH or system")
    except (OSError, ValueError, dumping.DumpError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
