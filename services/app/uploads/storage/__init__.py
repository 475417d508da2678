"""Where the bytes are: S3, or the local disk. Nothing else imports boto3 or storages.

Both implementations answer alike, and raise StorageUnavailable for everything that is not an
answer: a timeout, a 403, a 5xx, a missing bucket. Only "it is not there" of a bucket that is there
counts as not there.
"""

from functools import cache
from pathlib import Path

from django.conf import settings

from uploads.storage.disk import LocalDisk
from uploads.storage.protocol import (
    ANY_PARTS,
    DELETE_MAX,
    NO_ANSWER,
    PLAIN,
    Method,
    Storage,
    StoredObject,
    Ticket,
)
from uploads.storage.s3 import S3

__all__ = [
    "ANY_PARTS",
    "DELETE_MAX",
    "NO_ANSWER",
    "PLAIN",
    "S3",
    "LocalDisk",
    "Method",
    "Storage",
    "StoredObject",
    "Ticket",
    "storage",
]


@cache
def storage() -> Storage:
    """The storage that USE_S3 chooses. One a process, made after the fork."""
    return S3() if settings.USE_S3 else LocalDisk(Path(settings.MEDIA_ROOT))
