"""The bucket's layout, once: what lies under which prefix, whose it is and what it counts for.

Imports nothing, so that whoever looks at a bucket from outside can read it too. Kinds and states
are named as `uploads.models` names them.
"""

import uuid
from dataclasses import dataclass
from typing import Literal

# Its body is the installation's id; see uploads.bucket.marker. It lies beside the prefixes.
MARKER = "marker"


@dataclass(frozen=True)
class Prefix:
    """What lies under `<name>/<id of an upload>`."""

    # By kind, the states in which a row may own an object here. One whose row is none of these has
    # nobody who will delete it: reconcile does.
    owners: dict[str, tuple[str, ...]]
    # The state in which a row's object is known to be here: one that is not has vanished.
    proof: str
    # Which of its row's columns holds what it counts in the quotas; none of what is made of it.
    counted: Literal["size_bytes", "incoming_bytes"] | None


INCOMING = "incoming"  # where bytes arrive that a client may write: nothing serves them
THUMBS = "thumbs"
SERVED = {"file": "files", "image": "images"}  # where a link leads, by kind
PREFIXES = {
    "files": Prefix({"file": ("pending", "ready")}, "ready", "size_bytes"),
    "images": Prefix({"image": ("checking", "ready")}, "ready", "size_bytes"),
    INCOMING: Prefix(
        {"file": ("pending",), "image": ("pending", "checking")}, "checking", "incoming_bytes"
    ),
    THUMBS: Prefix({"image": ("checking", "ready")}, "ready", None),
}


def key_under(prefix: str, upload_id: uuid.UUID) -> str:
    """The key of the upload's object under the prefix."""
    return f"{prefix}/{upload_id}"


def prefix_of(key: str) -> str:
    """The prefix that the key lies under; the whole of one that lies under none."""
    return key.partition("/")[0]


def id_in(key: str) -> uuid.UUID | None:
    """The upload whose object this would be, or None where no upload has such a key."""
    name = key.partition("/")[2]
    try:
        upload_id = uuid.UUID(name)
    except ValueError:
        return None
    return upload_id if str(upload_id) == name else None
