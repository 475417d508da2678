"""Protected links: who may follow one, and the POST that opens it.

Trying a password and spending a download are one statement each on the link's row. So of any number
of requests at the same moment, only as many get in as there were downloads left, and only
GUESSES_MAX passwords are tried in GUESSES_TIME; after those, even the right one is refused.
"""

import math
import uuid
from dataclasses import dataclass
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.hashers import check_password
from django.core import signing
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Extract, Least, Now
from django.utils.translation import gettext as _

from uploads.errors import RateLimited, UploadNotFound, WrongPassword
from uploads.limits import composed_password
from uploads.models import GUESSES_MAX, GUESSES_TIME, Link, Upload
from uploads.patience import SLOWEST

LINK_LIFE = 60  # seconds that a link's signed address is valid; a download must begin within them
PASS_LIFE = 10 * 60  # seconds that the page of several files stays open
PASS_SALT = "uploads.links.pass"  # noqa: S105  no password


@dataclass(frozen=True)
class Opener:
    """The person who follows a link, with what may keep it open without spending a download."""

    visitor: uuid.UUID | None = None
    secret: str = ""  # the pass from an earlier POST


NOBODY = Opener()


def new_pass(link: Link) -> str:
    """A pass, which keeps the link open for PASS_LIFE or until its password is changed."""
    return signing.dumps(link.id.hex, salt=PASS_SALT + link.password)


def has_pass(link: Link, opener: Opener) -> bool:
    """Whether the opener's secret is a valid pass of this link."""
    salt = PASS_SALT + link.password
    try:
        found = signing.loads(opener.secret, salt=salt, max_age=PASS_LIFE)
    except signing.BadSignature:
        return False
    return bool(found == link.id.hex)


def is_owner(link: Link, opener: Opener) -> bool:
    """Whether the link is the opener's own. Links of a shared board have no owner here, or they
    would not be protected from anybody."""
    return not settings.SHARED_BOARD and opener.visitor == link.owner


def open_link(*, link: Link, uploads: list[Upload], password: str) -> None:
    """Spend a download of the protected link that these uploads belong to.

    The password is hashed in any case, so that the time of the answer reveals nothing. Raises
    RateLimited, WrongPassword, or UploadNotFound if somebody else got the last download.
    """
    refuse_beyond_guesses(link)
    # With a password, a link that needs none takes as long.
    right = not link.password
    if link.password or password:
        right = check_password(composed_password(password), link.password) or right
    if not right:
        if not Link.objects.count_guess(link.id):
            refuse_beyond_guesses(link)
        raise WrongPassword(_("This is not the password of the link."))
    with transaction.atomic():
        if Link.objects.spend(link.id):
            expire_with_the_last(link, uploads)
            return
    refuse_beyond_guesses(link)
    raise UploadNotFound(gone())


def refuse_beyond_guesses(link: Link) -> None:
    """Raise RateLimited if there were too many wrong passwords lately, or UploadNotFound if the
    link is gone."""
    open_again = F(f"wrong_at__{GUESSES_MAX - 1}") + GUESSES_TIME
    live = Link.objects.live().filter(id=link.id)
    found = live.values_list(Extract(open_again - Now(), "epoch")).first()
    if found is None:
        raise UploadNotFound(gone())
    (seconds,) = found
    if seconds is not None and seconds > 0:
        sentence = _("Too many wrong passwords were tried on this link. Please try again later.")
        raise RateLimited(sentence, retry_after=math.ceil(seconds))


def expire_with_the_last(link: Link, uploads: list[Upload]) -> None:
    """If that was the last download, the link expires for everybody at once. The bytes stay for as
    long as the download may take, but never longer than the link would have lived. Needs the lock
    of the link's row."""
    begins = PASS_LIFE if len(uploads) > 1 else LINK_LIFE
    lasts = sum(upload.size_bytes for upload in uploads) / SLOWEST
    end = Now() + timedelta(seconds=begins + lasts)
    spent = Link.objects.filter(id=link.id, downloads=F("max_downloads"))
    if spent.update(held_until=Least("expires_at", end), expires_at=Now()):
        over = Link.objects.values_list("expires_at", flat=True).get(id=link.id)
        begun = Upload.objects.filter(link_id=link.id, expires_at__isnull=False)
        begun.update(expires_at=over)


def gone() -> str:
    """The error for every link that leads nowhere, whatever the reason."""
    return _("This link has expired, or it never existed.")
