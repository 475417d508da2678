"""An upload whose bytes come through the app in a form, and lie there whole."""

import uuid
from typing import IO

from uploads.arrivals.claim import claim_upload, drop_upload
from uploads.arrivals.complete import complete_upload
from uploads.errors import UploadError
from uploads.models import Kind, Upload
from uploads.storage import storage


def receive_upload(
    *,
    owner: uuid.UUID,
    kind: Kind,
    content: IO[bytes],
    filename: str,
    size_bytes: int,
    name: str = "",
    ttl: int | None = None,
    address: str | None = None,
) -> Upload:
    """An upload whose bytes come through the app: claimed, stored, completed.

    `address`: in whose share it counts. Raises UploadError, after which nothing of it stays. A
    process that dies in the middle leaves a pending row, whose deadline discards it.
    """
    upload = claim_upload(
        owner=owner,
        kind=kind,
        filename=filename,
        size_bytes=size_bytes,
        name=name,
        ttl=ttl,
        address=address,
    )
    try:
        storage().put(upload.incoming_key, content, content_type="application/octet-stream")
        return complete_upload(upload_id=upload.id, owner=owner)
    except UploadError:
        drop_upload(upload)
        raise
