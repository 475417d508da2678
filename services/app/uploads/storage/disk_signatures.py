"""What the local disk takes or gives by a signature alone, at the app's own `/storage/…`."""

import time
from typing import Any

from django.core import signing
from django.urls import reverse

LINK_SALT = "uploads.storage.LocalDisk"
TICKET_SALT = "uploads.storage.LocalDisk.ticket"


def sign_ticket(key: str, *, size_bytes: int, seconds: int) -> str:
    """The address to which exactly so many bytes may be sent, for so many seconds."""
    return signed_address({"key": key, "size": size_bytes}, seconds, TICKET_SALT)


def sign_link(key: str, headers: dict[str, str], *, seconds: int) -> str:
    """The address that answers the key's bytes with the headers, for so many seconds. One signature
    serves GET and HEAD."""
    return signed_address({"key": key, "headers": headers}, seconds, LINK_SALT)


def open_ticket(signed: str) -> tuple[str, int] | None:
    """The key and the exact size that a ticket's address stands for; None where it is forged or has
    run out."""
    content = signed_content(signed, TICKET_SALT)
    return None if content is None else (content["key"], content["size"])


def open_link(signed: str) -> tuple[str, dict[str, str]] | None:
    """The key and the headers that a link's address stands for; None where it is forged or has run
    out."""
    content = signed_content(signed, LINK_SALT)
    return None if content is None else (content["key"], content["headers"])


def signed_address(content: dict[str, Any], seconds: int, salt: str) -> str:
    """The app's address that stands for the content, for so many seconds."""
    until = int(time.time()) + seconds
    signed = signing.dumps({**content, "until": until}, salt=salt, compress=True)
    return reverse("local-storage", args=[signed])


def signed_content(signed: str, salt: str) -> dict[str, Any] | None:
    """What was signed; None where the signature is forged or has run out."""
    try:
        content: dict[str, Any] = signing.loads(signed, salt=salt)
    except signing.BadSignature:
        return None
    return None if content["until"] <= time.time() else content
