"""Refusals that no server of the tests makes on demand, as stores word them."""

from __future__ import annotations

import ssl
from typing import Any

import pytest
from botocore import exceptions as vendor
from botocore.parsers import ResponseParserError

from backupd.destination.s3.errors import translate
from backupd.errors import (
    BackupError,
    DestinationError,
    DestinationFullError,
    DestinationRefusedError,
    DestinationUnreachableError,
    ObjectExistsError,
    ObjectMissingError,
)
from backupd.store_errors import (
    CertificateError,
    NameTooLongError,
    ReadOnlyStoreError,
    StoreAnswerError,
    StoreBusyError,
    StoreClockError,
    StoreFolderError,
    StoreLoginError,
)

ECHOED = "the-secret-that-a-server-repeats"


def answered(code: str, status: int, headers: dict[str, str] | None = None, **more: str) -> BackupError:
    """The translation of such an answer."""
    response: dict[str, Any] = {
        "Error": {"Code": code, "Message": ECHOED, **more},
        "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": headers or {}},
    }
    return translate("x at s3://b/p", vendor.ClientError(response, "PutObject"))


@pytest.mark.parametrize(
    ("code", "status", "kind", "retryable"),
    [
        ("SlowDown", 503, StoreBusyError, True),
        ("TooManyRequests", 429, StoreBusyError, True),
        ("", 503, StoreBusyError, True),
        ("ConditionalRequestConflict", 409, StoreBusyError, True),
        ("InternalError", 500, DestinationError, True),
        ("", 502, DestinationError, True),
        ("BadDigest", 400, DestinationError, True),
        ("PreconditionFailed", 412, ObjectExistsError, False),
        ("NoSuchKey", 404, ObjectMissingError, False),
        ("404", 404, ObjectMissingError, False),
        ("NoSuchBucket", 404, StoreFolderError, False),
        ("AccessDenied", 403, DestinationRefusedError, False),
        ("403", 403, DestinationRefusedError, False),
        ("InvalidAccessKeyId", 403, StoreLoginError, False),
        ("SignatureDoesNotMatch", 403, StoreLoginError, False),
        ("ExpiredToken", 400, StoreLoginError, False),
        ("RequestTimeTooSkewed", 403, StoreClockError, False),
        ("KeyTooLongError", 400, NameTooLongError, False),
        ("MethodNotAllowed", 405, ReadOnlyStoreError, False),
        ("QuotaExceeded", 403, DestinationFullError, False),
        ("XMinioStorageFull", 507, DestinationFullError, False),
        ("", 507, DestinationFullError, False),
        ("InvalidObjectState", 403, DestinationRefusedError, False),
        ("WhoKnows", 400, DestinationRefusedError, False),
        ("<script>" * 30, 400, DestinationRefusedError, False),
    ],
)
def test_each_answer_has_its_error(code: str, status: int, kind: type[BackupError], retryable: bool) -> None:
    """Else a run goes on trying what never works, or gives up what works a moment later."""
    error = answered(code, status)
    assert (type(error), error.retryable) == (kind, retryable)
    assert error.hint or kind in (ObjectExistsError, ObjectMissingError)
    assert ECHOED not in f"{error.message} {error.hint} {error.context}"
    assert "<" not in f"{error.message} {error.context}"


@pytest.mark.parametrize(
    ("said", "heard"), [("7", 7), ("99999999", 3600), ("-1", None), ("soon", None), ("9" * 99, None)]
)
def test_when_to_come_again(said: str, heard: int | None) -> None:
    """Else a store that asked for rest gets none, or a mad number stops a backup for a year."""
    assert answered("SlowDown", 503, {"Retry-After": said}).context.get("retry_after_seconds") == heard


@pytest.mark.parametrize(
    "error",
    [
        answered("PermanentRedirect", 301, {"x-amz-bucket-region": "eu-west-3"}),
        answered("301", 301, {"x-amz-bucket-region": "eu-west-3"}),
        answered("AuthorizationHeaderMalformed", 400, Region="eu-west-3"),
        answered("IllegalLocationConstraintException", 400, {"x-amz-bucket-region": "eu-west-3"}),
    ],
)
def test_the_right_region_is_named(error: BackupError) -> None:
    assert type(error) is DestinationRefusedError
    assert "region=eu-west-3" in error.hint


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (vendor.EndpointConnectionError(endpoint_url="https://h"), DestinationUnreachableError),
        (vendor.ConnectTimeoutError(endpoint_url="https://h"), DestinationUnreachableError),
        (vendor.ReadTimeoutError(endpoint_url="https://h"), DestinationUnreachableError),
        (vendor.ConnectionClosedError(endpoint_url="https://h"), DestinationUnreachableError),
        (vendor.IncompleteReadError(actual_bytes=1, expected_bytes=2), DestinationUnreachableError),
        (vendor.SSLError(endpoint_url="h", error=ssl.SSLError("[SSL: WRONG_VERSION]")), DestinationUnreachableError),
        (vendor.SSLError(endpoint_url="h", error="CERTIFICATE_VERIFY_FAILED: self-signed"), CertificateError),
        (vendor.SSLError(endpoint_url="h", error="certificate has expired"), CertificateError),
        (vendor.NoCredentialsError(), StoreLoginError),
        (vendor.ProfileNotFound(profile="p"), StoreLoginError),
        (vendor.FlexibleChecksumError(error_msg="no"), DestinationError),
        (ResponseParserError("<html>"), StoreAnswerError),
        (OSError(5, "Input/output error"), DestinationUnreachableError),
    ],
)
def test_what_boto3_raises_by_itself(raised: Exception, kind: type[BackupError]) -> None:
    error = translate("x at s3://b/p", raised)
    assert type(error) is kind
    assert error.hint
