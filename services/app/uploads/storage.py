"""Where the bytes are: S3, or the local disk. Nothing else imports boto3 or storages.

Both implementations answer alike, and raise StorageUnavailable for everything that is not an
answer: a timeout, a 403, a 5xx, a missing bucket. Only "it is not there" of a bucket that is there
counts as not there.
"""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import IO, Any, Literal, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.conf import settings
from django.core import signing
from django.urls import reverse
from django.utils.http import content_disposition_header
from django.utils.translation import gettext_lazy
from storages.backends.s3 import S3Storage

from uploads.errors import StorageUnavailable

MARKER_KEY = "marker"  # its body is the installation's id; see uploads.bucket
DELETE_MAX = 1000  # keys; what one DeleteObjects takes
LOCAL_SALT = "uploads.storage.LocalDisk"
LOCAL_TICKET_SALT = "uploads.storage.LocalDisk.ticket"
LOCAL_PARTS = "parts"  # the local folder of files that are not whole yet
NO_ANSWER = gettext_lazy("Storage does not answer at the moment. Please try again in a minute.")
Method = Literal["GET", "HEAD"]


@dataclass(frozen=True)
class StoredObject:
    """What storage knows of one object."""

    key: str
    size_bytes: int
    modified_at: datetime


@dataclass(frozen=True)
class Ticket:
    """Where and how a client sends the bytes of one upload: a form, whose last field is `file`."""

    method: Literal["POST"]
    url: str  # the local disk's is a path of the app
    fields: dict[str, str]


@dataclass(frozen=True)
class Parts:
    """An object that arrives in parts, and is not there until they are joined."""

    key: str
    multipart_id: str
    begun_at: datetime


class Storage(Protocol):
    """What the lifecycle asks of storage. Every method may raise StorageUnavailable."""

    def prepare(self) -> None:
        """Make what the app itself can make: a local folder. A bucket is its owner's to make."""

    def put(self, key: str, content: IO[bytes], *, content_type: str) -> None:
        """Store the content under the key, whole or not at all. One request."""

    def ticket(self, key: str, *, size_bytes: int, content_type: str, seconds: int) -> Ticket:
        """What lets a client store exactly so many bytes under the key. No request."""

    def begin_parts(self, key: str, *, content_type: str) -> str:
        """The id of a new multipart upload: the object will come in parts."""

    def put_part(self, key: str, multipart_id: str, number: int, content: bytes) -> str:
        """Store one part, numbered from 1; what `join_parts` wants to know of it."""

    def join_parts(self, key: str, multipart_id: str, parts: list[str]) -> None:
        """Make the object of its parts, in their order."""

    def abort_parts(self, key: str, multipart_id: str) -> None:
        """Drop the parts; also where that was done before, or they were joined."""

    def list_parts(self) -> Iterator[list[Parts]]:
        """What has been begun in parts and is neither joined nor aborted, in pages."""

    def head(self, key: str) -> StoredObject | None:
        """The object, or None where the key is not there."""

    def exists_quickly(self, key: str) -> bool:
        """Whether the key is there, asked once and for at most a second."""

    def read(self, key: str, count: int | None = None) -> bytes | None:
        """The object's first `count` bytes (all of them: None), or None where it is not there."""

    def fetch(self, key: str, target: Path) -> bool:
        """Write the object to the file; whether it was there."""

    def delete(self, keys: list[str]) -> dict[str, str]:
        """Delete up to DELETE_MAX keys in one request; the errors, by key, of those that stay."""

    def list(self, prefix: str) -> Iterator[list[StoredObject]]:
        """The objects under `prefix/` in the order of their keys' bytes, in pages."""

    def check_bucket(self) -> None:
        """Return where the bucket itself answers."""

    def url(
        self,
        key: str,
        *,
        seconds: int,
        method: Method = "GET",
        content_type: str,
        download_as: str | None,
    ) -> str:
        """A signed address for `seconds`; shown inline, or downloaded under the name given."""


@cache
def storage() -> Storage:
    """The storage that USE_S3 chooses. One a process, made after the fork."""
    return S3() if settings.USE_S3 else LocalDisk(Path(settings.MEDIA_ROOT))


def response_headers(seconds: int, content_type: str, download_as: str | None) -> dict[str, str]:
    """What storage answers with the bytes: how long a browser may keep them, and as what."""
    disposition = content_disposition_header(download_as is not None, download_as or "")
    return {
        "Cache-Control": f"private, max-age={seconds}",
        "Content-Type": content_type,
        "Content-Disposition": disposition or "inline",
    }


# --- S3 ------------------------------------------------------------------------------------------


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
        raise StorageUnavailable(NO_ANSWER) from error


