"""What a bucket keeps of objects that are deleted: earlier versions, and what a lock holds (S3 API, versioning)."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from backupd.destination.contract import Keeping
from backupd.destination.s3.errors import code_of

_NO_LOCK = (
    "ObjectLockConfigurationNotFoundError",
    "NoSuchObjectLockConfiguration",
    "InvalidBucketState",
    # Of servers that don't know the question.
    "NotImplemented",
    "501",
    "MethodNotAllowed",
)


def keeping_of(client: Any, bucket: str) -> Keeping:
    """As the store says; None where it does not, or the login may not ask."""
    return Keeping(versions_of(client, bucket), locks_of(client, bucket))


def versions_of(client: Any, bucket: str) -> bool | None:
    """Whether earlier versions are kept, those from before it was suspended too; None: the login may not ask."""
    try:
        return client.get_bucket_versioning(Bucket=bucket).get("Status") in ("Enabled", "Suspended")
    except (ClientError, BotoCoreError):
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
