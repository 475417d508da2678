"""The table of links: what is shared, and for how long."""

import secrets
import uuid
from datetime import timedelta
from typing import Any

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import Cast, Extract, Now
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from uploads.errors import UploadNotFound
from uploads.models.kind import Kind
from uploads.models.moment import Moment

# A link may be made before its uploads; a link without uploads is forgotten after this time.
EMPTY_LIFE = timedelta(hours=1)
# After so many wrong passwords in this time, nobody can open the link, even with the right one.
GUESSES_MAX = 20
GUESSES_TIME = timedelta(minutes=10)


def new_token() -> str:
    """128 random bits for a link, in 22 characters that need no quoting."""
    return secrets.token_urlsafe(16)


class LinkQuerySet(models.QuerySet["Link"]):
    """Reads, named; and the one write that must not be a read before it."""

    def live(self, now: Moment | None = None) -> "LinkQuerySet":
        """Links with a completed upload that have not expired."""
        return self.filter(expires_at__gt=now or Now())

    def kept(self, now: Moment | None = None) -> "LinkQuerySet":
        """Links that a visitor who opened them may still download: live ones, and those that
        expired with their last download, which may still be running."""
        moment = now or Now()
        return self.filter(Q(expires_at__gt=moment) | Q(held_until__gt=moment))

    def known(self, now: Moment | None = None) -> "LinkQuerySet":
        """Links that their owner may see and add to: live, or without a completed upload yet."""
        return self.filter(Q(expires_at__gt=now or Now()) | Q(expires_at=None))

    def deserted(self, now: Moment | None = None) -> "LinkQuerySet":
        """Links to discard by themselves, because no upload takes them along: they have expired, or
        are older than EMPTY_LIFE without an upload."""
        moment = now or Now()
        old = Q(expires_at__lte=moment) | Q(expires_at=None, created_at__lte=moment - EMPTY_LIFE)
        return self.filter(old, uploads=None)

    def with_seconds_left(self) -> "LinkQuerySet":
        """The links with `seconds_left`: a float, by Postgres's clock; None for a link that has not
        begun."""
        left = Extract(F("expires_at") - Now(), "epoch")
        seconds = Cast(left, models.FloatField())
        return self.annotate(seconds_left=seconds)  # type: ignore[no-redef]  # declared below

    def of_owner(self, owner: uuid.UUID, link_id: uuid.UUID) -> "Link":
        """The owner's link; raises UploadNotFound if it is another's or gone."""
        link = self.filter(id=link_id, owner=owner).first()
        if link is None:
            raise UploadNotFound(gettext("There is no such link. It may have expired."))
        return link

    def open_to_guesses(self) -> "LinkQuerySet":
        """Links that still accept passwords: fewer than GUESSES_MAX wrong ones were tried
        lately."""
        # The oldest of them stands last.
        oldest = f"wrong_at__{GUESSES_MAX - 1}"
        over = Q(**{f"{oldest}__lte": Now() - GUESSES_TIME})
        return self.filter(Q(**{f"{oldest}__isnull": True}) | over)

    def spend(self, link_id: uuid.UUID) -> bool:
        """Whether the link is live and had a download left, which this spends. Of any number of
        calls at the same moment, only as many succeed as there were downloads left, and none beyond
        the guesses."""
        left = Q(max_downloads=None) | Q(downloads__lt=F("max_downloads"))
        spent = self.live().open_to_guesses().filter(left, id=link_id)
        return bool(spent.update(downloads=F("downloads") + 1))

    def count_guess(self, link_id: uuid.UUID) -> bool:
        """Whether the link is live and accepts a guess, which this counts as wrong. Of any number
        of calls at the same moment, at most GUESSES_MAX succeed."""
        newest_first = "(array_prepend(statement_timestamp(), %(expressions)s))[1:%(most)s]"
        with_this = Func(F("wrong_at"), template=newest_first, most=GUESSES_MAX)
        guessed = self.live().open_to_guesses().filter(id=link_id)
        return bool(guessed.update(wrong_at=with_this))


class Link(models.Model):
    """A share link: a token that leads to one image, or to files that were sent together.

    It goes with the last of them.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    token = models.CharField(max_length=22, unique=True, default=new_token, editable=False)
    kind = models.CharField(gettext_lazy("kind"), max_length=8, choices=Kind)
    owner = models.UUIDField(help_text="The owner of the link and of its uploads.")
    name = models.CharField(
        max_length=100, blank=True, help_text="The visitor's own name for the link."
    )
    ttl = models.DurationField(
        help_text="How long the link lives after its first upload is completed."
    )
    created_at = models.DateTimeField(gettext_lazy("created"), db_default=Now(), editable=False)
    expires_at = models.DateTimeField(
        gettext_lazy("expires"),
        null=True,
        blank=True,
        help_text="When all of its uploads expire; set by the first one.",
    )
    password = models.CharField(
        max_length=128, blank=True, help_text="The password's hash; blank without a password."
    )
    max_downloads = models.PositiveIntegerField(null=True, blank=True)
    downloads = models.PositiveIntegerField(gettext_lazy("downloads"), default=0, db_default=0)
    wrong_at = ArrayField(
        models.DateTimeField(),
        default=list,
        db_default=[],
        editable=False,
        help_text="When wrong passwords came, the latest first, and no more than count.",
    )
    held_until = models.DateTimeField(
        null=True,
        blank=True,
        editable=False,
        help_text="After its last download, which may take a while: until then the bytes stay.",
    )

    seconds_left: float | None  # where it was read `with_seconds_left`
    live_uploads: list[Any]  # where it was read `with_uploads`

    objects = LinkQuerySet.as_manager()

    class Meta:
        verbose_name = gettext_lazy("link")
        verbose_name_plural = gettext_lazy("links")
        indexes = [
            models.Index(fields=["expires_at"], name="link_expires_at"),
            models.Index(fields=["owner", "kind", "created_at"], name="link_owner"),
            models.Index(
                fields=["created_at"], name="link_not_begun", condition=Q(expires_at=None)
            ),
        ]
        constraints = [
            models.CheckConstraint(name="link_kind", condition=Q(kind__in=Kind.values)),
            models.CheckConstraint(
                name="link_downloads", condition=Q(downloads__lte=F("max_downloads"))
            ),
            models.CheckConstraint(
                name="link_opens_at_least_once", condition=Q(max_downloads__gte=1)
            ),
            models.CheckConstraint(
                name="link_only_files_are_protected",
                condition=Q(kind=Kind.FILE) | Q(password="", max_downloads=None),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} link {self.id}"

    def get_absolute_url(self) -> str:
        """The link's path, which begins with the kind's letter."""
        return reverse(f"{self.kind}-link", args=[self.token])

    @property
    def size_bytes(self) -> int:
        """The total size of its `live_uploads`."""
        return sum(upload.size_bytes for upload in self.live_uploads)

    @property
    def is_protected(self) -> bool:
        """Whether nothing opens it but a POST."""
        return bool(self.password) or self.max_downloads is not None
