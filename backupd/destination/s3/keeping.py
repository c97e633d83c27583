"""What a bucket keeps of objects that are deleted: earlier versions, and what a lock holds (S3 API, versioning)."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from backupd.destination.contract import Keeping
from backupd.destination.s3.errors import code_of, status_of

_NOT_KNOWN = ("NotImplemented", "501", "MethodNotAllowed")
"""What servers say that don't know the question."""
_NO_LOCK = (
    "ObjectLockConfigurationNotFoundError",
    "NoSuchObjectLockConfiguration",
    "InvalidBucketState",
    *_NOT_KNOWN,
)

_TRY_AGAIN_FROM = 500


def keeping_of(client: Any, bucket: str) -> Keeping:
    """As the store says; None where it does not, or the login may not ask."""
    try:
        versions = versions_of(client, bucket)
    except (ClientError, BotoCoreError):
        versions = None
    return Keeping(versions, locks_of(client, bucket))


def versions_of(client: Any, bucket: str) -> bool | None:
    """Whether earlier versions are kept, those from before it was suspended too; None: the login may not ask.

    Raises what is worth another try.
    """
    try:
        return client.get_bucket_versioning(Bucket=bucket).get("Status") in ("Enabled", "Suspended")
    except ClientError as error:
        if status_of(error) >= _TRY_AGAIN_FROM and code_of(error) not in _NOT_KNOWN:
            raise
        return None


def locks_of(client: Any, bucket: str) -> bool | None:
    """Whether objects can be locked; None: the login may not ask."""
    try:
        found = client.get_object_lock_configuration(Bucket=bucket).get("ObjectLockConfiguration") or {}
    except ClientError as error:
        return False if code_of(error) in _NO_LOCK else None
    except BotoCoreError:
        return None
    return bool(found.get("ObjectLockEnabled") == "Enabled")
