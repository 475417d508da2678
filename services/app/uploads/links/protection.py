"""Protected links: who has one open, and the POST that opens one.

A password is tried and a download spent by one statement on the link's row each, so that of any
number at the same moment as many get in as there were downloads left, and no more than GUESSES_MAX
passwords are tried in GUESSES_TIME: who finds the right one after those is refused as well.
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

LINK_LIFE = 60  # seconds for which a link's signed address is good: a download begins in them
PASS_LIFE = 10 * 60  # seconds for which the page of several files stays open
PASS_SALT = "uploads.links.pass"  # noqa: S105  no password


@dataclass(frozen=True)
class Opener:
    """Who follows a link: by what they may have it open without spending a download."""

    visitor: uuid.UUID | None = None
    secret: str = ""  # the pass that an earlier POST gave


NOBODY = Opener()


def new_pass(link: Link) -> str:
    """What keeps the link open for PASS_LIFE, of whoever has it; until its password is changed."""
    return signing.dumps(link.id.hex, salt=PASS_SALT + link.password)


def has_pass(link: Link, opener: Opener) -> bool:
    """Whether the opener's secret is this link's pass, and not over."""
    salt = PASS_SALT + link.password
    try:
        found = signing.loads(opener.secret, salt=salt, max_age=PASS_LIFE)
    except signing.BadSignature:
        return False
    return bool(found == link.id.hex)


def is_owner(link: Link, opener: Opener) -> bool:
    """Whether the link is the opener's own. Of a shared board's links, which are everybody's,
    nobody is: they would not be protected."""
    return not settings.SHARED_BOARD and opener.visitor == link.owner


def open_link(*, link: Link, uploads: list[Upload], password: str) -> None:
    """Spend a download of the protected link, whose uploads these are.

    The password is hashed whatever is wrong, so the time that it takes tells nothing. Raises
    RateLimited, WrongPassword, or UploadNotFound where the last download was somebody else's.
    """
    refuse_beyond_guesses(link)
    # Given one, a link without a password takes as long.
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
    """Raise RateLimited where too many wrong passwords came of late, UploadNotFound where the link
    is gone."""
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
    """Where that was the last download, the link expires, for everybody at once; the bytes stay
    for as long as the download may take, and never longer than they would have. Needs the link's
    row locked."""
    begins = PASS_LIFE if len(uploads) > 1 else LINK_LIFE
    lasts = sum(upload.size_bytes for upload in uploads) / SLOWEST
    end = Now() + timedelta(seconds=begins + lasts)
    spent = Link.objects.filter(id=link.id, downloads=F("max_downloads"))
    if spent.update(held_until=Least("expires_at", end), expires_at=Now()):
        over = Link.objects.values_list("expires_at", flat=True).get(id=link.id)
        begun = Upload.objects.filter(link_id=link.id, expires_at__isnull=False)
        begun.update(expires_at=over)


def gone() -> str:
    """What is said of every link that leads nowhere, whatever the reason."""
    return _("This link has expired, or it never existed.")
