"""The floors of the house: which room stands where, and every exception that is allowed, in one place.

A room is a package or module directly below backupd/. Imports point down; rooms of one floor don't know each other
unless NEIGHBOURS draws the line. Files are written as paths from the top of the repository.
"""

from __future__ import annotations

FLOORS: dict[str, int] = {
    "backupd": 0,
    "errors": 0,
    "clock": 0,
    "cancel": 0,
    "sizes": 0,
    "durable_io": 0,
    "state_errors": 0,
    "store_errors": 0,
    "notice_errors": 0,
    "command_errors": 0,
    "inode_io": 0,
    "mount_identity": 0,
    "private_memory": 0,
    "shared_memory": 0,
    "model": 0,
    "wire": 0,
    "rights": 0,
    "rules": 1,
    "chunk": 1,
    "index": 1,
    "seal": 1,
    "block": 1,
    "tree": 1,
    "snapshot": 1,
    "access": 1,
    "source": 2,
    "destination": 2,
    "catalog": 2,
    "cache": 2,
    "settings": 2,
    "report": 2,
    "target": 2,
    "repository": 3,
    "operations": 4,
    "daemon": 5,
    "__main__": 6,
    "job": 6,
    "worker": 6,
    "dump": 6,
    "watcher": 6,
    "house": 6,
}
"""Room -> floor; `backupd` is the package itself, which holds the version."""

NEIGHBOURS: frozenset[tuple[str, str]] = frozenset(
    {
        ("cancel", "errors"),
        ("sizes", "errors"),
        ("wire", "errors"),
        ("shared_memory", "errors"),
        ("state_errors", "errors"),
        ("store_errors", "errors"),
        ("notice_errors", "errors"),
        ("command_errors", "errors"),
        ("notice_errors", "store_errors"),
        ("rights", "errors"),
        # The grammar of places belongs to client and daemon alike, and says what is wrong with one.
        ("model", "errors"),
        # The sentence of a report is one for the job log and for the client.
        ("model", "sizes"),
        ("rights", "model"),
        # The rooms of the format stand on its seals.
        ("block", "seal"),
        ("index", "seal"),
        ("tree", "seal"),
        # Settings name places: whether one is of a kind that can be opened here, only the table of stores knows.
        ("settings", "destination"),
        # A place on a drive is where the table of mounts shows its file system.
        ("destination", "source"),
        # The job process asks the composition root for its operation.
        ("job", "house"),
    }
)
"""(importer, imported) pairs of one floor."""

CLIENT_ROOMS: frozenset[str] = frozenset(
    {"backupd", "errors", "store_errors", "notice_errors", "private_memory", "sizes", "model", "wire"}
)
"""The rooms that bkctl may import; of `backupd` itself only the version."""

HIDDEN_IMPORTS: frozenset[tuple[str, str]] = frozenset()
"""(file, imported module) of imports that may stand inside a function."""

CLOCK_READERS: frozenset[str] = frozenset({"backupd/clock.py"})
ENVIRONMENT_READERS: tuple[str, ...] = (
    "backupd/settings/",
    "bkctl/main.py",
    # Hands on to rclone what it may see of it.
    "backupd/destination/rclone/child.py",
)
"""Files, or directories with a final slash."""

BROAD_EXCEPTS: frozenset[str] = frozenset({"backupd/job.py", "backupd/daemon/serving.py"})
"""The two files that may catch everything, once each; elsewhere only to clean up and raise again."""

MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 80
MAX_PARAMETERS = 8

VAGUE_NAMES: frozenset[str] = frozenset({"common", "helper", "helpers", "lib", "misc", "tools", "util", "utils"})
"""Names that say nothing of what is inside."""

TOP_LEVEL: frozenset[str] = frozenset(
    {"LICENSE", "README.md", "backupd", "bkctl", "docs", "etc", "launchd", "pyproject.toml", "systemd", "tests"}
)
"""All that stands at the top besides dot files."""
