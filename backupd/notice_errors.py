"""Errors of notices and of contacts."""

from __future__ import annotations

from backupd import store_errors
from backupd.errors import BackupError, NotFoundError


class NoticeNotFoundError(NotFoundError):
    """There is no such notice."""

    code = "notice.not_found"


class ContactNotFoundError(NotFoundError):
    """There is no such contact."""

    code = "contact.not_found"


class NoticeFailedError(BackupError):
    """A notice could not be sent to anybody."""

    code = "notice.failed"
    retryable = True


class NoticeSomeError(BackupError):
    """A notice was sent to some of its recipients, not to all."""

    code = "notice.some"
    exit_code = 4
    retryable = True


def error_of(code: str, message: str, hint: str = "") -> BackupError:
    """As `store_errors.error_of`, and of those of notices, too, which are known only where they were imported."""
    return store_errors.error_of(code, message, hint)
