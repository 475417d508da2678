"""What a bucket on S3 must be and do beside storing: set by its owner, verified by each release.

The lifecycle rules are the backstop for what the sweeps forgot, never the mechanism.
"""

import io
import math
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError
from django.conf import settings

from uploads.errors import StorageUnavailable
from uploads.models import OWNERS
from uploads.storage import S3
from uploads.storage.s3 import answering

DAY = 24 * 60 * 60  # seconds
OURS = "s3tasks-"  # how the ids of our rules begin; others in the bucket stay
ABORT = f"{OURS}abort-multipart"


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it must be, in a sentence that says what to do."""

    sentence: str
    fatal: bool = False  # uploads are impossible, or can't be deleted


def days() -> int:
    """After how many days whatever was forgotten goes: one more than anything may live."""
    return math.ceil(settings.UPLOAD_TTL_MAX / DAY) + 1


def origins() -> list[str]:
    """The pages that may send uploads to the bucket, as far as the settings know them."""
    hosts = settings.ALLOWED_HOSTS if settings.SECURE_SSL_REDIRECT else []
    return [f"https://{host}" for host in hosts if host != "*" and not host.startswith(".")]


# --- Set ------------------------------------------------------------------------------------------


def set_rules(s3: S3, allowed: list[str]) -> Iterator[str]:
    """Set CORS for these origins and the lifecycle rules; what was done, or can't be done here.

    Raises StorageUnavailable, or ValueError where the bucket keeps versions.
    """
    if keeps_versions(s3):
        raise ValueError(
            "The bucket keeps versions: what is deleted would stay readable. Suspend versioning and"
            " delete the old versions, or take another bucket."
        )
    yield from set_cors(s3, allowed)
    yield from set_lifecycle(s3)


def set_cors(s3: S3, allowed: list[str]) -> Iterator[str]:
    """Let the pages of these origins send uploads, and read what was answered."""
    rule = {
        "ID": f"{OURS}uploads",
        "AllowedOrigins": allowed,
        "AllowedMethods": ["POST", "GET", "HEAD"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": 3600,
    }
    others = [r for r in cors_rules(s3) if not r.get("ID", "").startswith(OURS)]
    with answering():
        try:
            s3.client.put_bucket_cors(
                Bucket=s3.bucket, CORSConfiguration={"CORSRules": [*others, rule]}
            )
        except ClientError as error:
            if not is_unknown(error):
                raise
            yield "CORS: this server knows it for all buckets only; set it there."
            return
    yield f"CORS: {', '.join(allowed)} may send uploads."


def set_lifecycle(s3: S3) -> Iterator[str]:
    """Let the bucket itself delete what is older than anything may live, and parts left behind."""
    expirations = [
        {
            "ID": f"{OURS}{prefix}",
            "Status": "Enabled",
            "Filter": {"Prefix": f"{prefix}/"},
            "Expiration": {"Days": days()},
        }
        for prefix in OWNERS
    ]
    abort = {
        "ID": ABORT,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": days()},
    }
    others = [r for r in lifecycle_rules(s3) if not r.get("ID", "").startswith(OURS)]
    with answering():
        try:
            put_lifecycle(s3, [*others, *expirations, abort])
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] not in {400, 501}:
                raise
            put_lifecycle(s3, [*others, *expirations])
            yield "Lifecycle: this server takes no rule that aborts multipart uploads."
    yield f"Lifecycle: uploads go after {days()} days at the latest."


def put_lifecycle(s3: S3, rules: list[dict[str, Any]]) -> None:
    """Replace the bucket's rules."""
    s3.client.put_bucket_lifecycle_configuration(
        Bucket=s3.bucket, LifecycleConfiguration={"Rules": rules}
    )


# --- Verify ---------------------------------------------------------------------------------------


def verify(s3: S3) -> Iterator[Finding]:
    """What is not as it must be. About ten requests; raises StorageUnavailable where the bucket
    does not answer at all."""
    s3.check_bucket()
    yield from try_out(s3)
    for look in (find_versions, find_region, find_lifecycle, find_cors):
        try:
            yield from look(s3)
        except StorageUnavailable as error:
            yield Finding(f"Not verified, {error.__cause__}; see compose/s3-policy.json.")


def find_versions(s3: S3) -> Iterator[Finding]:
    """Deleted means gone."""
    if keeps_versions(s3):
        yield Finding("The bucket keeps versions: what is deleted stays readable.", fatal=True)


def find_region(s3: S3) -> Iterator[Finding]:
    """The region is a part of every signature."""
    if on_aws() and (region := region_of(s3)) != settings.AWS_S3_REGION_NAME:
        yield Finding(
            f"The bucket is in {region}: AWS_S3_REGION_NAME={settings.AWS_S3_REGION_NAME} signs"
            " addresses that it refuses.",
            fatal=True,
        )


def find_lifecycle(s3: S3) -> Iterator[Finding]:
    """The backstop. Servers other than AWS drop abandoned parts themselves, MinIO after a day."""
    rules = [r for r in lifecycle_rules(s3) if r.get("Status") == "Enabled"]
    expiring = {prefix_of(r) for r in rules if "Expiration" in r}
    for prefix in OWNERS:
        if not {"", f"{prefix}/"} & expiring:
            yield Finding(f"No lifecycle rule expires {prefix}/: `manage.py setup_bucket` sets it.")
    if on_aws() and not any("AbortIncompleteMultipartUpload" in r for r in rules):
        yield Finding("No lifecycle rule aborts multipart uploads: `manage.py setup_bucket`.")


def find_cors(s3: S3) -> Iterator[Finding]:
    """What lets the scripts of our pages send uploads. Other servers than AWS set it elsewhere."""
    if not on_aws():
        return
    rules = [r for r in cors_rules(s3) if "POST" in r["AllowedMethods"]]
    welcome = {origin for rule in rules for origin in rule["AllowedOrigins"]}
    for origin in origins():
        if not {"*", origin} & welcome:
            yield Finding(
                f"CORS does not let pages of {origin} send uploads: `manage.py setup_bucket`;"
                " until then only the forms without scripts work."
            )


def on_aws() -> bool:
    """Whether the bucket is AWS's own."""
    return not settings.AWS_S3_ENDPOINT_URL


def try_out(s3: S3) -> Iterator[Finding]:
    """Store, begin in parts and delete, as the app does."""
    key = f"incoming/{uuid.uuid4()}"
    steps: list[tuple[str, Callable[[], object]]] = [
        ("store", lambda: s3.put(key, io.BytesIO(b"?"), content_type="text/plain")),
        ("abort parts", lambda: s3.abort_parts(key, s3.begin_parts(key, content_type="x/y"))),
        ("list parts", lambda: next(s3.list_parts())),
    ]
    for what, step in steps:
        try:
            step()
        except StorageUnavailable as error:
            yield Finding(f"The app may not {what} in the bucket: {error.__cause__}", fatal=True)
    for problem in s3.delete([key]).values():
        yield Finding(f"The app may not empty the bucket: {problem}", fatal=True)


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


def prefix_of(rule: dict[str, Any]) -> str:
    """Which keys a lifecycle rule is about."""
    return str(rule.get("Filter", {}).get("Prefix", rule.get("Prefix", "")))


def is_unknown(error: ClientError) -> bool:
    """Whether the server does not know the call at all."""
    return error.response["Error"]["Code"] in {"NotImplemented", "MethodNotAllowed"}
