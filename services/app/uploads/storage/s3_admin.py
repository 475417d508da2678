"""What only a bucket's operator and a release ask of S3, never the app at its work: the bucket's
rules, as they are and as they are set, and requests that nobody signed; see uploads.bucket."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError
from urllib3.filepost import encode_multipart_formdata

from uploads.errors import StorageUnavailable
from uploads.storage.protocol import NO_ANSWER, Ticket
from uploads.storage.s3 import S3
from uploads.storage.s3_errors import answering

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


def send_form(s3: S3, ticket: Ticket, content: bytes) -> tuple[int, str]:
    """The status that S3 answers to a visitor's form, and its word for it where it refuses.

    Sent to where the app reaches the bucket: the browsers' address may lead through a proxy that
    is not up yet, and a form's signature binds no host. Raises StorageUnavailable.
    """
    file = ("file", ("trial", content, "application/octet-stream"))
    body, content_type = encode_multipart_formdata([*ticket.fields.items(), file])
    answer = ask(s3, "POST", form_url(s3), {"Content-Type": content_type}, body)
    code = re.search(rb"<Code>(\w+)</Code>", answer.content)
    return answer.status_code, code[1].decode() if code else ""


def read_unsigned(s3: S3, key: str) -> int:
    """The status that S3 answers to somebody who asks for the object and has no signature.

    Raises StorageUnavailable.
    """
    signed = s3.client.generate_presigned_url("get_object", {"Bucket": s3.bucket, "Key": key})
    return int(ask(s3, "GET", signed.partition("?")[0]).status_code)


def preflight(s3: S3, origin: str) -> bool:
    """Whether a page of the origin may send forms, asked as a browser does before it sends one.

    https://fetch.spec.whatwg.org/#cors-preflight-fetch. Raises StorageUnavailable.
    """
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    answer = ask(s3, "OPTIONS", form_url(s3), headers)
    return answer.headers.get("Access-Control-Allow-Origin") in {"*", origin}


def delete_alone(s3: S3, key: str) -> None:
    """Delete the key and whatever was begun in parts under it; one that is not there is no error.

    Raises StorageUnavailable.
    """
    with answering():
        s3.client.delete_object(Bucket=s3.bucket, Key=key)
        begun = s3.client.list_multipart_uploads(Bucket=s3.bucket, Prefix=key)
    for upload in begun.get("Uploads", ()):
        s3.abort_parts(upload["Key"], upload["UploadId"])


def form_url(s3: S3) -> str:
    """Where the app itself would send a form."""
    return str(s3.client.generate_presigned_post(s3.bucket, "any")["url"])


def ask(
    s3: S3, method: str, url: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> Any:
    """The answer to a request that is signed by nothing but itself.

    On the client's own connection, which knows the proxy, the certificates and the timeouts. Raises
    StorageUnavailable, also where the server failed: that is no refusal.
    """
    request = AWSRequest(method, url, headers or {}, body).prepare()
    with answering():
        answer = s3.client._endpoint.http_session.send(request)  # noqa: SLF001  it has no other
    if answer.status_code >= 500 and answer.status_code != 501:
        raise StorageUnavailable(NO_ANSWER) from OSError(
            f"{method} is answered {answer.status_code}"
        )
    return answer
