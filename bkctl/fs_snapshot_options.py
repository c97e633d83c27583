"""Options of snapshots of file systems; the same for sets and for `once`."""

from __future__ import annotations

import click

from bkctl.options import Decorated, with_options

_OPTIONS = (
    click.option(
        "--fs-snapshot",
        type=click.Choice(["off", "auto", "btrfs", "zfs", "lvm", "apfs"]),
        help="Read from snapshots of the sources' file systems, made before each run; default: off.",
    ),
    click.option(
        "--fs-snapshot-fallback",
        type=click.Choice(["fail", "live"]),
        help="Where none can be made: end the run, or read files as they are; default: fail.",
    ),
)


def fs_snapshot_options(command: Decorated) -> Decorated:
    """The options of snapshots of file systems; those not given are None."""
    return with_options(command, _OPTIONS)
