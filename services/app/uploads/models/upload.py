"""The table of uploads: an upload's facts, its state, and the reads by name."""

import uuid
from functools import reduce
from operator import or_

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Cast, Extract, Greatest, Now
from django.template.defaultfilters import floatformat
from django.urls import reverse
from django.utils.translation import gettext, gettext_lazy

from uploads.errors import UploadNotFound
from uploads.keys import INCOMING, PREFIXES, SERVED, THUMBS, key_under
from uploads.models.kind import Kind
from uploads.models.link import Link
from uploads.models.moment import Moment


class State(models.TextChoices):
    """The states of an upload."""

    PENDING = "pending", gettext_lazy("pending")  # no bytes known yet
    # An image that the worker has not made safe yet.
    CHECKING = "checking", gettext_lazy("checking")
    READY = "ready", gettext_lazy("ready")  # shown and shared
    # Could not be made safe: a notice, until it expires.
    REJECTED = "rejected", gettext_lazy("rejected")


# Announced, but not sent: nobody knows whether the bytes will ever come.
UNSENT = Q(state=State.PENDING, ticket_until__isnull=False)


class UploadQuerySet(models.QuerySet["Upload"]):
    """Reads, named."""

    def live(self, now: Moment | None = None) -> "UploadQuerySet":
        """Completed uploads that have not expired: all that anybody may see."""
        return self.filter(expires_at__gt=now or Now())

    def known(self, now: Moment | None = None) -> "UploadQuerySet":
        """Uploads that their owner may ask about: live ones, and pending ones within their
        deadline."""
        moment = now or Now()
        return self.filter(Q(expires_at__gt=moment) | Q(deadline__gt=moment))

    def counted(self, now: Moment | None = None) -> "UploadQuerySet":
        """Uploads that count in a visitor's quota: live or pending, not rejected."""
        return self.known(now).exclude(state=State.REJECTED)

    def kept(self, now: Moment | None = None) -> "UploadQuerySet":
        """Uploads that a visitor who opened their link may download: live, or expired by its last
        download, which may be going on. With `seconds_kept` on each, as `seconds_left`."""
        moment = now or Now()
        end = Greatest("expires_at", "link__held_until")
        left = Cast(Extract(end - Now(), "epoch"), models.FloatField())
        there = self.filter(Q(expires_at__gt=moment) | Q(link__held_until__gt=moment))
        return there.annotate(seconds_kept=left)  # type: ignore[no-redef]  # declared below

    def due(self, now: Moment | None = None) -> "UploadQuerySet":
        """Uploads to discard: expired and not kept for a last download, or not completed in
        time."""
        moment = now or Now()
        over = Q(link__held_until=None) | Q(link__held_until__lte=moment)
        late = Q(state=State.PENDING, deadline__lte=moment)
        return self.filter(Q(over, expires_at__lte=moment) | late)

    def unattended(self, now: Moment | None = None) -> "UploadQuerySet":
        """Images to be made safe that no worker has leased, and about which no message was sent
        lately."""
        moment = now or Now()
        return self.live(moment).filter(state=State.CHECKING, lease_until__lte=moment)

    def with_seconds_left(self) -> "UploadQuerySet":
        """The uploads with `seconds_left`: a float, by Postgres's clock."""
        left = Extract(F("expires_at") - Now(), "epoch")
        seconds = Cast(left, models.FloatField())
        return self.annotate(seconds_left=seconds)  # type: ignore[no-redef]  # declared below

    def of_owner(self, owner: uuid.UUID, upload_id: uuid.UUID) -> "Upload":
        """The owner's upload; raises UploadNotFound if it is another's or gone."""
        upload = self.filter(id=upload_id, owner=owner).first()
        if upload is None:
            raise UploadNotFound(
                gettext("There is no such upload. It may already have been deleted.")
            )
        return upload

    def with_object_under(self, prefix: str) -> "UploadQuerySet":
        """Uploads that may own an object under this prefix of storage: `incoming`, `images`, ….

        Expired uploads count: they own their objects until they are discarded.
        """
        owners = PREFIXES[prefix].owners
        owning = (Q(kind=kind, state__in=states) for kind, states in owners.items())
        return self.filter(reduce(or_, owning))

    def lock(self, upload_id: uuid.UUID) -> "Upload | None":
        """The row with its link, both locked until the transaction ends; the link first."""
        Link.objects.select_for_update(of=("self",)).filter(uploads=upload_id).first()
        return self.with_link().select_for_update(of=("self",)).filter(id=upload_id).first()

    def with_link(self) -> "UploadQuerySet":
        """The uploads with their `link`, read in the same query."""
        return self.select_related("link")

    def unsent(self) -> "UploadQuerySet":
        """Announced uploads, whose bytes come by a ticket, if they come."""
        return self.filter(UNSENT)


class Upload(models.Model):
    """One row; its objects in storage, whose keys are functions of its id."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(gettext_lazy("kind"), max_length=8, choices=Kind)
    state = models.CharField(
        gettext_lazy("state"), max_length=8, choices=State, default=State.PENDING
    )
    owner = models.UUIDField(help_text="The visitor's random id, or the shared board's id.")
    link = models.ForeignKey(Link, models.CASCADE, related_name="uploads", editable=False)
    filename = models.CharField(gettext_lazy("file name"), max_length=255)
    folder = models.CharField(
        max_length=1000,
        blank=True,
        default="",
        db_default="",
        help_text="The file's folder among its link's files, as a relative path; blank for none.",
    )
    size_bytes = models.BigIntegerField(
        gettext_lazy("bytes"), help_text="The claimed size while pending, then the stored size."
    )
    content_type = models.CharField(
        max_length=100, blank=True, help_text="The content type, recognised by the bytes."
    )
    reason = models.CharField(max_length=200, blank=True, help_text="Why the image was rejected.")
    created_at = models.DateTimeField(gettext_lazy("created"), db_default=Now(), editable=False)
    deadline = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When the upload is discarded unless it has been completed.",
    )
    expires_at = models.DateTimeField(
        gettext_lazy("expires"),
        null=True,
        blank=True,
        help_text="When the upload expires, with its link; set by `complete`.",
    )
    # These have defaults in the database as well: while a release is rolled out, older code writes
    # rows.
    sender = models.CharField(
        max_length=32,
        blank=True,
        default="",
        db_default="",
        help_text="A keyed hash of the sender's address, in whose share the upload counts.",
    )
    ticket_until = models.DateTimeField(
        null=True,
        blank=True,
        help_text="When the last bytes by the upload's ticket may arrive.",
    )
    incoming_bytes = models.BigIntegerField(
        default=0,
        db_default=0,
        help_text="Bytes under its incoming key, or still expected there; counted in addition.",
    )
    multipart_id = models.CharField(
        max_length=1000,
        blank=True,
        default="",
        db_default="",
        help_text="The multipart upload's id, with which its parts are aborted.",
    )
    attempts = models.PositiveSmallIntegerField(
        default=0, help_text="How often the worker has tried to make the image safe."
    )
    lease = models.UUIDField(
        null=True, blank=True, help_text="The run of the worker that has leased the image."
    )
    lease_until = models.DateTimeField(
        null=True, blank=True, help_text="No message about the image is sent before this time."
    )

    seconds_left: float  # where it was read `with_seconds_left`
    seconds_kept: float  # where it is among the `kept`

    objects = UploadQuerySet.as_manager()

    class Meta:
        verbose_name = gettext_lazy("upload")
        verbose_name_plural = gettext_lazy("uploads")
        indexes = [
            models.Index(fields=["expires_at"], name="upload_expires_at"),
            models.Index(fields=["owner", "kind", "created_at"], name="upload_owner"),
            models.Index(
                fields=["deadline"], name="upload_deadline", condition=Q(state=State.PENDING)
            ),
            models.Index(fields=["sender"], name="upload_sender", condition=~Q(sender="")),
            models.Index(
                fields=["lease_until"], name="upload_checking", condition=Q(state=State.CHECKING)
            ),
        ]
        constraints = [
            models.CheckConstraint(
                name="upload_pending_has_a_deadline_instead_of_expires_at",
                condition=Q(state=State.PENDING, deadline__isnull=False, expires_at__isnull=True)
                | (Q(deadline__isnull=True, expires_at__isnull=False) & ~Q(state=State.PENDING)),
            ),
            models.CheckConstraint(name="upload_kind", condition=Q(kind__in=Kind.values)),
            models.CheckConstraint(name="upload_state", condition=Q(state__in=State.values)),
            models.CheckConstraint(
                name="upload_only_images_are_checked",
                condition=Q(kind=Kind.IMAGE) | Q(state__in=[State.PENDING, State.READY]),
            ),
            models.CheckConstraint(name="upload_size", condition=Q(size_bytes__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id} ({self.state})"

    @property
    def path(self) -> str:
        """Its name among its link's files, the folder before it: no other of them has it."""
        return f"{self.folder}/{self.filename}" if self.folder else self.filename

    @property
    def file_address(self) -> str:
        """The path at which a file is always its bytes, under its own name."""
        return reverse("file", args=[self.link.token, self.path])

    @property
    def reason_sentence(self) -> str:
        """Why the image was rejected, in the reader's language; else blank."""
        if not self.reason:
            return ""
        megapixels = floatformat(settings.MAX_IMAGE_PIXELS / 1_000_000, -1)
        return gettext(self.reason) % {"megapixels": megapixels}

    @property
    def incoming_key(self) -> str:
        """The key under which the bytes arrive: under `incoming/`, which no link leads to. The
        bytes of a file that come through the app go to its served key at once, since no client has
        an address for that."""
        if self.kind == Kind.IMAGE or self.ticket_until is not None:
            return key_under(INCOMING, self.id)
        return self.served_key

    @property
    def served_key(self) -> str:
        """The key that its link leads to."""
        return key_under(SERVED[self.kind], self.id)

    @property
    def thumbnail_key(self) -> str:
        """The key of an image's thumbnail."""
        return key_under(THUMBS, self.id)
