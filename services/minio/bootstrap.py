"""MinIO made ready for the app: the bucket, its backstop, its marker, and the app's user.

Runs at every start, with root's credentials, and corrects what differs: an `.env` with a new access
key over an old volume adds its user. That of the old one goes when `make up` or `make prod` has put
in place all that works with the new one, and runs this once more with `--forget`. Its input is the
environment that compose gives it, and the policy file that is its first argument.
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
PREFIXES = ("incoming/", "images/", "thumbs/", "files/", "zips/")
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


def has_secret(client: Minio, bucket: str) -> bool:
    """Whether the client's user has the client's secret, whatever else it may do."""
    try:
        next(iter(client.list_objects(bucket)), None)
    except S3Error as error:
        return error.code != "SignatureDoesNotMatch"
    return True


def users_of_policy(admin: MinioAdmin) -> set[str]:
    """The app's user, and those of its former keys."""
    users = json.loads(admin.user_list())
    return {name for name, user in users.items() if user.get("policyName") == POLICY_NAME}


def set_app_user(admin: MinioAdmin, policy: dict, *, access_key: str, secret_key: str) -> None:
    """The user of these keys; whoever works with former ones goes on until they are forgotten."""
    admin.policy_add(POLICY_NAME, policy=policy)
    known = users_of_policy(admin)
    admin.user_add(access_key, secret_key)  # also gives an old user the new secret
    if access_key not in known:
        admin.policy_set(POLICY_NAME, user=access_key)
    print(f"user {access_key}: may do what policy {POLICY_NAME} allows")
    former = sorted(known - {access_key})
    if former:  # the last line, by which the verbs know
        print(f"former users: {', '.join(former)}")


def forget_former_keys(admin: MinioAdmin, *, access_key: str) -> None:
    """Nothing uses the former keys any more: their users go."""
    for name in sorted(users_of_policy(admin) - {access_key}):
        admin.user_remove(name)
        print(f"user {name}: removed")


def main(policy_file: str, option: str = "") -> None:
    """All of it; each client repeats a request that the server is not ready for, for seconds.

    With `--forget` nothing but the last step, removing the users of former keys. With
    `--keep-secret` a user that is there keeps its secret, which a running site works with.
    """
    server = urlsplit(os.environ["AWS_S3_ENDPOINT_URL"])
    bucket = os.environ["AWS_STORAGE_BUCKET_NAME"]
    region = os.environ.get("AWS_S3_REGION_NAME") or "us-east-1"
    root = StaticProvider(os.environ["MINIO_ROOT_USER"], os.environ["MINIO_ROOT_PASSWORD"])
    secure = server.scheme == "https"
    client = Minio(server.netloc, credentials=root, region=region, secure=secure)
    admin = MinioAdmin(endpoint=server.netloc, credentials=root, region=region, secure=secure)

    access_key, secret_key = os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    if option == "--forget":
        forget_former_keys(admin, access_key=access_key)
        return
    app = Minio(
        server.netloc,
        credentials=StaticProvider(access_key, secret_key),
        region=region,
        secure=secure,
    )
    there = option == "--keep-secret" and access_key in users_of_policy(admin)
    if there and not has_secret(app, bucket):
        sys.exit(
            f"bootstrap: AWS_SECRET_ACCESS_KEY is another than {access_key} has, with which the"
            " site may be running: a new secret needs a new AWS_ACCESS_KEY_ID"
        )
    make_bucket(client, bucket)
    longest_life = int(os.environ.get("UPLOAD_TTL_MAX") or DAY)
    set_lifecycle(client, bucket, longest_life=longest_life)
    write_marker(client, bucket)
    policy = json.loads(Path(policy_file).read_text().replace("BUCKET", bucket))
    policy["Statement"] += FORBIDDEN
    set_app_user(admin, policy, access_key=access_key, secret_key=secret_key)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except KeyError as missing:
        sys.exit(f"bootstrap: {missing.args[0]} is missing; `make .env` makes it")
    except (S3Error, MinioAdminException, HTTPError) as error:
        sys.exit(f"bootstrap: {error}")
