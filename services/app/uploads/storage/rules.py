"""A bucket's rules on S3, as they are and as they are set; see uploads.bucket_rules."""

from typing import Any

from botocore.exceptions import ClientError

from uploads.storage.s3 import S3, answering


def keeps_versions(s3: S3) -> bool:
    """Whether a deleted object would stay readable as an old version."""
    with answering():
        return bool(s3.client.get_bucket_versioning(Bucket=s3.bucket).get("Status") == "Enabled")


def region_of(s3: S3) -> str:
    """Where the bucket is."""
    with answering():
        found = s3.client.get_bucket_location(Bucket=s3.bucket)["LocationConstraint"]
    return str(found or "us-east-1")


def cors_rules(s3: S3) -> list[dict[str, Any]]:
    """The bucket's CORS rules; none where it has none, or the server knows none for a bucket."""
    with answering():
        try:
            rules: list[dict[str, Any]] = s3.client.get_bucket_cors(Bucket=s3.bucket)["CORSRules"]
        except ClientError as error:
            if is_unknown(error) or error.response["Error"]["Code"] == "NoSuchCORSConfiguration":
                return []
            raise
    return rules


def put_cors(s3: S3, rules: list[dict[str, Any]]) -> bool:
    """Replace the bucket's CORS rules; False where the server knows none for a bucket."""
    with answering():
        try:
            s3.client.put_bucket_cors(Bucket=s3.bucket, CORSConfiguration={"CORSRules": rules})
        except ClientError as error:
            if not is_unknown(error):
                raise
            return False
    return True


def lifecycle_rules(s3: S3) -> list[dict[str, Any]]:
    """The bucket's lifecycle rules."""
    with answering():
        try:
            answer = s3.client.get_bucket_lifecycle_configuration(Bucket=s3.bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchLifecycleConfiguration":
                return []
            raise
    rules: list[dict[str, Any]] = answer["Rules"]
    return rules


def put_lifecycle(s3: S3, rules: list[dict[str, Any]], optional: dict[str, Any]) -> bool:
    """Replace the bucket's lifecycle rules; False where the server does not take the optional."""

    def put(rules: list[dict[str, Any]]) -> None:
        s3.client.put_bucket_lifecycle_configuration(
            Bucket=s3.bucket, LifecycleConfiguration={"Rules": rules}
        )

    with answering():
        try:
            put([*rules, optional])
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] not in {400, 501}:
                raise
            put(rules)
            return False
    return True


def is_unknown(error: ClientError) -> bool:
    """Whether the server does not know the call at all."""
    return error.response["Error"]["Code"] in {"NotImplemented", "MethodNotAllowed"}
