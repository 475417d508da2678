"""A bucket's rules on S3, as they are and as they are set; see uploads.bucket_rules."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import ClientError

from uploads.storage.s3 import S3, answering

UNKNOWN = {"NotImplemented", "MethodNotAllowed"}


class Unknown(Exception):
    """The server does not know the call at all: of what it is about it has none."""


@contextmanager
def knowing() -> Iterator[None]:
    """Raise Unknown where the server does not know the call, else what `answering` raises.

    MinIO, versitygw and Garage answer 501, others 405.
    """
    with answering():
        try:
            yield
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if status in {405, 501} or error.response["Error"]["Code"] in UNKNOWN:
                raise Unknown from error
            raise


def keeps_versions(s3: S3) -> bool:
    """Whether a deleted object would stay readable as an old version. May raise Unknown."""
    with knowing():
        return bool(s3.client.get_bucket_versioning(Bucket=s3.bucket).get("Status") == "Enabled")


def region_of(s3: S3) -> str:
    """Where the bucket is."""
    with answering():
        found = s3.client.get_bucket_location(Bucket=s3.bucket)["LocationConstraint"]
    return str(found or "us-east-1")


def cors_rules(s3: S3) -> list[dict[str, Any]]:
    """The bucket's CORS rules. May raise Unknown."""
    with knowing():
        try:
            rules: list[dict[str, Any]] = s3.client.get_bucket_cors(Bucket=s3.bucket)["CORSRules"]
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchCORSConfiguration":
                return []
            raise
    return rules


def put_cors(s3: S3, rules: list[dict[str, Any]]) -> None:
    """Replace the bucket's CORS rules. May raise Unknown."""
    with knowing():
        s3.client.put_bucket_cors(Bucket=s3.bucket, CORSConfiguration={"CORSRules": rules})


def lifecycle_rules(s3: S3) -> list[dict[str, Any]]:
    """The bucket's lifecycle rules. May raise Unknown."""
    with knowing():
        try:
            answer = s3.client.get_bucket_lifecycle_configuration(Bucket=s3.bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchLifecycleConfiguration":
                return []
            raise
    rules: list[dict[str, Any]] = answer["Rules"]
    return rules


def put_lifecycle(s3: S3, rules: list[dict[str, Any]], optional: dict[str, Any]) -> bool:
    """Replace the bucket's lifecycle rules; False where the server does not take the optional.

    May raise Unknown.
    """

    def put(rules: list[dict[str, Any]]) -> None:
        s3.client.put_bucket_lifecycle_configuration(
            Bucket=s3.bucket, LifecycleConfiguration={"Rules": rules}
        )

    with knowing():
        try:
            put([*rules, optional])
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] not in {400, 501}:
                raise
            put(rules)
            return False
    return True
