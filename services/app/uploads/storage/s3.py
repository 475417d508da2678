"""S3, by django-storages and boto3, which nothing else imports."""

import re
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from email.utils import parsedate_to_datetime
from functools import cache, partial
from pathlib import Path
from typing import IO, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from storages.backends.s3 import S3Storage

from uploads import deadline
from uploads.errors import StorageUnavailable
from uploads.storage.protocol import (
    ANY_PARTS,
    NO_ANSWER,
    PLAIN,
    Method,
    Parts,
    StoredObject,
    Ticket,
    response_headers,
)

COPY_SECONDS = 20.0  # with what comes before and after it, less than Heroku's 30
# What XML 1.0 can't carry, escaped or not: https://www.w3.org/TR/xml/#charsets
NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


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


def is_missing(error: ClientError) -> bool:
    """Whether the answer was 404 without naming the bucket as what is missing."""
    status = error.response["ResponseMetadata"]["HTTPStatusCode"]
    return status == 404 and error.response["Error"]["Code"] != "NoSuchBucket"


@contextmanager
def answering() -> Iterator[None]:
    """Turn whatever S3 and the way there may raise into StorageUnavailable."""
    try:
        yield
    except (ClientError, BotoCoreError, OSError) as error:
        raise StorageUnavailable(NO_ANSWER, cause=cause_of(error)) from error


def cause_of(error: Exception) -> str:
    """What S3 said, and to what: `AccessDenied on DeleteObjects`; or why nobody said anything."""
    if isinstance(error, ClientError):
        return f"{error.response['Error'].get('Code')} on {error.operation_name}"
    return f"{type(error).__name__}: {error}"


