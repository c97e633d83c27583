"""rclone's words, as its backends say them, become errors whose hints help."""

from __future__ import annotations

import pytest

from backupd.destination.rclone.errors import cleaned, secrets_of, translated
from backupd.errors import (
    BackupError,
    DestinationError,
    DestinationFullError,
    DestinationRefusedError,
    DestinationUnreachableError,
    ObjectMissingError,
)
from backupd.store_errors import (
    CertificateError,
    HostKeyChangedError,
    NameTooLongError,
    ReadOnlyStoreError,
    StoreBusyError,
    StoreClockError,
    StoreFolderError,
    StoreLoginError,
)

_SAID: tuple[tuple[str, type[BackupError]], ...] = (
    (
        'couldn\'t fetch token: invalid_grant: maybe token expired? - try refreshing with "rclone config reconnect g:"',
        StoreLoginError,
    ),
    ("failed to create oauth client: empty token found - please run", StoreLoginError),
    (
        'couldn\'t fetch token: Post "https://oauth2.googleapis.com/token": dial tcp: lookup x: no such host',
        DestinationUnreachableError,
    ),
    ("api error SignatureDoesNotMatch: The request signature we calculated", StoreLoginError),
    ("api error RequestTimeTooSkewed: The difference between the request time", StoreClockError),
    ("googleapi: Error 403: User Rate Limit Exceeded., userRateLimitExceeded", StoreBusyError),
    ("too_many_requests/..", StoreBusyError),
    ("api error SlowDown: Please reduce your request rate", StoreBusyError),
    (
        "googleapi: Error 403: The user's Drive storage quota has been exceeded., storageQuotaExceeded",
        DestinationFullError,
    ),
    ("write /mnt/x: no space left on device", DestinationFullError),
    ("api error AccessDenied: Access Denied.", DestinationRefusedError),
    ("open /mnt/x: read-only file system", ReadOnlyStoreError),
    ("tls: failed to verify certificate: x509: certificate signed by unknown authority", CertificateError),
    ("NewFs: couldn't connect SSH: ssh: handshake failed: knownhosts: key mismatch", HostKeyChangedError),
    ("lstat /x/aaa: file name too long", NameTooLongError),
    ("api error NoSuchBucket: The specified bucket does not exist", StoreFolderError),
    ("object not found", ObjectMissingError),
    ("something that nobody foresaw", DestinationError),
)


@pytest.mark.parametrize(("text", "expected"), _SAID)
def test_each_is_told_apart(text: str, expected: type[BackupError]) -> None:
    """An expired token that is tried again for an hour, or a busy store that is given up, costs tonight's backup."""
    error = translated("rclone:g:p", "g", text)
    assert type(error) is expected
    assert "REMOTE" not in error.hint
    assert error.hint or expected is ObjectMissingError


def test_the_pause_that_a_store_asks_for() -> None:
    assert translated("s", "d", "too_many_requests: try again in 300 seconds").context == {"retry_after_seconds": 300.0}


def test_secrets_do_not_show() -> None:
    """Messages go to logs, mails and tickets."""
    configuration = (
        b'[r]\ntype = drive\nclient_secret = abcdef-secret\ntoken = {"access_token":"tok-123456","expiry":"x"}\n'
    )
    secrets = secrets_of(configuration)
    text = 'failed for abcdef-secret with tok-123456 at https://host/path?sig=qqq"\x1b[31m\nnext'
    assert cleaned(text, secrets) == 'failed for *** with *** at https://host/path" [31m next'
    assert "drive" not in secrets
