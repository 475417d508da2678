"""MinIO made ready for the app: the bucket, its backstop, its marker, and the app's user.

Runs at every start, with root's credentials, and corrects what differs: an `.env` with a new access
key over an old volume leaves one user, the new one. Its input is the environment that compose gives
it, and the policy file that is its one argument.
"""

import io
import json
import math
import os
import sys
import uuid
from pathlib import Path
from urllib.parse import urlsplit

from minio import Minio, MinioAdmin
from minio.commonconfig import ENABLED, Filter
from minio.credentials import StaticProvider
from minio.error import MinioAdminException, S3Error
from minio.lifecycleconfig import Expiration, LifecycleConfig, Rule
from urllib3.exceptions import HTTPError

POLICY_NAME = "s3tasks"
# Where uploads live. The marker lies beside them and must outlive every rule.
PREFIXES = ("incoming/", "images/", "thumbs/", "files/")
MARKER_KEY = "marker"
DAY = 24 * 60 * 60  # seconds
# Every user of MinIO's may make itself service accounts, another password and temporary keys, which
# a change of its secret does not end. The first two are a matter of policy; the third is not, so
# that such keys, and service accounts of former days, get nothing:
# https://github.com/minio/minio/blob/7aac2a2c5b7c/cmd/bucket-policy.go (principaltype)
FORBIDDEN = [
    {"Effect": "Deny", "Action": ["admin:*"]},
    {
        "Effect": "Deny",
        "Action": ["s3:*"],
        "Resource": ["arn:aws:s3:::*"],
        "Condition": {"StringEquals": {"aws:principaltype": ["AssumedRole"]}},
    },
]


def make_bucket(client: Minio, bucket: str) -> None:
    """The bucket, where there was none."""
    if client.bucket_exists(bucket):
        return
    client.make_bucket(bucket)
    print(f"bucket {bucket}: made")


def set_lifecycle(client: Minio, bucket: str, *, longest_life: int) -> None:
    """The backstop: what the sweeps forgot goes, a day or two after the longest life they allow."""
    days = math.ceil(longest_life / DAY) + 1
    rules = [
        Rule(
            ENABLED,
            rule_filter=Filter(prefix=prefix),
            rule_id=prefix.rstrip("/"),
            expiration=Expiration(days=days),
        )
        for prefix in PREFIXES
    ]
    client.set_bucket_lifecycle(bucket, LifecycleConfig(rules))
    print(f"bucket {bucket}: uploads expire after {days} days at the latest")


def write_marker(client: Minio, bucket: str) -> None:
    """An id for the installation to adopt, only in an empty bucket: a full one is somebody's."""
    if any(client.list_objects(bucket)):
        return
    body = str(uuid.uuid4()).encode()
    client.put_object(bucket, MARKER_KEY, io.BytesIO(body), len(body), "text/plain")
    print(f"bucket {bucket}: marker {body.decode()}")


def set_app_user(admin: MinioAdmin, policy: dict, *, access_key: str, secret_key: str) -> None:
    """The one user that the policy belongs to; those of former keys go."""
    admin.policy_add(POLICY_NAME, policy=policy)
    users = json.loads(admin.user_list())
    for name in users:
        if name != access_key and users[name].get("policyName") == POLICY_NAME:
            admin.user_remove(name)
            print(f"user {name}: removed")
    admin.user_add(access_key, secret_key)  # also gives an old user the new secret
    if users.get(access_key, {}).get("policyName") != POLICY_NAME:
        admin.policy_set(POLICY_NAME, user=access_key)
    print(f"user {access_key}: may do what policy {POLICY_NAME} allows")


def main(policy_file: str) -> None:
    """All of it; each client repeats a request that the server is not ready for, for seconds."""
    server = urlsplit(os.environ["AWS_S3_ENDPOINT_URL"])
    bucket = os.environ["AWS_STORAGE_BUCKET_NAME"]
    region = os.environ.get("AWS_S3_REGION_NAME") or "us-east-1"
    root = StaticProvider(os.environ["MINIO_ROOT_USER"], os.environ["MINIO_ROOT_PASSWORD"])
    secure = server.scheme == "https"
    client = Minio(server.netloc, credentials=root, region=region, secure=secure)
    admin = MinioAdmin(endpoint=server.netloc, credentials=root, region=region, secure=secure)

    make_bucket(client, bucket)
    longest_life = int(os.environ.get("UPLOAD_TTL_MAX") or DAY)
    set_lifecycle(client, bucket, longest_life=longest_life)
    write_marker(client, bucket)
    policy = json.loads(Path(policy_file).read_text().replace("BUCKET", bucket))
    policy["Statement"] += FORBIDDEN
    set_app_user(
        admin,
        policy,
        access_key=os.environ["AWS_ACCESS_KEY_ID"],
        secret_key=os.environ["AWS_SECRET_ACCESS_KEY"],
    )


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyError as missing:
        sys.exit(f"bootstrap: {missing.args[0]} is missing; `make .env` makes it")
    except (S3Error, MinioAdminException, HTTPError) as error:
        sys.exit(f"bootstrap: {error}")
