"""What an S3 store or boto3 says went wrong, as an error that tells its user what to do.

Of what a server sends only its error code, a region and a number of seconds go on: its texts may repeat parts of the
login. Sources: the S3 API's error codes; SeaweedFS, rclone, MinIO and Ceph where they have codes of their own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from botocore import exceptions as vendor
from botocore.parsers import ResponseParserError
from urllib3.exceptions import HTTPError

from backupd.errors import (
    BackupError,
    DestinationError,
    DestinationFullError,
    DestinationRefusedError,
    DestinationUnreachableError,
    ObjectExistsError,
    ObjectMissingError,
    UsageError,
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
    StoreProgramError,
)

_CODE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_REGION = re.compile(r"[a-z0-9-]{2,40}")
_LONGEST_PAUSE_SECONDS = 3600
_LOGIN_HINT = "check access_key_id and secret_access_key in the credentials file (docs/stores/s3.md)"
_RIGHTS_HINT = "the login needs the rights to list, get, put and delete under the prefix (docs/stores/s3.md)"
AGAIN_HINT = "what is stored stays, and the next run goes on from it"

_Kind = tuple[type[BackupError], str, str]
_LOGIN: _Kind = (StoreLoginError, "the store does not take the login", _LOGIN_HINT)
_EXPIRED: _Kind = (StoreLoginError, "the login has expired", "get a new session token, or keys that last")
_BUSY: _Kind = (StoreBusyError, "the store asks to come again later", AGAIN_HINT)
_FULL: _Kind = (DestinationFullError, "the store is full, or its quota is used up", f"make space there; {AGAIN_HINT}")
_REFUSED: _Kind = (DestinationRefusedError, "the store refuses it", _RIGHTS_HINT)
_FOLDER: _Kind = (StoreFolderError, "there is no such bucket", "make the bucket first; check name and endpoint")
_LONG: _Kind = (NameTooLongError, "the store does not take names so long", "choose a shorter prefix")
_READ_ONLY: _Kind = (ReadOnlyStoreError, "the store can only be read", "let it be written to, or give another place")
_MISSING: _Kind = (ObjectMissingError, "it is not there", "")
_EXISTS: _Kind = (ObjectExistsError, "it exists already", "")
_RACING: _Kind = (StoreBusyError, "somebody else writes it at this moment", "it is tried again")
_CHANGED: _Kind = (DestinationError, "its bytes changed on the way", "the network or a proxy between spoils bytes")
_CLOCK: _Kind = (
    StoreClockError,
    "this machine's clock and the store's differ by over 15 minutes",
    "set the clock, as by turning on NTP: timedatectl set-ntp true",
)
_KEY: _Kind = (DestinationRefusedError, "the store can't use the encryption key", "check sse, sse_key and its rights")
_CLASS: _Kind = (DestinationRefusedError, "the store does not have that storage class", "check storage_class")
_COLD: _Kind = (
    DestinationRefusedError,
    "the object lies in an archive that can't be read at once",
    "restore it from the archive at the store first; choose a storage_class that is read at once",
)
_UNKNOWN_WORD: _Kind = (
    DestinationRefusedError,
    "the store does not know what is asked of it",
    "try checksum=when_required, without storage_class and sse",
)

_BY_CODE: dict[str, _Kind] = {
    **dict.fromkeys(
        (
            "SignatureDoesNotMatch",
            "InvalidAccessKeyId",
            "InvalidToken",
            "InvalidSecurity",
            "MissingSecurityHeader",
            "CredentialsNotSupported",
            "InvalidClientTokenId",
            "UnrecognizedClientException",
            "NotSignedUp",
            "AuthorizationHeaderMalformed",
        ),
        _LOGIN,
    ),
    **dict.fromkeys(("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired"), _EXPIRED),
    **dict.fromkeys(("RequestTimeTooSkewed", "RequestExpired", "RequestInTheFuture"), _CLOCK),
    **dict.fromkeys(("AccessDenied", "AllAccessDisabled", "AccountProblem", "AccessForbidden"), _REFUSED),
    **dict.fromkeys(
        (
            "SlowDown",
            "SlowDownRead",
            "SlowDownWrite",
            "Throttling",
            "ThrottlingException",
            "RequestLimitExceeded",
            "TooManyRequests",
            "ServiceUnavailable",
            "BandwidthLimitExceeded",
            "XMinioServerNotInitialized",
        ),
        _BUSY,
    ),
    **dict.fromkeys(
        (
            "InsufficientStorage",
            "QuotaExceeded",
            "XMinioStorageFull",
            "XMinioAdminBucketQuotaExceeded",
            "StorageQuotaExceeded",
            "UserQuotaExceeded",
            "CapacityExceeded",
        ),
        _FULL,
    ),
    **dict.fromkeys(("BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "IncompleteBody"), _CHANGED),
    **dict.fromkeys(("ConditionalRequestConflict", "OperationAborted"), _RACING),
    **dict.fromkeys(("NoSuchBucket", "InvalidBucketName"), _FOLDER),
    **dict.fromkeys(("NoSuchKey", "NotFound"), _MISSING),
    **dict.fromkeys(("KMS.DisabledException", "KMS.NotFoundException", "KMS.KMSInvalidStateException"), _KEY),
    "KeyTooLongError": _LONG,
    "KeyTooLong": _LONG,
    "PreconditionFailed": _EXISTS,
    "MethodNotAllowed": _READ_ONLY,
    "InvalidStorageClass": _CLASS,
    "InvalidObjectState": _COLD,
    "NotImplemented": _UNKNOWN_WORD,
}
_BY_STATUS: dict[int, _Kind] = {
    401: _LOGIN,
    403: _REFUSED,
    404: _MISSING,
    405: _READ_ONLY,
    409: _RACING,
    412: _EXISTS,
    429: _BUSY,
    501: _UNKNOWN_WORD,
    503: _BUSY,
    507: _FULL,
    509: _BUSY,
}
_ELSEWHERE = ("PermanentRedirect", "TemporaryRedirect", "IllegalLocationConstraintException", "InvalidRegion")

_NO_LOGIN = (
    vendor.NoCredentialsError,
    vendor.PartialCredentialsError,
    vendor.CredentialRetrievalError,
    vendor.ProfileNotFound,
    vendor.NoAuthTokenError,
    vendor.TokenRetrievalError,
    vendor.SSOError,
    vendor.MetadataRetrievalError,
    vendor.InvalidConfigError,
    vendor.InfiniteLoopConfigError,
    vendor.RefreshWithMFAUnsupportedError,
)
_WRONG_WORDS = (
    vendor.NoRegionError,
    vendor.InvalidRegionError,
    vendor.UnknownRegionError,
    vendor.ParamValidationError,
    vendor.EndpointProviderError,
    vendor.UnknownEndpointError,
    vendor.UnsupportedS3ConfigurationError,
    vendor.UnsupportedS3ArnError,
    vendor.ConfigParseError,
    vendor.ConfigNotFound,
)
_BROKEN_OFF = (
    vendor.ConnectionError,
    vendor.HTTPClientError,
    vendor.ResponseStreamingError,
    vendor.IncompleteReadError,
    HTTPError,
)
_ANY = (vendor.BotoCoreError, vendor.ClientError, ResponseParserError, HTTPError, OSError, ValueError)


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Everything that boto3 raises inside, as a BackupError. what: the place, or the object with its place."""
    try:
        yield
    except _ANY as error:
        raise translate(what, error) from error


