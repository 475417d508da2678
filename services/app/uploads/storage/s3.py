"""A bucket of S3, or of whatever speaks as S3 does."""

import shutil
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import closing
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import IO, Any

from botocore.exceptions import ClientError
from django.conf import settings

from uploads import deadline
from uploads.storage import s3_deletion, s3_signatures
from uploads.storage.headers import response_headers
from uploads.storage.protocol import (
    ANY_PARTS,
    Method,
    Parts,
    StoredObject,
    Ticket,
)
from uploads.storage.s3_client import s3_storage
from uploads.storage.s3_errors import answering, is_missing

COPY_SECONDS = 20.0  # with what comes before and after it, less than Heroku's 30


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
        """Nothing: a bucket is its owner's to make."""

    def put(self, key: str, content: IO[bytes], *, content_type: str) -> None:
        """One PUT, of at most 5 GiB: a multipart upload could be left behind in parts."""
        with answering():
            self.client.put_object(
                Bucket=self.bucket, Key=key, Body=content, ContentType=content_type
            )

    def ticket(self, key: str, *, size_bytes: int, content_type: str, seconds: int) -> Ticket:
        return s3_signatures.sign_ticket(
            self.public, key, size_bytes=size_bytes, content_type=content_type, seconds=seconds
        )

    def begin_parts(self, key: str, *, content_type: str) -> str:
        with answering():
            try:
                begun = self.client.create_multipart_upload(
                    Bucket=self.bucket, Key=key, ContentType=content_type
                )
            except TimeoutError:  # nobody else will know its id
                deadline.when_given_up_is_over(partial(self._abort_late, key))
                raise
        return str(begun["UploadId"])

    def put_part(
        self, key: str, multipart_id: str, number: int, content: bytes, *, at: int | None = None
    ) -> str:
        """A part's number is its place."""
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
        numbered = [{"ETag": tag, "PartNumber": n} for n, tag in enumerate(parts, start=1)]
        with answering():
            self.client.complete_multipart_upload(
                Bucket=self.bucket,
                Key=key,
                UploadId=multipart_id,
                MultipartUpload={"Parts": numbered},
            )

    def abort_parts(self, key: str, multipart_id: str) -> None:
        """MinIO lists what was begun under a whole key also after a restart."""
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
        """Asked without a prefix: MinIO takes one for a whole key."""
        for page in self._pages("list_multipart_uploads"):
            yield [
                Parts(found["Key"], found["UploadId"], found["Initiated"])
                for found in page.get("Uploads", ())
            ]

    def head(self, key: str) -> StoredObject | None:
        """A 404 is believed only of a bucket that is there."""
        with answering():
            try:
                found = self.client.head_object(Bucket=self.bucket, Key=key)
            except ClientError as error:
                self._believe_missing(error)
                return None
        return StoredObject(key, found["ContentLength"], found["LastModified"], found["ETag"])

    def copy(self, source: str, target: str, *, etag: str, content_type: str) -> bool:
        """Of at most 5 GiB; what a form may have said of its bytes is not copied.

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
        """The bucket is not asked: the caller does, before it believes a False."""
        with answering():
            try:
                self.quick_client.head_object(Bucket=self.bucket, Key=key)
            except ClientError as error:
                if is_missing(error):
                    return False
                raise
            return True

    def read(self, key: str, count: int | None = None, *, start: int = 0) -> bytes | None:
        last = "" if count is None else start + count - 1
        ranged = {"Range": f"bytes={start}-{last}"} if start or count is not None else {}
        with answering():
            try:
                answer = self.client.get_object(Bucket=self.bucket, Key=key, **ranged)
                if start and not answer.get("ContentRange", "").startswith(f"bytes {start}-"):
                    raise OSError("storage sent other bytes than were asked for")
                with closing(answer["Body"]) as body:  # a server may send more than was asked for
                    return bytes(deadline.bound(body.read, count))
            except ClientError as error:
                if error.response["Error"]["Code"] == "InvalidRange":  # of an empty object
                    return b""
                self._believe_missing(error)
                return None

    def fetch(self, key: str, target: Path) -> bool:
        with answering(), target.open("wb") as file:
            try:
                body = self.client.get_object(Bucket=self.bucket, Key=key)["Body"]
            except ClientError as error:
                self._believe_missing(error)
                return False
            shutil.copyfileobj(body, file, 1024 * 1024)
            return True

    def delete(self, keys: list[str]) -> dict[str, str]:
        return s3_deletion.delete_keys(self.client, self.bucket, keys)

    def pages(self, prefix: str, after: str = "") -> Iterator[list[StoredObject]]:
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
        with answering():
            self.quick_client.head_bucket(Bucket=self.bucket)

    def seconds_ahead(self) -> float:
        """Any answer tells the time, also one that refuses us for our clock."""
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
        headers = response_headers(seconds, content_type, download_as)
        return s3_signatures.sign_link(self.public, key, headers, method=method, seconds=seconds)
