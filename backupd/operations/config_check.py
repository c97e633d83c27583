"""`config check`: whether documents can be applied, by the rules of the daemon and without one."""

from __future__ import annotations

from typing import Any

from backupd.errors import BackupError, ConfigError
from backupd.model import events
from backupd.model.config_orders import ConfigCheckOrder
from backupd.model.sets import DestinationText
from backupd.operations.commands.accounts import command_warnings
from backupd.operations.context import JobContext, error_fields
from backupd.settings.config_documents import check, check_noticed, raise_all, read, remarks, sentences
from backupd.settings.daemon_settings import parse_settings


def run(order: ConfigCheckOrder, context: JobContext) -> events.Done:
    """Read and merge the documents; all that is wrong is told, each with its line."""
    errors: list[BackupError] = []
    for text in order.documents:
        if text.holds == "settings":
            try:
                parse_settings(text.text, text.name)
            except ConfigError as error:
                errors.append(error)
    documents = read(one for one in order.documents if one.holds == "definitions")
    known: dict[str, DestinationText | None] = dict.fromkeys(order.destinations)
    destinations, sets, found = check(documents, known)
    notices, contacts, wrong = check_noticed(documents, None)
    errors += [*found, *wrong]
    for line in [*documents.missing, *remarks((one.text for one in sets), _together(known, destinations))]:
        context.warn(line)
    for one in sets:
        for line in command_warnings(one.text):
            context.warn(line)
    result: dict[str, Any] = {
        "files": [one.name for one in order.documents],
        "sets": [one.text.name for one in sets],
        "destinations": [one.text.name for one in destinations],
        "notices": [one.text.name for one in notices],
        "contacts": [one.text.name for one in contacts],
        "problems": sentences(errors),
    }
    try:
        raise_all(errors)
    except BackupError as error:
        return events.Done(
            exit_code=error.exit_code, result=result, warnings=context.warnings, error=error_fields(error)
        )
    return events.Done(exit_code=0, result=result, warnings=context.warnings)


def _together(known: dict[str, DestinationText | None], written: list[Any]) -> dict[str, DestinationText | None]:
    return {**known, **{one.text.name: one.text for one in written}}
