"""What only a trial of a bucket asks of S3, never the app itself; see uploads.bucket_trial."""

import re
from typing import Any

from botocore.awsrequest import AWSRequest
from urllib3.filepost import encode_multipart_formdata

from uploads.errors import StorageUnavailable
from uploads.storage.protocol import NO_ANSWER, Ticket
from uploads.storage.s3 import S3, answering


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
        answer = s3.client._endpoint.http_session.send(request)
    if answer.status_code >= 500 and answer.status_code != 501:
        raise StorageUnavailable(NO_ANSWER) from OSError(
            f"{method} is answered {answer.status_code}"
        )
    return answer
