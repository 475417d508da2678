"""The bucket's layout, in one place: what each prefix holds, who owns it and where it counts.

It imports nothing, so that tests and tools outside the app can use it as well. Kinds and states
have the values that `uploads.models` gives them.
"""

import uuid
from dataclasses import dataclass
from typing import Literal

# Its body is the installation's id; see uploads.bucket.marker. It lies beside the prefixes.
MARKER = "marker"


@dataclass(frozen=True)
class Prefix:
    """What lies under `<name>/<id of an upload>`, or `<name>/<id of a pack>`."""

    # By kind, the states in which an upload may own an object here. An object whose row is in
    # another state would never be deleted by its row, so reconcile deletes it. Of no kind: packs
    # own what lies here, in every state.
    owners: dict[str, tuple[str, ...]]
    # The state in which a row's object must be here: if it is not, it has vanished.
    proof: str
    # Which column of the row holds the bytes that the object counts in the quotas; None for a
    # thumbnail, which counts nothing.
    counted: Literal["size_bytes", "incoming_bytes"] | None


INCOMING = "incoming"  # where bytes arrive that a client may write; no link leads there
THUMBS = "thumbs"
ZIPS = "zips"  # the zips of links
SERVED = {"file": "files", "image": "images"}  # where a link leads, by kind
PREFIXES = {
    "files": Prefix({"file": ("pending", "ready")}, "ready", "size_bytes"),
    "images": Prefix({"image": ("checking", "ready")}, "ready", "size_bytes"),
    INCOMING: Prefix(
        {"file": ("pending",), "image": ("pending", "checking")}, "checking", "incoming_bytes"
    ),
    THUMBS: Prefix({"image": ("checking", "ready")}, "ready", None),
    ZIPS: Prefix({}, "ready", "size_bytes"),
}


def key_under(prefix: str, row_id: uuid.UUID) -> str:
    """The key of the row's object under the prefix."""
    return f"{prefix}/{row_id}"


def prefix_of(key: str) -> str:
    """The prefix of the key; the whole key if it has none."""
    return key.partition("/")[0]


def id_in(key: str) -> uuid.UUID | None:
    """The id of the row that owns the key, or None if no row can have such a key."""
    name = key.partition("/")[2]
    try:
        upload_id = uuid.UUID(name)
    except ValueError:
        return None
    return upload_id if str(upload_id) == name else None
