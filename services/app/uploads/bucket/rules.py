"""The rules of a bucket on S3 (CORS, lifecycle, versions): set by its owner, verified by each
release.

The lifecycle rules are the backstop for objects that the sweeps forgot, never the mechanism.
"""

import math
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from uploads.bucket.trial import try_out
from uploads.errors import StorageUnavailable
from uploads.keys import PREFIXES
from uploads.storage import S3
from uploads.storage.s3_admin import (
    Unknown,
    cors_rules,
    keeps_versions,
    lifecycle_rules,
    preflight,
    put_cors,
    put_lifecycle,
    region_of,
)

DAY = 24 * 60 * 60  # seconds
OURS = "s3tasks-"  # the prefix of our rules' ids; other rules of the bucket are kept
ABORT = f"{OURS}abort-multipart"
NO_LIFECYCLE = (
    "Lifecycle: this server supports no rules, so only the app's own sweeps delete anything."
)
VERSIONS = (
    "The bucket keeps versions: what is deleted would stay readable. Suspend versioning and delete"
    " the old versions, or take another bucket."
)


@dataclass(frozen=True)
class Finding:
    """One fault, in a sentence that says what to do about it."""

    sentence: str
    fatal: bool = False  # uploads would be impossible, or could not be deleted


def days() -> int:
    """After how many days the backstop deletes an object: a day more than any upload may live."""
    return math.ceil(settings.UPLOAD_TTL_MAX / DAY) + 1


def origins() -> list[str]:
    """The origins of the pages that may send uploads to the bucket, as far as the settings name
    them."""
    hosts = settings.ALLOWED_HOSTS if settings.SECURE_SSL_REDIRECT else []
    port = f":{settings.HTTPS_PORT}" if settings.HTTPS_PORT != 443 else ""
    return [f"https://{host}{port}" for host in hosts if host != "*" and not host.startswith(".")]


# --- Set ------------------------------------------------------------------------------------------


def set_rules(s3: S3, allowed: list[str]) -> Iterator[str]:
    """Set CORS for these origins and the lifecycle rules; sentences for what was done, and for what
    this server can't do.

    Raises StorageUnavailable, or ValueError if the bucket keeps versions.
    """
    with suppress(Unknown):
        if keeps_versions(s3):
            raise ValueError(VERSIONS)
    yield from set_cors(s3, allowed)
    yield from set_lifecycle(s3)


def set_cors(s3: S3, allowed: list[str]) -> Iterator[str]:
    """Let pages of these origins send uploads, and read the answers."""
    rule = {
        "ID": f"{OURS}uploads",
        "AllowedOrigins": allowed,
        "AllowedMethods": ["POST", "GET", "HEAD"],
        "AllowedHeaders": ["*"],
        "ExposeHeaders": ["ETag"],
        "MaxAgeSeconds": 3600,
    }
    try:
        others = [r for r in cors_rules(s3) if not r.get("ID", "").startswith(OURS)]
        put_cors(s3, [*others, rule])
    except Unknown:
        yield "CORS: this server has one setting for all buckets; set it there."
    else:
        yield f"CORS: {', '.join(allowed)} may send uploads."


def set_lifecycle(s3: S3) -> Iterator[str]:
    """Let the bucket delete objects that are older than any upload may live, and abandoned
    parts."""
    expirations = [
        {
            "ID": f"{OURS}{prefix}",
            "Status": "Enabled",
            "Filter": {"Prefix": f"{prefix}/"},
            "Expiration": {"Days": days()},
        }
        for prefix in PREFIXES
    ]
    abort = {
        "ID": ABORT,
        "Status": "Enabled",
        "Filter": {"Prefix": ""},
        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": days()},
    }
    try:
        others = [r for r in lifecycle_rules(s3) if not r.get("ID", "").startswith(OURS)]
        if not put_lifecycle(s3, [*others, *expirations], optional=abort):
            yield "Lifecycle: this server supports no rule that aborts multipart uploads."
    except Unknown:
        yield NO_LIFECYCLE
    else:
        yield f"Lifecycle: uploads are deleted after {days()} days at the latest."


# --- Verify ---------------------------------------------------------------------------------------


def verify(s3: S3) -> Iterator[Finding]:
    """All faults of the bucket. About forty requests; raises StorageUnavailable if the bucket does
    not answer at all."""
    s3.check_bucket()
    for sentence in try_out(s3):
        yield Finding(sentence, fatal=True)
    looks = (
        (find_versions, "Versions: this server does not support them, so it keeps none."),
        (find_region, ""),
        (find_lifecycle, NO_LIFECYCLE),
        (find_cors, ""),
    )
    for look, without in looks:
        try:
            yield from look(s3)
        except Unknown:
            yield Finding(without)
        except StorageUnavailable as error:
            yield Finding(f"Not verified, {error.__cause__}; see compose/s3-policy.json.")


def find_versions(s3: S3) -> Iterator[Finding]:
    """Versioning must be off, or deleted bytes would stay readable."""
    if keeps_versions(s3):
        yield Finding("The bucket keeps versions: deleted bytes stay readable.", fatal=True)


def find_region(s3: S3) -> Iterator[Finding]:
    """The region must be right, because every signature contains it."""
    if on_aws() and (region := region_of(s3)) != settings.AWS_S3_REGION_NAME:
        yield Finding(
            f"The bucket is in {region}: AWS_S3_REGION_NAME={settings.AWS_S3_REGION_NAME} signs"
            " addresses that it refuses.",
            fatal=True,
        )


def find_lifecycle(s3: S3) -> Iterator[Finding]:
    """The backstop must be set. Servers other than AWS drop abandoned parts by themselves, MinIO
    after a day."""
    rules = [r for r in lifecycle_rules(s3) if r.get("Status") == "Enabled"]
    expiring = {prefix_of(r) for r in rules if "Expiration" in r}
    for prefix in PREFIXES:
        if not {"", f"{prefix}/"} & expiring:
            yield Finding(f"No lifecycle rule expires {prefix}/: `manage.py setup_bucket` sets it.")
    if on_aws() and not any("AbortIncompleteMultipartUpload" in r for r in rules):
        yield Finding("No lifecycle rule aborts multipart uploads: `manage.py setup_bucket`.")


def find_cors(s3: S3) -> Iterator[Finding]:
    """Our pages' scripts must be allowed to send uploads: by a rule of the bucket or, with MinIO
    and proxies, by a setting for all buckets."""
    try:
        rules = [rule for rule in cors_rules(s3) if "POST" in rule["AllowedMethods"]]
    except Unknown:
        rules = []
    patterns = [pattern for rule in rules for pattern in rule["AllowedOrigins"]]
    for origin in origins():
        welcome = any(matches(pattern, origin) for pattern in patterns)
        if not welcome and (on_aws() or not preflight(s3, origin)):
            yield Finding(
                f"CORS does not let pages of {origin} send uploads: `manage.py setup_bucket`, or"
                " the server's own setting; until then only the forms without scripts work."
            )


def matches(pattern: str, origin: str) -> bool:
    """Whether this origin matches a rule's, in which `*` stands for anything."""
    return bool(re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), origin))


def on_aws() -> bool:
    """Whether the bucket is AWS's own."""
    return not settings.AWS_S3_ENDPOINT_URL


def prefix_of(rule: dict[str, Any]) -> str:
    """The prefix of the keys that a lifecycle rule applies to."""
    return str(rule.get("Filter", {}).get("Prefix", rule.get("Prefix", "")))
