"""Changes to a link by its owner: its time from now on, its name, and what protects it."""

import uuid
from datetime import timedelta
from typing import Any, TypedDict, Unpack

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from uploads.errors import InvalidUpload
from uploads.limits import (
    check_max_downloads,
    check_may_protect,
    check_name,
    check_ttl,
    hash_password,
)
from uploads.models import Link
from uploads.quotas import lock_owner


class Changes(TypedDict, total=False):
    """What to change of a link; what is left out stays as it is."""

    ttl: int | None  # seconds from now on; None: as it is
    name: str | None  # None: as it is
    password: str | None  # None or blank: none from now on
    max_downloads: int | None  # in all; None: any number from now on


def change_link(*, link_id: uuid.UUID, owner: uuid.UUID, **changes: Unpack[Changes]) -> None:
    """Change the owner's link as given: everything or nothing.

    `ttl` is for all its uploads; of a link that has not begun, from its first upload on. A new
    password, whose hashing takes half a second, closes the link for whoever had it open. Raises
    InvalidUpload, or UploadNotFound where it is not theirs, expired or gone.
    """
    link = Link.objects.known().of_owner(owner, link_id)
    columns = changed_columns(link, changes)
    ttl = changes.get("ttl")
    life = None if ttl is None else check_ttl(ttl)
    with transaction.atomic():
        lock_owner(owner)
        link = Link.objects.known().select_for_update().of_owner(owner, link_id)
        most = columns.get("max_downloads")
        if most is not None and most <= link.downloads:
            raise InvalidUpload(
                _("The number of downloads must be more than the %d that there have been.")
                % link.downloads
            )
        if columns:
            Link.objects.filter(id=link.id).update(**columns)
        if life is not None:
            set_life(link, life)


def changed_columns(link: Link, changes: Changes) -> dict[str, Any]:
    """What the changes but the time make of the link's row. Raises InvalidUpload."""
    columns: dict[str, Any] = {}
    name, password = changes.get("name"), changes.get("password")
    if name is not None:
        columns["name"] = check_name(name)
    if "max_downloads" in changes:
        columns["max_downloads"] = check_max_downloads(changes["max_downloads"])
    if password or columns.get("max_downloads") is not None:
        check_may_protect(link.kind)
    if "password" in changes:
        columns["password"] = hash_password(password or "")
    return columns


def set_life(link: Link, life: timedelta) -> None:
    """Have the locked link and its completed uploads expire so long from now; pending ones keep
    their deadlines. Raises InvalidUpload or UploadNotFound."""
    if link.expires_at is None:
        Link.objects.filter(id=link.id).update(ttl=life)
        return
    end = Now() + life
    # What was long on its way may end later than others can, and be shortened.
    in_time = Q(created_at__gte=end - longest_life()) | Q(expires_at__gte=end)
    # The link may have expired while this waited for its lock, and an expired link stays expired.
    live = Link.objects.live().filter(id=link.id)
    if not live.filter(in_time).update(ttl=life, expires_at=end):
        raise InvalidUpload(
            _("This link can live for at most %(most)d more seconds.")
            % {"most": longest_from_now(link)}
        )
    link.refresh_from_db(fields=["expires_at"])
    link.uploads.filter(expires_at__isnull=False).update(expires_at=link.expires_at)


def longest_life() -> timedelta:
    """How long a link may live, from when it was made."""
    return timedelta(seconds=settings.UPLOAD_TTL_MAX)


def longest_from_now(link: Link) -> int:
    """How many more seconds the link can be given. Raises UploadNotFound where it has expired."""
    now = Link.objects.known().with_seconds_left().of_owner(link.owner, link.id)
    if now.expires_at is None or now.seconds_left is None:
        return settings.UPLOAD_TTL_MAX
    spare = now.created_at + longest_life() - now.expires_at
    return int(now.seconds_left + max(spare.total_seconds(), 0))
