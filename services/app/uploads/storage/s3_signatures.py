"""What S3 is asked to take or to give by a signature alone. Signing takes no request."""

from uploads.storage.protocol import Method, Ticket
from uploads.storage.s3_client import SharedClientStorage


def sign_ticket(
    public: SharedClientStorage, key: str, *, size_bytes: int, content_type: str, seconds: int
) -> Ticket:
    """A presigned POST: only its policy can bound a size. It binds the bucket, the key, the content
    type, the exact size and the end.

    https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
    """
    post = public.connection.meta.client.generate_presigned_post(
        public.bucket_name,
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


def sign_link(
    public: SharedClientStorage,
    key: str,
    headers: dict[str, str],
    *,
    method: Method,
    seconds: int,
) -> str:
    """The address that answers the key's bytes with the headers, for so many seconds, and to that
    method: HEAD on an address signed for GET is answered 403."""
    parameters = {f"Response{name.replace('-', '')}": value for name, value in headers.items()}
    return str(public.url(key, parameters=parameters, expire=seconds, http_method=method))
