"""The process's connections to S3: django-storages' and boto3's, with our timeouts."""

import threading
from functools import cache
from typing import Any

import boto3
from botocore.config import Config
from django.conf import settings
from storages.backends.s3 import S3Storage


class SharedClientStorage(S3Storage):  # type: ignore[misc]  # the library has no types
    """django-storages' S3, with one connection a process instead of one a thread.

    A connection costs 40 to 190 ms and about 11 MB, and boto3's clients are thread-safe:
    https://docs.aws.amazon.com/boto3/latest/guide/clients.html#multithreading-or-multiprocessing-with-clients
    """

    _lock = threading.Lock()
    _resource: Any = None

    @property
    def connection(self) -> Any:
        """The one connection, made at the first use."""
        with self._lock:
            if self._resource is None:
                self._resource = super().connection
            return self._resource

    def _create_session(self) -> boto3.Session:
        return shared_session()


@cache
def shared_session() -> boto3.Session:
    """One session for all clients: they then share the parsed service model."""
    return boto3.Session(
        aws_access_key_id=settings.AWS_ACCESS_KEY_ID or None,
        aws_secret_access_key=settings.AWS_SECRET_ACCESS_KEY or None,
        aws_session_token=settings.AWS_SESSION_TOKEN or None,
    )


def s3_storage(
    endpoint_url: str, *, connect: float, read: float, attempts: int
) -> SharedClientStorage:
    """django-storages for one endpoint; timeouts in seconds.

    With `client_config` it ignores its own settings for the signature and the addressing, so both
    stand in there. `when_required`: stores other than AWS don't know boto3's newer checksums.
    """
    return SharedClientStorage(
        bucket_name=settings.AWS_STORAGE_BUCKET_NAME,
        region_name=settings.AWS_S3_REGION_NAME,
        endpoint_url=endpoint_url or None,
        client_config=Config(
            signature_version="s3v4",
            # `auto` would sign a host outside us-east-1 that answers 307.
            s3={"addressing_style": "path" if endpoint_url else "virtual"},
            connect_timeout=connect,
            read_timeout=read,
            retries={"total_max_attempts": attempts, "mode": "standard"},
            max_pool_connections=32,
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )
