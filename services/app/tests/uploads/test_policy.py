"""compose/s3-policy.json against the calls that the app makes: all of them, and nothing else."""

import ast
import fnmatch
import json

import boto3

from support import APP, ROOT
from uploads.keys import MARKER, PREFIXES

# The actions that AWS asks for, by the call:
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
OBJECT_ACTIONS = {
    "abort_multipart_upload": {"s3:AbortMultipartUpload"},
    "complete_multipart_upload": {"s3:PutObject"},
    "copy_object": {"s3:GetObject", "s3:PutObject"},
    "create_multipart_upload": {"s3:PutObject"},
    "delete_object": {"s3:DeleteObject"},
    "delete_objects": {"s3:DeleteObject"},
    "get_object": {"s3:GetObject"},
    "head_object": {"s3:GetObject"},
    "put_object": {"s3:PutObject"},
    "upload_part": {"s3:PutObject"},
}
BUCKET_ACTIONS = {
    "get_bucket_cors": {"s3:GetBucketCORS"},
    "get_bucket_lifecycle_configuration": {"s3:GetLifecycleConfiguration"},
    "get_bucket_location": {"s3:GetBucketLocation"},
    "get_bucket_versioning": {"s3:GetBucketVersioning"},
    "head_bucket": {"s3:ListBucket"},
    "list_multipart_uploads": {"s3:ListBucketMultipartUploads"},
    "list_objects_v2": {"s3:ListBucket"},
}
# `setup_bucket` makes these, with the keys of somebody who may.
DEPLOYERS = {"put_bucket_cors", "put_bucket_lifecycle_configuration"}
# Ceph asks for the first, and versitygw for the second, on the bucket itself.
ALSO_ON_THE_BUCKET = {"s3:DeleteObject", "s3:PutObject"}


def calls() -> set[str]:
    """The operations of S3 that the adapters of storage name, as methods or as words."""
    operations = set(boto3.client("s3", region_name="us-east-1").meta.method_to_api_mapping)
    named = set()
    for path in (APP / "uploads" / "storage").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                named.add(node.attr)
            elif isinstance(node, ast.Constant):
                named.add(str(node.value))
    return named & operations


def allowed() -> dict[str, set[str]]:
    """The policy's actions, by the resource."""
    found: dict[str, set[str]] = {}
    for statement in json.loads((ROOT / "compose" / "s3-policy.json").read_text())["Statement"]:
        assert statement["Effect"] == "Allow"
        assert set(statement) == {"Sid", "Effect", "Action", "Resource"}
        resources, actions = statement["Resource"], statement["Action"]
        for resource in [resources] if isinstance(resources, str) else resources:
            name = resource.removeprefix("arn:aws:s3:::")
            found.setdefault(name, set()).update([actions] if isinstance(actions, str) else actions)
    return found


def needed(by_call: dict[str, set[str]]) -> set[str]:
    """The actions that the app's calls of this kind need."""
    return set().union(*(by_call[call] for call in calls() & set(by_call)))


def test_every_call_is_known_to_these_tests():
    assert calls() - DEPLOYERS == set(OBJECT_ACTIONS) | set(BUCKET_ACTIONS)


def test_the_app_may_do_to_uploads_what_it_does_and_no_more():
    policy = allowed()
    for prefix in PREFIXES:
        assert policy.pop(f"BUCKET/{prefix}/*") == needed(OBJECT_ACTIONS)
    assert policy.pop(f"BUCKET/{MARKER}") == {"s3:GetObject", "s3:PutObject"}
    assert set(policy) == {"BUCKET"}


def test_the_app_may_do_to_the_bucket_what_it_does_and_no_more():
    patterns = allowed()["BUCKET"]
    actions = needed(BUCKET_ACTIONS) | ALSO_ON_THE_BUCKET
    matched = {
        action: {each for each in patterns if fnmatch.fnmatchcase(action, each)}
        for action in actions
    }
    assert not [action for action, by in matched.items() if not by]
    assert patterns == set().union(*matched.values())