class S3:
    """A bucket. Calls are bounded well under the 30 s after which Heroku's router gives up."""

    def __init__(self) -> None:
        self.bucket = settings.AWS_STORAGE_BUCKET_NAME
        self.storage = s3_storage(settings.AWS_S3_ENDPOINT_URL, connect=2, read=8, attempts=2)
        self.client = self.storage.connection.meta.client
        quick = s3_storage(settings.AWS_S3_ENDPOINT_URL, connect=0.5, read=0.5, attempts=1)
        self.quick_client = quick.connection.meta.client
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
            begun = self.client.create_multipart_upload(
                Bucket=self.bucket, Key=key, ContentType=content_type
            )
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
        """See Storage."""
        with answering():
            try:
                self.client.abort_multipart_upload(
                    Bucket=self.bucket, Key=key, UploadId=multipart_id
                )
            except ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchUpload":
                    raise

    def list_parts(self) -> Iterator[list[Parts]]:
        """See Storage. Asked without a prefix: MinIO takes one for a whole key."""
        pages = iter(
            self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket)
        )
        while True:
            with answering():
                page = next(pages, None)
            if page is None:
                return
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
                if is_missing(error):
                    self.client.head_bucket(Bucket=self.bucket)
                    return None
                raise
        return StoredObject(key, found["ContentLength"], found["LastModified"])

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
                return bytes(answer["Body"].read())
            except ClientError as error:
                if is_missing(error):
                    self.client.head_bucket(Bucket=self.bucket)
                    return None
                raise

    def fetch(self, key: str, target: Path) -> bool:
        """See Storage."""
        with answering(), target.open("wb") as file:
            try:
                body = self.client.get_object(Bucket=self.bucket, Key=key)["Body"]
            except ClientError as error:
                if is_missing(error):
                    self.client.head_bucket(Bucket=self.bucket)
                    return False
                raise
            shutil.copyfileobj(body, file, 1024 * 1024)
            return True

    def delete(self, keys: list[str]) -> dict[str, str]:
        """See Storage. S3 answers 200 also where single keys failed, so `Errors` is read."""
        with answering():
            answer = self.client.delete_objects(
                Bucket=self.bucket,
                Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True},
            )
        return {error["Key"]: error.get("Message", "") for error in answer.get("Errors", ())}

    def list(self, prefix: str) -> Iterator[list[StoredObject]]:
        """See Storage."""
        pages = iter(
            self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=f"{prefix}/"
            )
        )
        while True:
            with answering():
                page = next(pages, None)
            if page is None:
                return
            yield [
                StoredObject(found["Key"], found["Size"], found["LastModified"])
                for found in page.get("Contents", ())
            ]

    def check_bucket(self) -> None:
        """See Storage."""
        with answering():
            self.quick_client.head_bucket(Bucket=self.bucket)

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


# --- Local disk ----------------------------------------------------------------------------------


