"""Sets and destinations as text, into a daemon and out of it: what `config` and `set` have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import click
import msgspec

from backupd.model.api import ApplyConfig, Change, ConfigExport
from bkctl.dispatch import client_of
from bkctl.documents import read_definitions
from bkctl.options import Decorated, with_options
from bkctl.render.config import applied_lines, change_document, export_lines
from bkctl.session import Reply, Session


def applying_options(command: Decorated) -> Decorated:
    """`-f`, `--prune`, `--dry-run`."""
    return with_options(command, _OPTIONS)


def apply_texts(session: Session, given: Mapping[str, Any]) -> Reply:
    """Have the daemon apply documents. Raises NotFoundError, UsageError, the daemon's error."""
    client = client_of(session)
    client.check_version()
    body = ApplyConfig(documents=read_definitions(given["file"]), prune=given["prune"], dry_run=given["dry_run"])
    change = client.request("POST", "/v1/config/apply", body, Change)
    return Reply(0, change_document(change), warnings=change.warnings, lines=applied_lines(change))


def export_texts(session: Session, names: Sequence[str]) -> Reply:
    """The daemon's sets with their destinations, as a document. Raises the daemon's error."""
    query = urlencode([("set", name) for name in names])
    found = client_of(session).get(f"/v1/config/export?{query}", ConfigExport)
    return Reply(0, {"config": msgspec.to_builtins(found.config)}, lines=export_lines(found.config))


_OPTIONS = (
    click.option(
        "-f",
        "--file",
        metavar="FILE|DIR|-",
        multiple=True,
        required=True,
        type=click.Path(readable=False, allow_dash=True),
        help="The document; of a directory each *.yaml; - for standard input; may be repeated.",
    ),
    click.option("--prune", is_flag=True, help="Disable the sets made by command that are in none of them."),
    click.option("--dry-run", is_flag=True, help="Say what would change; change nothing."),
)
