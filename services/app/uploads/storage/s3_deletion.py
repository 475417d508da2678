"""Deleting keys from a bucket, whatever they are called: a listing may show any."""

import re
from typing import Any

from uploads.errors import StorageUnavailable
from uploads.storage.protocol import PLAIN
from uploads.storage.s3_errors import answering

# What XML 1.0 can't carry, escaped or not: https://www.w3.org/TR/xml/#charsets
NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def delete_keys(client: Any, bucket: str, keys: list[str]) -> dict[str, str]:
    """The errors, by key, of those that stay. Keys as ours are go in one request; each other one
    goes by itself, so that it can fail by itself. Raises StorageUnavailable."""
    errors = delete_together(client, bucket, [key for key in keys if PLAIN.fullmatch(key)])
    for key in keys:
        if not PLAIN.fullmatch(key) and (problem := delete_odd(client, bucket, key)):
            errors[key] = problem
    return errors


def delete_together(client: Any, bucket: str, keys: list[str]) -> dict[str, str]:
    """The errors of one DeleteObjects. S3 answers 200 also where single keys failed."""
    if not keys:
        return {}
    with answering():
        answer = client.delete_objects(
            Bucket=bucket,
            Delete={"Objects": [{"Key": key} for key in keys], "Quiet": True},
        )
    return {
        error["Key"]: f"{error.get('Code', '')} on DeleteObjects"
        for error in answer.get("Errors", ())
        if error.get("Code") != "NoSuchKey"
    }


def delete_odd(client: Any, bucket: str, key: str) -> str:
    """Delete a key that another's request may not depend on; why it stays, or a blank."""
    try:
        if not NOT_XML.search(key):
            return next(iter(delete_together(client, bucket, [key]).values()), "")
        if {".", ".."} & set(key.split("/")):  # in an address they would lead to another key
            return "no request can name it"
        with answering():
            client.delete_object(Bucket=bucket, Key=key)
    except (StorageUnavailable, ValueError) as error:
        return error.cause if isinstance(error, StorageUnavailable) else str(error)
    return ""