@contextmanager
def translated_of_place(shown: str) -> Iterator[None]:
    """The same for requests that name no object: nothing but the bucket can be missing there."""
    try:
        with translated(shown):
            yield
    except ObjectMissingError as error:
        made, text, hint = _FOLDER
        raise made(f"{shown}: {text}", hint=hint) from error


def translate(what: str, error: Exception) -> BackupError:
    """The error of this house for one of boto3, its libraries or the store."""
    if isinstance(error, vendor.ClientError):
        return _answered(what, error)
    inner = getattr(error, "kwargs", {}).get("error")
    if isinstance(inner, BackupError):
        # Raised by our own connection, below boto3.
        return inner
    name = type(error).__name__
    for kinds, make in _BY_TYPE:
        if isinstance(error, kinds):
            return make(what, name, error)
    return DestinationUnreachableError(f"{what}: {name}", hint="is the store up, and the network?")


def status_of(error: vendor.ClientError) -> int:
    """The HTTP status of a refusal."""
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status if isinstance(status, int) else 0


def code_of(error: vendor.ClientError) -> str:
    """The error code of a refusal; of an answer without a body the status in digits."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return code if _CODE.fullmatch(code) else ""


def _answered(what: str, error: vendor.ClientError) -> BackupError:
    code, status = code_of(error), status_of(error)
    region = _right_region(error)
    if code in _ELSEWHERE or status in (301, 307, 308) or (region and code == "AuthorizationHeaderMalformed"):
        hint = f"add region={region} to the place's options" if region else "check region= and endpoint="
        return DestinationRefusedError(f"{what}: the bucket is in another region ({code or status})", hint=hint)
    context: dict[str, Any] = {"store_code": code or str(status)}
    kind = _BY_CODE.get(code) or _BY_STATUS.get(status)
    if kind is None:
        text = f"{what}: the store answers {code or 'an error'} ({status})"
        if status >= 500:
            return DestinationError(text, hint=AGAIN_HINT, context=context)
        return DestinationRefusedError(text, hint="check endpoint, region, style and rights", context=context)
    made, text, hint = kind
    if made is StoreBusyError:
        seconds = _headers(error).get("retry-after", "")
        if seconds.isdecimal() and len(seconds) < 9:
            context["retry_after_seconds"] = min(int(seconds), _LONGEST_PAUSE_SECONDS)
    told = "" if made in (ObjectMissingError, ObjectExistsError) else f" ({code or status})"
    return made(f"{what}: {text}{told}", hint=hint, context=context)


def _headers(error: vendor.ClientError) -> dict[str, str]:
    headers = error.response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return {str(name).lower(): str(value) for name, value in headers.items()} if isinstance(headers, dict) else {}


def _right_region(error: vendor.ClientError) -> str:
    named = error.response.get("Error", {}).get("Region") or _headers(error).get("x-amz-bucket-region", "")
    return named if isinstance(named, str) and _REGION.fullmatch(named) else ""


def _no_login(what: str, name: str, error: Exception) -> BackupError:
    hint = "give --credentials-file, or profile=, or what boto3 finds by itself: environment, ~/.aws, a role"
    if isinstance(error, vendor.ProfileNotFound):
        return StoreLoginError(f"{what}: the profile is in no file of ~/.aws", hint=hint)
    return StoreLoginError(f"{what}: no login was found ({name})", hint=hint)


def _wrong_words(what: str, name: str, error: Exception) -> BackupError:
    return UsageError(f"{what}: boto3 can't make sense of it ({name})", hint="check bucket, endpoint and region")


def _untrusted(what: str, name: str, error: Exception) -> BackupError:
    text = str(error)
    for mark, told, hint in (
        ("has expired", "the server's certificate has expired", "have it renewed; is this machine's clock right?"),
        ("not yet valid", "the server's certificate is not valid yet", "is this machine's clock right?"),
        ("ismatch", "the server's certificate is for another name", "use the name in it; style=path helps with dots"),
        ("doesn't match", "the server's certificate is for another name", "use the name that stands in it"),
        ("CERTIFICATE_VERIFY_FAILED", "nobody known here vouches for the server's certificate", "give --ca-file"),
    ):
        if mark in text:
            return CertificateError(f"{what}: {told}", hint=hint)
    return DestinationUnreachableError(
        f"{what}: no TLS connection comes about", hint="does the server speak https at that port?"
    )


def _unreachable(what: str, name: str, error: Exception) -> BackupError:
    if isinstance(error, vendor.EndpointConnectionError | vendor.ConnectTimeoutError | vendor.ProxyConnectionError):
        return DestinationUnreachableError(
            f"{what}: the store can't be reached ({name})", hint="check the endpoint; is the store up, and the network?"
        )
    return DestinationUnreachableError(f"{what}: the connection broke off ({name})", hint=AGAIN_HINT)


def _changed(what: str, name: str, error: Exception) -> BackupError:
    made, text, hint = _CHANGED
    return made(f"{what}: {text}", hint=hint)


def _nonsense(what: str, name: str, error: Exception) -> BackupError:
    return StoreAnswerError(f"{what}: the server's answer is none of S3's", hint="is it an S3 endpoint?")


def _no_library(what: str, name: str, error: Exception) -> BackupError:
    return StoreProgramError(f"{what}: boto3 lacks a library for that", hint="pip install 'botocore[crt]'")


_Make = Callable[[str, str, Exception], BackupError]
_BY_TYPE: tuple[tuple[tuple[type[Exception], ...], _Make], ...] = (
    (_NO_LOGIN, _no_login),
    (_WRONG_WORDS, _wrong_words),
    ((vendor.SSLError,), _untrusted),
    ((vendor.FlexibleChecksumError,), _changed),
    (_BROKEN_OFF, _unreachable),
    ((ResponseParserError, ValueError), _nonsense),
    ((vendor.MissingDependencyException,), _no_library),
)
