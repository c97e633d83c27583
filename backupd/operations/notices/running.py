"""Sends letters: to a mail server, a webhook, a healthchecks address."""

from __future__ import annotations

from backupd.model import events
from backupd.model.notice_orders import NoticeOrder
from backupd.operations.context import JobContext
from backupd.operations.notices import checks, mail, webhook


def run(order: NoticeOrder, context: JobContext) -> events.Done:
    """Tell of each letter what became of it. Raises UsageError for settings that nothing can be sent with."""
    if order.kind == "mail":
        mail.send(order, context)
    elif order.kind == "healthchecks":
        checks.send(order, context)
    else:
        webhook.send(order, context)
    return events.Done(exit_code=0, result={}, warnings=context.warnings)
