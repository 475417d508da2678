"""What moto leaves out of S3, a form's policy and a copy's condition; and servers that do worse.

https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
"""

import base64
import hashlib
import hmac
import json
import os
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import reduce
from typing import Any
from urllib.parse import unquote

from moto.s3.responses import S3Response

ANY_FORM = S3Response._bucket_response_post  # moto's own
ANY_COPY = S3Response.copy_object


def honour_policies(*, ignoring: str = "") -> Callable[..., Any]:
    """What answers a form, but for the one rule that it ignores: signature, time, length or key."""

    def post(response: S3Response, request: Any, bucket_name: str) -> Any:
        if "policy" in response.querystring:
            form = {name: values[0] for name, values in response.querystring.items()}
            sizes = len(response.body or b"")
            broken = {rule for rule in broken_rules(form, bucket_name, sizes) if rule != ignoring}
            if broken:
                code = "EntityTooLarge" if broken == {"length"} else "AccessDenied"
                return 403, {}, f"<Error><Code>{code}</Code></Error>"
        return ANY_FORM(response, request, bucket_name)

    return post


def copy_what_matches(response: S3Response) -> Any:
    """What answers a copy: only of the object that has the ETag which it names."""
    wanted = response.headers.get("x-amz-copy-source-if-match")
    source = unquote(response.headers["x-amz-copy-source"]).lstrip("/")
    found = response.backend.get_object(*source.split("/", 1))
    if wanted and found and found.etag != wanted:
        return 412, {}, "<Error><Code>PreconditionFailed</Code></Error>"
    return ANY_COPY(response)


def takes_no_form(response: S3Response, request: Any, bucket_name: str) -> Any:
    """What answers a form where the server knows none; DeleteObjects is a POST as well."""
    if "policy" in response.querystring:
        return 501, {}, "<Error><Code>NotImplemented</Code></Error>"
    return ANY_FORM(response, request, bucket_name)


def broken_rules(form: dict[str, str], bucket: str, size: int) -> Iterable[str]:
    """Each rule that the form breaks."""
    if not is_signed(form):
        yield "signature"
    policy = json.loads(base64.b64decode(form["policy"]))
    if datetime.fromisoformat(policy["expiration"]) < datetime.now(UTC):
        yield "time"
    for condition in policy["conditions"]:
        if isinstance(condition, dict):
            ((name, wanted),) = condition.items()
            if (bucket if name == "bucket" else form.get(name)) != wanted:
                yield name
        elif not condition[1] <= size <= condition[2]:
            yield "length"


def is_signed(form: dict[str, str]) -> bool:
    """Whether its signature is the one that the tests' secret makes."""
    _, *scope = form["x-amz-credential"].split("/")
    secret = f"AWS4{os.environ['AWS_SECRET_ACCESS_KEY']}".encode()

    def sign(key: bytes, text: str) -> bytes:
        return hmac.new(key, text.encode(), hashlib.sha256).digest()

    signature = reduce(sign, [*scope, form["policy"]], secret).hex()
    return hmac.compare_digest(signature, form["x-amz-signature"])
