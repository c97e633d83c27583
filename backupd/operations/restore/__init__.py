"""Restoring: from a snapshot back to files, planned by segment (DESIGN 6), or into a database."""

from backupd.errors import UsageError
from backupd.model import events
from backupd.model.orders import RestoreOrder
from backupd.operations.context import JobContext
from backupd.operations.restore import running
from backupd.operations.streams import into_database


def run(order: RestoreOrder, context: JobContext) -> events.Done:
    """Restore what the order says. Raises BackupError where the restore could not begin or had to end."""
    if order.into_database is not None:
        if order.to is not None:
            raise UsageError("a directory does not go with a database", hint="restore into one of them")
        return into_database.run(order, context)
    return running.run(order, context)


__all__ = ["run"]
