"""An upload whose bytes go past the app: what lets its owner send them to storage."""

from dataclasses import dataclass
from datetime import datetime

from uploads.arrivals.claim import TICKET_LIFE, claim_upload
from uploads.images import IMAGE_TYPES
from uploads.keys import id_in
from uploads.limits import Claim
from uploads.models import Kind, State, Upload
from uploads.storage import Ticket, storage


@dataclass(frozen=True)
class Claimed:
    """An announced upload, and what lets its owner send the bytes to storage."""

    upload: Upload
    ticket: Ticket
    expires_at: datetime  # of the ticket


def claim_with_ticket(claim: Claim, *, content_type: str) -> Claimed:
    """A pending row whose bytes go past the app. Raises QuotaExceeded.

    The claimed content type only labels an incoming object, which nobody is served.
    """
    upload = claim_upload(claim, by_ticket=True)
    if claim.kind == Kind.FILE or content_type not in IMAGE_TYPES:
        content_type = "application/octet-stream"
    ticket = storage().ticket(
        upload.incoming_key,
        size_bytes=claim.size_bytes,
        content_type=content_type,
        seconds=int(TICKET_LIFE.total_seconds()),
    )
    return Claimed(upload, ticket, upload.created_at + TICKET_LIFE)


def awaits_bytes(key: str) -> bool:
    """Whether an upload is pending whose bytes arrive under the key."""
    upload_id = id_in(key)
    if upload_id is None:
        return False
    upload = Upload.objects.filter(id=upload_id, state=State.PENDING).first()
    return upload is not None and upload.incoming_key == key
