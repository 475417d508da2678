"""Tickets: an upload whose owner sends the bytes straight to storage, without the app in
between."""

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
    """An announced upload, with the ticket for sending its bytes to storage."""

    upload: Upload
    ticket: Ticket
    expires_at: datetime  # of the ticket


def claim_with_ticket(claim: Claim, *, content_type: str) -> Claimed:
    """A pending row, and the ticket for its bytes. Raises QuotaExceeded.

    The claimed content type only labels the incoming object, which no link leads to.
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
    """Whether a pending upload expects its bytes under this key."""
    upload_id = id_in(key)
    if upload_id is None:
        return False
    upload = Upload.objects.filter(id=upload_id, state=State.PENDING).first()
    return upload is not None and upload.incoming_key == key
