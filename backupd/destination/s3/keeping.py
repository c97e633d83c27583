"""What a bucket keeps of objects that are deleted: earlier versions, and what a lock holds (S3 API, versioning)."""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from backupd.destination.contract import Keeping
from backupd.destination.s3.errors import code_of

_NO_LOCK = ("ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration", "InvalidBucketState")


def keeping_of(client: Any, bucket: str) -> Keeping:
    """As the store says; None where it does not, or the login may not ask."""
    return Keeping(_versions(client, bucket), _locks(client, bucket))


def _versions(client: Any, bucket: str) -> bool | None:
    try:
        return bool(client.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled")
    except (ClientError, BotoCoreError):
        return None


def _locks(client: Any, bucket: str) -> bool | None:
    try:
        found = client.get_object_lock_configuration(Bucket=bucket).get("ObjectLockConfiguration") or {}
    except ClientError as error:
        return False if code_of(error) in _NO_LOCK else None
    except BotoCoreError:
        return None
    return bool(found.get("ObjectLockEnabled") == "Enabled")