class S3:
    """A bucket. Calls are bounded well under the 30 s after which Heroku's router gives up."""

    def __init__(self) -> None:
        self.bucket = settings.AWS_STORAGE_BUCKET_NAME
        self.storage = s3_storage(settings.AWS_S3_ENDPOINT_URL, connect=2, read=8, attempts=2)
        self.client = deadline.Bounded(self.storage.connection.meta.client)
        quick = s3_storage(settings.AWS_S3_ENDPOINT_URL, connect=0.5, read=0.5, attempts=1)
        self.quick_client = quick.connection.meta.client
        # A copy answers when it is done.
        copying = s3_storage(settings.AWS_S3_ENDPOINT_URL, connect=2, read=COPY_SECONDS, attempts=1)
        self.copying_client = deadline.Bounded(copying.connection.meta.client)
        # A signature binds the host that the browser calls; signing needs no network.
        self.public = s3_storage(settings.AWS_S3_PUBLIC_ENDPOINT_URL, connect=1, read=1, attempts=1)

    def prepare(self) -> None:
        """See Storage."""

    def put(self, key: str, content: IO[bytes], *, content_type: str) -> None:
        """One PUT, of at most 5 GiB: a multipart upload could be left behind in parts."""
        with answering():
            self.client.put_object(
                Bucket=self.bucket, Key=key, Body=content, ContentType=content_type
            )

    def ticket(self, key: str, *, size_bytes: int, content_type: str, seconds: int) -> Ticket:
        """See Storage. A presigned POST: only its policy can bound a size."""
        post = self.public.connection.meta.client.generate_presigned_post(
            self.bucket,
            key,
            Fields={"Content-Type": content_type},
            # A field's value is only signed where it is a condition as well.
            Conditions=[
                {"Content-Type": content_type},
                ["content-length-range", size_bytes, size_bytes],
            ],
            ExpiresIn=seconds,
        )
        return Ticket("POST", post["url"], post["fields"])

    def begin_parts(self, key: str, *, content_type: str) -> str:
        """See Storage."""
        with answering():
            try:
                begun = self.client.create_multipart_upload(
                    Bucket=self.bucket, Key=key, ContentType=content_type
                )
            except TimeoutError:  # nobody else will know its id
                deadline.when_given_up_is_over(partial(self._abort_late, key))
                raise
        return str(begun["UploadId"])

    def put_part(self, key: str, multipart_id: str, number: int, content: bytes) -> str:
        """See Storage."""
        with answering():
            part = self.client.upload_part(
                Bucket=self.bucket,
                Key=key,
                UploadId=multipart_id,
                PartNumber=number,
                Body=content,
            )
        return str(part["ETag"])

    def join_parts(self, key: str, multipart_id: str, parts: list[str]) -> None:
        """See Storage."""
        numbered = [{"ETag": tag, "PartNumber": n} for n, tag in enumerate(parts, start=1)]
        with answering():
            self.client.complete_multipart_upload(
                Bucket=self.bucket,
                Key=key,
                UploadId=multipart_id,
                MultipartUpload={"Parts": numbered},
            )

    def abort_parts(self, key: str, multipart_id: str) -> None:
        """See Storage. MinIO lists what was begun under a whole key also after a restart."""
        ids = [multipart_id]
        if multipart_id == ANY_PARTS:
            pages = self._pages("list_multipart_uploads", Prefix=key)
            begun = [found for page in pages for found in page.get("Uploads", ())]
            ids = [found["UploadId"] for found in begun if found["Key"] == key]
        for begun_id in ids:
            with answering():
                try:
                    self.client.abort_multipart_upload(
                        Bucket=self.bucket, Key=key, UploadId=begun_id
                    )
                except ClientError as error:
                    if error.response["Error"]["Code"] != "NoSuchUpload":
                        raise

    def _abort_late(self, key: str, begun: "Future[dict[str, Any]]") -> None:
        if not begun.exception():
            self.abort_parts(key, str(begun.result()["UploadId"]))

    def list_parts(self) -> Iterator[list[Parts]]:
        """See Storage. Asked without a prefix: MinIO takes one for a whole key."""
        for page in self._pages("list_multipart_uploads"):
            yield [
                Parts(found["Key"], found["UploadId"], found["Initiated"])
                for found in page.get("Uploads", ())
            ]

    def head(self, key: str) -> StoredObject | None:
        """See Storage. A 404 is believed only of a bucket that is there."""
        with answering():
            try:
                found = self.client.head_object(Bucket=self.bucket, Key=key)
            except ClientError as error:
                self._believe_missing(error)
                return None
        return StoredObject(key, found["ContentLength"], found["LastModified"], found["ETag"])

    def copy(self, source: str, target: str, *, etag: str, content_type: str) -> bool:
        """See Storage. Of at most 5 GiB; what a form may have said of its bytes is not copied.

        https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
        """
        with answering():
            try:
                self.copying_client.copy_object(
                    Bucket=self.bucket,
                    Key=target,
                    CopySource={"Bucket": self.bucket, "Key": source},
                    CopySourceIfMatch=etag,
                    MetadataDirective="REPLACE",
                    ContentType=content_type,
                )
            except ClientError as error:
                if error.response["Error"]["Code"] == "PreconditionFailed":
                    return False
                self._believe_missing(error)
                return False
        return True

    def exists_quickly(self, key: str) -> bool:
        """See Storage. The bucket is not asked: the caller does, before it believes a False."""
        with answering():
            try:
                self.quick_client.head_object(Bucket=self.bucket, Key=key)
            except ClientError as error:
                if is_missing(error):
                    return False
                raise
            return True

    def read(self, key: str, count: int | None = None) -> bytes | None:
        """See Storage."""
        ranged = {} if count is None else {"Range": f"bytes=0-{count - 1}"}
        with answering():
            try:
                answer = self.client.get_object(Bucket=self.bucket, Key=key, **ranged)
                with closing(answer["Body"]) as body:  # a server may send more than was asked for
                    return bytes(deadline.bound(body.read, count))
            except ClientError as error:
                if error.response["Error"]["Code"] == "InvalidRange":  # of an empty object
                    return b""
                self._believe_missing(error)
                return None

    def fetch(self, key: str, target: Path) -> bool:
        """See Storage."""
        with answering(), target.open("wb") as file:
            try:
                body = self.client.get_object(Bucket=self.bucket, Key=key)["Body"]
            except ClientError as error:
                self._believe_missing(error)
                return False
            shutil.copyfileobj(body, file, 1024 * 1024)
            return True

    def delete(self, keys: list[str]) -> dict[str, str]:
        """See Storage."""
        errors = self._delete([key for key in keys if PLAIN.fullmatch(key)])
        for key in keys:
            if not PLAIN.fullmatch(key) and (problem := self._delete_odd(key)):
                errors[key] = problem
        return errors

    def _delete(self, keys: list[str]) -> dict[str, str]:
        """The errors of one DeleteObjects. S3 answers 200 also where single keys failed."""
        if not keys:
            return {}
        with answering():
            answer = self.client.delete_objects(
                Bucket=self.bucket,
                Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True},
            )
        return {
            error["Key"]: f"{error.get('Code', '')} on DeleteObjects"
            for error in answer.get("Errors", ())
            if error.get("Code") != "NoSuchKey"
        }

    def _delete_odd(self, key: str) -> str:
        """Delete a key that another's request may not depend on; why it stays, or a blank."""
        try:
            if not NOT_XML.search(key):
                return next(iter(self._delete([key]).values()), "")
            if {".", ".."} & set(key.split("/")):  # in an address they would lead to another key
                return "no request can name it"
            with answering():
                self.client.delete_object(Bucket=self.bucket, Key=key)
        except (StorageUnavailable, ValueError) as error:
            return error.cause if isinstance(error, StorageUnavailable) else str(error)
        return ""

    def pages(self, prefix: str, after: str = "") -> Iterator[list[StoredObject]]:
        """See Storage."""
        start = {"StartAfter": after} if after else {}
        for page in self._pages("list_objects_v2", Prefix=f"{prefix}/", **start):
            yield [
                StoredObject(found["Key"], found["Size"], found["LastModified"])
                for found in page.get("Contents", ())
            ]

    def _believe_missing(self, error: ClientError) -> None:
        """Return where the error says that the key is not there, and the bucket is."""
        if not is_missing(error):
            raise error
        self.client.head_bucket(Bucket=self.bucket)

    def _pages(self, operation: str, **parameters: str) -> Iterator[dict[str, Any]]:
        """The pages of a listing, each asked for when it is wanted."""
        paginator = self.client.get_paginator(operation)
        pages = iter(paginator.paginate(Bucket=self.bucket, **parameters))
        while True:
            with answering():
                page = next(pages, None)
            if page is None:
                return
            yield page

    def check_bucket(self) -> None:
        """See Storage."""
        with answering():
            self.quick_client.head_bucket(Bucket=self.bucket)

    def seconds_ahead(self) -> float:
        """See Storage. Any answer tells the time, also one that refuses us for our clock."""
        began = time.time()
        with answering():
            try:
                answer = self.quick_client.head_bucket(Bucket=self.bucket)
            except ClientError as error:
                answer = error.response
            date = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
        try:
            said = parsedate_to_datetime(date).timestamp()
        except ValueError:  # it tells no time
            return 0.0
        # It was said between the question and the answer, and is cut to a second.
        return (began + time.time()) / 2 - (said + 0.5)

    def url(
        self,
        key: str,
        *,
        seconds: int,
        method: Method = "GET",
        content_type: str,
        download_as: str | None,
    ) -> str:
        """See Storage. No request."""
        headers = response_headers(seconds, content_type, download_as)
        # HEAD on an address signed for GET is answered 403.
        parameters = {f"Response{name.replace('-', '')}": value for name, value in headers.items()}
        return str(self.public.url(key, parameters=parameters, expire=seconds, http_method=method))
