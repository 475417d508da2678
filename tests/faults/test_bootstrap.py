"""MinIO's bootstrap and Postgres' start, where `.env` is younger than the volumes."""

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.support.photos import photo
from tests.support.stack import Visitor, set_variables


def client(stack, access_key, secret_key):
    """A client of the stack's storage."""
    return boto3.client(
        "s3",
        endpoint_url=stack.storage,
        region_name="us-east-1",
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
        config=Config(signature_version="s3v4", s3={"addressing_style": "path"}),
    )


def test_the_backstop_spares_the_marker(stack):
    rules = stack.s3().get_bucket_lifecycle_configuration(Bucket="s3tasks")["Rules"]
    assert {rule["Filter"]["Prefix"] for rule in rules} == {
        "incoming/",
        "images/",
        "thumbs/",
        "files/",
        "zips/",
    }
    assert {rule["Expiration"]["Days"] for rule in rules} == {2}  # a day of life, and one more


def test_a_second_bootstrap_changes_nothing(stack):
    marker = stack.s3().get_object(Bucket="s3tasks", Key="marker")["Body"].read()
    stack.compose("run", "--rm", "--no-deps", "minio-bootstrap")
    assert stack.s3().get_object(Bucket="s3tasks", Key="marker")["Body"].read() == marker


def bootstrap(stack, *options, **values):
    """What the bootstrap says, with these values in place of `.env`'s, and with these options."""
    variables = [word for pair in values.items() for word in ("-e", "=".join(pair))]
    command = ("python", "/srv/bootstrap.py", "/srv/s3-policy.json", *options)
    run = ("run", "--rm", "--no-deps", *variables, "minio-bootstrap", *command)
    return stack.run("docker", "compose", *run)


def test_who_works_with_former_keys_goes_on_until_they_are_forgotten(stack):
    running = stack.env["AWS_ACCESS_KEY_ID"]
    added = {"AWS_ACCESS_KEY_ID": "second", "AWS_SECRET_ACCESS_KEY": "its-long-secret"}

    said = bootstrap(stack, **added)
    other = client(stack, "second", "its-long-secret")

    assert said.splitlines()[-1] == f"former users: {running}"
    for each in (stack.s3(), other):
        each.list_objects_v2(Bucket="s3tasks")
    assert "user second: removed" in bootstrap(stack, "--forget")
    stack.s3().list_objects_v2(Bucket="s3tasks")
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        other.list_objects_v2(Bucket="s3tasks")


def test_a_secret_that_a_site_works_with_is_kept(stack):
    with pytest.raises(AssertionError, match="a new secret needs a new AWS_ACCESS_KEY_ID"):
        bootstrap(stack, "--keep-secret", AWS_SECRET_ACCESS_KEY="another-long-secret")
    stack.s3().list_objects_v2(Bucket="s3tasks")
    assert "may do what policy" in bootstrap(stack, "--keep-secret")


def test_a_new_env_over_old_volumes_comes_up(stack, visitor):
    visitor.upload_images(("old.jpg", photo(64, 48)))
    visitor.wait_for_pictures(1)
    former = stack.s3()

    (stack.folder / ".env").unlink()
    stack.run("make", ".env")
    set_variables(stack.folder / ".env", UPLOAD_RATE=0, **stack.ports)
    stack.run("make", "up")

    assert stack.count("upload") == 1  # the same volumes
    newcomer = Visitor(stack.page)  # a new SECRET_KEY knows nobody
    newcomer.upload_images(("new.jpg", photo(64, 48)))
    newcomer.wait_for_pictures(1)
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        former.list_objects_v2(Bucket="s3tasks")
