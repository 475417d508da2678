"""An upload that comes in a form, whose file the app has received completely."""

from typing import IO

from uploads.arrivals.claim import claim_upload, drop_upload
from uploads.arrivals.complete import complete_upload
from uploads.errors import UploadError
from uploads.limits import Claim
from uploads.models import Upload
from uploads.storage import storage


def receive_upload(claim: Claim, content: IO[bytes]) -> Upload:
    """The upload of a form's file: claimed, stored, completed.

    Raises UploadError, after which nothing of the upload is left. A process that dies in the middle
    leaves a pending row, which is discarded at its deadline.
    """
    upload = claim_upload(claim)
    try:
        storage().put(upload.incoming_key, content, content_type="application/octet-stream")
        return complete_upload(upload_id=upload.id, owner=upload.owner)
    except UploadError:
        drop_upload(upload)
        raise
