"""Where a share link and a picture on a page lead: signed addresses of storage.

A signature never outlives its upload. Pictures are signed once and the address remembered for half
its life, so that a browser can cache them.
"""

import time
import uuid
from datetime import datetime
from functools import cache

from django.core import signing
from django.utils.translation import gettext as _

from uploads.errors import LinkProtected, StillChecking, UploadNotFound
from uploads.images import THUMBNAIL_TYPE
from uploads.links.protection import LINK_LIFE, NOBODY, Opener, gone, has_pass, is_owner
from uploads.models import Kind, State, Upload
from uploads.storage import Method, storage

DELETION_SALT = "uploads.links.deletion"
PICTURE_LIFE = 5 * 60  # seconds
REMEMBERED_MAX = 10_000  # addresses


def uploads_behind(*, token: str, kind: Kind, opener: Opener = NOBODY) -> list[Upload]:
    """All uploads behind a share link, in their order: one image, or files.

    Raises UploadNotFound for an expired or unknown link, and LinkProtected for a protected one that
    is neither the opener's own nor open for them.
    """
    uploads, is_open = look_behind(token=token, kind=kind, opener=opener)
    if not is_open:
        raise LinkProtected(_("This link is protected."))
    return uploads


def look_behind(*, token: str, kind: Kind, opener: Opener = NOBODY) -> tuple[list[Upload], bool]:
    """The uploads behind the link, and whether it is open for the opener: nobody else may see
    anything of a protected link's uploads. Raises UploadNotFound."""
    kept = Upload.objects.kept().with_seconds_left().with_link().exclude(state=State.REJECTED)
    of_link = kept.filter(link__token=token, link__kind=kind).order_by("created_at", "id")
    found = [upload for upload in of_link if upload.seconds_kept >= 1]
    if found and has_pass(found[0].link, opener):
        for upload in found:
            upload.seconds_left = upload.seconds_kept
        return found, True
    live = [upload for upload in found if upload.seconds_left >= 1]
    if not live:
        raise UploadNotFound(gone())
    return live, not live[0].link.is_protected or is_owner(live[0].link, opener)


def follow_link(
    *,
    token: str,
    kind: Kind,
    path: str | None = None,
    opener: Opener = NOBODY,
    method: Method = "GET",
) -> str:
    """The signed address behind a share link: an image is shown, a file downloaded.

    `path`: the name of one of its files, with its folder; the first of them where None. Raises as
    `uploads_behind`, UploadNotFound also where none is called so, or StillChecking while an image
    is not safe.
    """
    found = uploads_behind(token=token, kind=kind, opener=opener)
    named = [upload for upload in found if path in (None, upload.path)]
    if not named:
        raise UploadNotFound(_("There is no file of this name behind this link."))
    upload = named[0]
    if upload.state == State.CHECKING:
        raise StillChecking(_("This image is still being checked."))
    return signed_address(upload, method)


def signed_address(upload: Upload, method: Method = "GET") -> str:
    """The signed address of its bytes; takes an upload that was read `with_seconds_left`."""
    return storage().url(
        upload.served_key,
        seconds=signed_seconds(upload),
        method=method,
        content_type=upload.content_type,
        download_as=upload.filename if upload.kind == Kind.FILE else None,
    )


def signed_seconds(upload: Upload, most: int = LINK_LIFE) -> int:
    """How long an address of its bytes is valid: not past its end. Takes an upload that was read
    `with_seconds_left`."""
    return min(most, int(upload.seconds_left))


def deletion_secret(upload: Upload) -> str:
    """The secret with which anyone who has it can delete the upload."""
    return signing.dumps(upload.id.hex, salt=DELETION_SALT)


def find_deletion(secret: str) -> Upload:
    """The upload that the secret deletes; raises UploadNotFound."""
    gone = UploadNotFound(_("This upload is gone, or it never existed."))
    try:
        upload_id = uuid.UUID(signing.loads(secret, salt=DELETION_SALT))
    except signing.BadSignature as error:
        raise gone from error
    upload = Upload.objects.known().filter(id=upload_id).first()
    if upload is None:
        raise gone
    return upload


class ThumbnailUrlCache:
    """The thumbnail addresses that this process has signed, for as long as they are used."""

    def __init__(self) -> None:
        self.signed: dict[tuple[str, datetime | None], tuple[str, float]] = {}

    def thumbnail_url(self, upload: Upload) -> str | None:
        """The thumbnail's signed address; None while the image is not ready, or in its last second.

        Takes an upload that was read `with_seconds_left`.
        """
        if upload.state != State.READY or upload.kind != Kind.IMAGE or upload.seconds_left < 1:
            return None
        key, now = upload.thumbnail_key, time.monotonic()
        # An address that was signed for another end may be valid for longer than the present one.
        url, until = self.signed.get((key, upload.expires_at), ("", 0.0))
        if until <= now:
            seconds = signed_seconds(upload, PICTURE_LIFE)
            url = storage().url(key, seconds=seconds, content_type=THUMBNAIL_TYPE, download_as=None)
            if len(self.signed) >= REMEMBERED_MAX:
                self.signed.clear()
            self.signed[key, upload.expires_at] = (url, now + seconds / 2)
        return url


@cache
def thumbnail_urls() -> ThumbnailUrlCache:
    """This process's cache."""
    return ThumbnailUrlCache()
