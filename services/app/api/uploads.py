"""The operations on uploads: authorise, parse, call one function of the domain, answer."""

import uuid
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Body, Router, Status

from api.auth import Newcomer, OwnerToken, VisitorCookie, owner_token
from api.schemas import AnyClaim, ClaimedOut, FileClaim, ImageClaim, ProblemOut, UploadOut
from s3tasks.web import visitor_cookie
from s3tasks.web.share_link import share_link
from uploads import discard, quotas
from uploads.arrivals import complete, ticket
from uploads.existence import page_check
from uploads.limits import check_claim
from uploads.links.follow import thumbnail_urls
from uploads.models import Kind, Upload
from uploads.rate import check_rate, source_of

router = Router(auth=[OwnerToken(), VisitorCookie()], tags=["uploads"])


class Request(HttpRequest):
    """A request whose owner is known."""

    auth: uuid.UUID


def problems(*statuses: int) -> dict[Any, Any]:
    """The errors of an operation, and those that any of them may give."""
    return {frozenset({401, 500, 503, *statuses}): ProblemOut}


@router.post(
    "/uploads",
    auth=[OwnerToken(), VisitorCookie(), Newcomer()],
    response={201: ClaimedOut, **problems(400, 403, 404, 415, 422, 429)},
)
def begin_upload(
    request: Request, response: HttpResponse, claim: Annotated[AnyClaim, Body(...)]
) -> Status[dict[str, Any]]:
    """Announce an upload, and get a ticket for sending its bytes to storage."""
    address = request.META.get("REMOTE_ADDR", "")
    check_rate(address)
    checked = check_claim(
        owner=owner_of(request),
        kind=Kind(claim.kind),
        filename=claim.filename,
        size_bytes=claim.size,
        name=claim.name,
        ttl=claim.ttl,
        address=source_of(address),
        password=claim.password or "",
        max_downloads=claim.max_downloads,
        **joining(claim),
    )
    claimed = ticket.claim_with_ticket(checked, content_type=claim.content_type)
    renew_cookie(request, response)
    return Status(
        201,
        {
            "id": claimed.upload.id,
            "link_id": claimed.upload.link_id,
            "ttl": int(claimed.upload.link.ttl.total_seconds()),
            "owner_token": owner_token(request.auth),
            "ticket": {
                "method": claimed.ticket.method,
                "url": request.build_absolute_uri(claimed.ticket.url),
                "fields": claimed.ticket.fields,
                "expires_at": claimed.expires_at,
            },
        },
    )


@router.post(
    "/uploads/{upload_id}/complete",
    response={200: UploadOut, **problems(403, 404, 409, 415, 422)},
)
def complete_upload(request: Request, upload_id: uuid.UUID) -> dict[str, Any]:
    """Complete an upload whose bytes have been sent. 409: they have not arrived. 422: they break a
    limit, and the upload is discarded. A repeated call gets the same answer."""
    complete.complete_upload(upload_id=upload_id, owner=owner_of(request))
    return shown(request, mine(request, upload_id))


@router.get("/uploads", response={200: list[UploadOut], **problems()})
def list_uploads(request: Request) -> list[dict[str, Any]]:
    """List your uploads, the newest first."""
    uploads = Upload.objects.live().with_seconds_left().with_link().filter(owner=owner_of(request))
    present = page_check().present(list(uploads.order_by("-created_at", "-id")))
    return [shown(request, upload) for upload in present]


@router.get("/uploads/{upload_id}", response={200: UploadOut, **problems(404, 422)})
def get_upload(request: Request, upload_id: uuid.UUID) -> dict[str, Any]:
    """Get one of your uploads, also while it is pending."""
    return shown(request, mine(request, upload_id))


@router.delete("/uploads/{upload_id}", response={204: None, **problems(403, 404, 415, 422)})
def delete_upload(request: Request, upload_id: uuid.UUID) -> Status[None]:
    """Delete one of your uploads, immediately and for good."""
    discard.discard_upload(upload_id=mine(request, upload_id).id, owner=owner_of(request))
    return Status(204, None)


def joining(claim: ImageClaim | FileClaim) -> dict[str, Any]:
    """Of a file, the link that it joins and the folder that it lies in; nothing of an image."""
    if isinstance(claim, ImageClaim):
        return {}
    return {"link_id": claim.link_id, "folder": claim.folder}


def renew_cookie(request: Request, response: HttpResponse) -> None:
    """Remember a visitor who has the cookie anew, so that it outlives what they have made now."""
    if visitor_cookie.known(request) == request.auth:
        visitor_cookie.remember(request, response, request.auth)


def owner_of(request: Request) -> uuid.UUID:
    """The owner of the uploads that the request is about."""
    return quotas.owner_for(request.auth)


def mine(request: Request, upload_id: uuid.UUID) -> Upload:
    """The caller's upload; raises UploadNotFound."""
    uploads = Upload.objects.known().with_seconds_left().with_link()
    return uploads.of_owner(owner_of(request), upload_id)


def shown(request: HttpRequest, upload: Upload) -> dict[str, Any]:
    """The upload as the API shows it; takes one that was read `with_seconds_left`."""
    thumbnail = thumbnail_urls().thumbnail_url(upload)
    return {
        "id": upload.id,
        "kind": upload.kind,
        "state": upload.state,
        "reason": upload.reason_sentence,
        "name": upload.link.name,
        "filename": upload.filename,
        "folder": upload.folder,
        "size": upload.size_bytes,
        "content_type": upload.content_type,
        "link": share_link(request, upload),
        "link_id": upload.link_id,
        "protected": upload.link.is_protected,
        "max_downloads": upload.link.max_downloads,
        "downloads": upload.link.downloads,
        "thumbnail": thumbnail and request.build_absolute_uri(thumbnail),
        "expires_at": upload.expires_at,
        "seconds_left": upload.seconds_left,
    }
