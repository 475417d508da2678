"""An owner's links, each with its completed uploads, read in two queries."""

import uuid

from django.conf import settings
from django.db import transaction
from django.db.models import Prefetch
from django.utils.translation import gettext as _

from uploads.errors import QuotaExceeded
from uploads.limits import check_max_downloads, check_name, check_ttl, hash_password
from uploads.models import Kind, Link, LinkQuerySet, Upload
from uploads.quotas import BOARD, TRY_AGAIN, lock_owner


def make_link(
    *,
    owner: uuid.UUID,
    name: str = "",
    ttl: int | None = None,
    password: str = "",
    max_downloads: int | None = None,
) -> Link:
    """A new link for files, which join it by its id; its time begins with the first of them.

    `ttl` in seconds. Raises InvalidUpload, or QuotaExceeded where the owner made many and sent
    nothing; on a shared board, which is everybody's, the rate is all that limits.
    """
    name, life = check_name(name), check_ttl(ttl)
    most, hashed = check_max_downloads(max_downloads), hash_password(password)
    with transaction.atomic():
        lock_owner(owner)
        empty = Link.objects.known().filter(owner=owner, uploads=None)
        if owner != BOARD and empty.count() >= settings.MAX_VISITOR_UPLOADS:
            raise QuotaExceeded(
                _("You can have at most %d links without files at a time. Add files to them first.")
                % settings.MAX_VISITOR_UPLOADS,
                retry_after=TRY_AGAIN,
            )
        return Link.objects.create(
            owner=owner,
            kind=Kind.FILE,
            name=name,
            ttl=life,
            password=hashed,
            max_downloads=most,
        )


def links_of(owner: uuid.UUID, kind: Kind | None = None) -> LinkQuerySet:
    """The owner's live links, the newest first, `with_uploads`."""
    links = with_uploads(Link.objects.live().filter(owner=owner))
    if kind is not None:
        links = links.filter(kind=kind)
    return links.order_by("-created_at", "-id")


def find_link(*, link_id: uuid.UUID, owner: uuid.UUID) -> Link:
    """One of the owner's links, `with_uploads`, also while it has none. Raises UploadNotFound."""
    return with_uploads(Link.objects.known()).of_owner(owner, link_id)


def with_uploads(links: LinkQuerySet) -> LinkQuerySet:
    """The links with `seconds_left`, and with their completed uploads in `live_uploads`, in
    order."""
    came = Upload.objects.live().with_seconds_left().order_by("created_at", "id")
    prefetch = Prefetch("uploads", came, "live_uploads")
    return links.with_seconds_left().prefetch_related(prefetch)  # type: ignore[no-redef]
