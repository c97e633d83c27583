"""Options of what is left out beside filters: types, markers, .gitignore files; the same for sets and for `once`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from bkctl.options import Decorated, with_options

_OPTIONS = (
    click.option("--only-type", metavar="T", multiple=True, help="Only files of this type: documents, images, .psd."),
    click.option("--never-type", metavar="T", multiple=True, help="No files of this type: video, .iso."),
    click.option("--marker", metavar="NAME", multiple=True, help="Leave out directories that hold it: .nobackup."),
    click.option("--cachedir-tag/--no-cachedir-tag", default=None, help="Leave out directories with a CACHEDIR.TAG."),
    click.option("--gitignore/--no-gitignore", default=None, help="Leave out what .gitignore files name."),
    click.option(
        "--unmatched",
        type=click.Choice(["include", "exclude"]),
        help="What becomes of files that no filter matches; default: include.",
    ),
)


def filter_options(command: Decorated) -> Decorated:
    """The options of what is left out."""
    return with_options(command, _OPTIONS)


def given_filter_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """Those that were given, as a set's text and orders call them; a list that is '' alone is taken away."""
    lists = {"only_types": given["only_type"], "never_types": given["never_type"], "markers": given["marker"]}
    fields: dict[str, Any] = {name: [word for word in words if word] for name, words in lists.items() if words}
    for name in ("cachedir_tag", "gitignore", "unmatched"):
        if given[name] is not None:
            fields[name] = given[name]
    return fields