class LocalDisk:
    """A folder, for one machine. Its signed addresses are the app's own, under `/storage/`."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: str) -> Path:
        """The key's file; raises ValueError where a key would lead out of the folder."""
        path = self.root / key
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise ValueError(f"{key} leads out of the storage folder")
        return path

    def prepare(self) -> None:
        """See Storage."""
        with answering():
            self.root.mkdir(parents=True, exist_ok=True)

    def put(self, key: str, content: IO[bytes], *, content_type: str) -> None:
        """Written beside its place and moved there. What a kill leaves behind is listed as an
        object without a row, which reconcile removes."""
        path = self.path(key)
        with self._answering():
            path.parent.mkdir(exist_ok=True)
            with tempfile.NamedTemporaryFile(
                dir=path.parent, prefix=f"{path.name}.", delete=False
            ) as part:
                try:
                    shutil.copyfileobj(content, part, 1024 * 1024)
                    part.flush()
                    os.fsync(part.fileno())
                    os.replace(part.name, path)
                except BaseException:
                    with suppress(FileNotFoundError):
                        os.unlink(part.name)
                    raise

    def ticket(self, key: str, *, size_bytes: int, content_type: str, seconds: int) -> Ticket:
        """See Storage. The fields are S3's, so that a client sends both alike; only the address,
        which is signed, counts."""
        signed = signing.dumps(
            {"key": key, "size": size_bytes, "until": int(time.time()) + seconds},
            salt=LOCAL_TICKET_SALT,
            compress=True,
        )
        url = reverse("local-storage", args=[signed])
        return Ticket("POST", url, {"key": key, "Content-Type": content_type})

    def open_ticket(self, signed: str) -> tuple[str, int] | None:
        """The key and the exact size that a ticket's address stands for; None where it is forged
        or has run out."""
        try:
            content = signing.loads(signed, salt=LOCAL_TICKET_SALT)
        except signing.BadSignature:
            return None
        return None if content["until"] <= time.time() else (content["key"], content["size"])

    def begin_parts(self, key: str, *, content_type: str) -> str:
        """See Storage. One file, to which the parts are appended."""
        folder = self.root / LOCAL_PARTS
        with self._answering():
            folder.mkdir(exist_ok=True)
            prefix = f"{key.replace('/', '.')}."
            with tempfile.NamedTemporaryFile(dir=folder, prefix=prefix, delete=False) as file:
                return Path(file.name).name

    def put_part(self, key: str, multipart_id: str, number: int, content: bytes) -> str:
        """See Storage."""
        with self._answering(), self._parts(multipart_id).open("r+b") as file:
            file.seek(0, os.SEEK_END)
            file.write(content)
        return ""

    def join_parts(self, key: str, multipart_id: str, parts: list[str]) -> None:
        """See Storage."""
        path = self.path(key)
        with self._answering():
            path.parent.mkdir(exist_ok=True)
            with self._parts(multipart_id).open("rb") as file:
                os.fsync(file.fileno())
            os.replace(self._parts(multipart_id), path)

    def abort_parts(self, key: str, multipart_id: str) -> None:
        """See Storage."""
        with self._answering():
            self._parts(multipart_id).unlink(missing_ok=True)

    def list_parts(self) -> Iterator[list[Parts]]:
        """See Storage."""
        folder = self.root / LOCAL_PARTS
        page = []
        with self._answering():
            for path in folder.iterdir() if folder.is_dir() else ():
                with suppress(FileNotFoundError):  # joined since it was listed
                    begun_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
                    key = path.name.rpartition(".")[0].replace(".", "/", 1)
                    page.append(Parts(key, path.name, begun_at))
        yield page

    def _parts(self, multipart_id: str) -> Path:
        return self.path(f"{LOCAL_PARTS}/{multipart_id}")

    def head(self, key: str) -> StoredObject | None:
        """See Storage."""
        with self._answering():
            try:
                return stored_file(key, self.path(key))
            except FileNotFoundError:
                return None

    def exists_quickly(self, key: str) -> bool:
        """See Storage."""
        return self.head(key) is not None

    def read(self, key: str, count: int | None = None) -> bytes | None:
        """See Storage."""
        with self._answering():
            try:
                with self.path(key).open("rb") as file:
                    return file.read(-1 if count is None else count)
            except FileNotFoundError:
                return None

    def fetch(self, key: str, target: Path) -> bool:
        """See Storage."""
        with self._answering():
            try:
                shutil.copyfile(self.path(key), target)
            except FileNotFoundError:
                return False
            return True

    def delete(self, keys: list[str]) -> dict[str, str]:
        """See Storage."""
        self.check_bucket()
        errors = {}
        for key in keys:
            try:
                self.path(key).unlink(missing_ok=True)
            except OSError as error:
                errors[key] = str(error)
        return errors

    def list(self, prefix: str) -> Iterator[list[StoredObject]]:
        """See Storage."""
        folder = self.root / prefix
        with self._answering():
            names = sorted(os.listdir(folder)) if folder.is_dir() else []
        for start in range(0, len(names), DELETE_MAX):
            page = []
            for name in names[start : start + DELETE_MAX]:
                with suppress(FileNotFoundError):  # deleted since it was listed
                    page.append(stored_file(f"{prefix}/{name}", folder / name))
            yield page

    def check_bucket(self) -> None:
        """See Storage. The folder is made once, when it is paired with the database: one that has
        gone since is a disk that is not mounted, and must not look like an empty one."""
        if not self.root.is_dir():
            raise StorageUnavailable(NO_ANSWER)

    def url(
        self,
        key: str,
        *,
        seconds: int,
        method: Method = "GET",
        content_type: str,
        download_as: str | None,
    ) -> str:
        """See Storage. One signature serves GET and HEAD."""
        signed = signing.dumps(
            {
                "key": key,
                "until": int(time.time()) + seconds,
                "headers": response_headers(seconds, content_type, download_as),
            },
            salt=LOCAL_SALT,
            compress=True,
        )
        return reverse("local-storage", args=[signed])

    def open_signed(self, signed: str) -> tuple[IO[bytes], dict[str, str]] | None:
        """The file and the headers that an address of `url` stands for; None where the signature
        is forged or has run out, or the file has gone."""
        try:
            content = signing.loads(signed, salt=LOCAL_SALT)
        except signing.BadSignature:
            return None
        if content["until"] <= time.time():
            return None
        with self._answering():
            try:
                return self.path(content["key"]).open("rb"), content["headers"]
            except FileNotFoundError:
                return None

    @contextmanager
    def _answering(self) -> Iterator[None]:
        self.check_bucket()
        with answering():
            yield


def stored_file(key: str, path: Path) -> StoredObject:
    """What the disk knows of one file; raises FileNotFoundError."""
    stat = path.stat()
    return StoredObject(key, stat.st_size, datetime.fromtimestamp(stat.st_mtime, UTC))
