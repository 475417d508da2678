"""The operations on links: authorise, parse, call one function of the domain, answer."""

import uuid
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from ninja import Body, Router, Status

from api.auth import Newcomer, OwnerToken, VisitorCookie, owner_token
from api.schemas import LinkChange, LinkIn, LinkOut, MadeLinkOut
from api.uploads import Request, owner_of, problems, renew_cookie, shown
from s3tasks.web.share_link import address_of
from uploads import discard
from uploads.existence import page_check
from uploads.links.change import change_link
from uploads.links.owned import find_link, links_of, make_link
from uploads.models import Link
from uploads.rate import check_rate

router = Router(auth=[OwnerToken(), VisitorCookie()], tags=["links"])


@router.post(
    "/links",
    auth=[OwnerToken(), VisitorCookie(), Newcomer()],
    response={201: MadeLinkOut, **problems(400, 403, 415, 422, 429)},
)
def begin_link(
    request: Request, response: HttpResponse, wanted: Annotated[LinkIn, Body(...)]
) -> Status[dict[str, Any]]:
    """Make a link for several files, which join it by its id as their `link_id`. A link without
    files is forgotten after an hour."""
    check_rate(request.META.get("REMOTE_ADDR", ""))
    made = make_link(
        owner=owner_of(request),
        name=wanted.name,
        ttl=wanted.ttl,
        password=wanted.password or "",
        max_downloads=wanted.max_downloads,
    )
    renew_cookie(request, response)
    link = find_link(link_id=made.id, owner=made.owner)
    return Status(201, {**shown_link(request, link), "owner_token": owner_token(request.auth)})


@router.get("/links", response={200: list[LinkOut], **problems()})
def list_links(request: Request) -> list[dict[str, Any]]:
    """List your links, the newest first."""
    links = page_check().present_links(list(links_of(owner_of(request))))
    return [shown_link(request, link) for link in links]


@router.get("/links/{link_id}", response={200: LinkOut, **problems(404, 422)})
def get_link(request: Request, link_id: uuid.UUID) -> dict[str, Any]:
    """Get one of your links, also while it has no uploads."""
    link = find_link(link_id=link_id, owner=owner_of(request))
    page_check().present_links([link])
    return shown_link(request, link)


@router.patch(
    "/links/{link_id}",
    response={200: LinkOut, **problems(400, 403, 404, 415, 422, 429)},
)
def patch_link(
    request: Request, link_id: uuid.UUID, change: Annotated[LinkChange, Body(...)]
) -> dict[str, Any]:
    """Change one of your links; fields that are left out stay as they are. 422: nothing was
    changed."""
    changes = change.model_dump(exclude_unset=True)
    if changes.get("password"):  # which takes half a second
        check_rate(request.META.get("REMOTE_ADDR", ""))
    change_link(link_id=link_id, owner=owner_of(request), **changes)
    return get_link(request, link_id)


@router.delete("/links/{link_id}", response={204: None, **problems(403, 404, 415, 422)})
def delete_link(request: Request, link_id: uuid.UUID) -> Status[None]:
    """Delete one of your links with all its uploads, immediately and for good."""
    find_link(link_id=link_id, owner=owner_of(request))
    discard.discard_link(link_id=link_id, owner=owner_of(request))
    return Status(204, None)


def shown_link(request: HttpRequest, link: Link) -> dict[str, Any]:
    """The link as the API shows it; takes one that was read `with_uploads`."""
    return {
        "id": link.id,
        "link": address_of(request, link),
        "name": link.name,
        "uploads": [shown(request, upload) for upload in link.live_uploads],
        "size": link.size_bytes,
        "ttl": int(link.ttl.total_seconds()),
        "protected": link.is_protected,
        "has_password": bool(link.password),
        "max_downloads": link.max_downloads,
        "downloads": link.downloads,
        "expires_at": link.expires_at,
        "seconds_left": link.seconds_left,
        "zip": zip_address(request, link),
    }


def zip_address(request: HttpRequest, link: Link) -> str | None:
    """Where all of the link's files come as one; None where they are not several."""
    if len(link.live_uploads) < 2:
        return None
    return request.build_absolute_uri(reverse("zip", args=[link.token]))
