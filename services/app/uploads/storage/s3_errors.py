"""What an error of S3 means: that the object is missing, or that nobody can say."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore.exceptions import BotoCoreError, ClientError

from uploads.errors import StorageUnavailable
from uploads.storage.protocol import NO_ANSWER


def is_missing(error: ClientError) -> bool:
    """Whether the answer was 404 without naming the bucket as what is missing."""
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status == 404 and error.response["Error"]["Code"] != "NoSuchBucket"


@contextmanager
def answering() -> Iterator[None]:
    """Turn every error of S3, or of the connection to it, into StorageUnavailable."""
    try:
        yield
    except (ClientError, BotoCoreError, OSError) as error:
        raise StorageUnavailable(NO_ANSWER, cause=cause_of(error)) from error


def cause_of(error: Exception) -> str:
    """The cause for an operator: `AccessDenied on DeleteObjects`, or why no answer came."""
    if isinstance(error, ClientError):
        return f"{error.response['Error'].get('Code')} on {error.operation_name}"
    return f"{type(error).__name__}: {error}"
