"""The table of packs: the zips of links' files, and their progress."""

import uuid

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy

from uploads.keys import ZIPS, key_under
from uploads.models.link import Link
from uploads.models.moment import Moment


class PackQuerySet(models.QuerySet["Pack"]):
    """Reads, named."""

    def wanted(self, now: Moment | None = None) -> "PackQuerySet":
        """Packs that are being made for links that are live, or kept for a last download."""
        moment = now or Now()
        kept = Q(link__expires_at__gt=moment) | Q(link__held_until__gt=moment)
        return self.filter(kept, ready=False)

    def unattended(self, now: Moment | None = None) -> "PackQuerySet":
        """Packs to be made that no worker has leased, and about which no message was sent
        lately."""
        moment = now or Now()
        return self.wanted(moment).filter(lease_until__lte=moment)


class Pack(models.Model):
    """The zip of a link's files, one for each link. It is discarded with its link, and when a file
    joins the link or goes; the next zip is another one, under another key."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    # The migration makes the foreign key itself, so that Postgres deletes rows that an older
    # release leaves behind.
    link = models.OneToOneField(
        Link, models.CASCADE, related_name="pack", editable=False, db_constraint=False
    )
    created_at = models.DateTimeField(gettext_lazy("created"), db_default=Now(), editable=False)
    files = models.JSONField(help_text="The ids of the zip's uploads, in their order.")
    size_bytes = models.BigIntegerField(
        gettext_lazy("bytes"),
        help_text="The size of the zip, which is known and reserved beforehand.",
    )
    part_bytes = models.BigIntegerField(help_text="The size of each part but the last.")
    sender = models.CharField(
        max_length=32,
        blank=True,
        default="",
        help_text="The sender of its first upload, in whose share the zip counts.",
    )
    ready = models.BooleanField(default=False, help_text="Whether the zip is complete.")
    multipart_id = models.CharField(
        max_length=1000,
        blank=True,
        default="",
        help_text="The multipart upload's id, with which its parts are aborted.",
    )
    parts = models.JSONField(default=list, help_text="Storage's answer to each stored part.")
    checksums = models.JSONField(
        default=list, help_text="Each file's checksum, as far as its bytes are in those parts."
    )
    failures = models.PositiveSmallIntegerField(
        default=0, help_text="How many times in a row no part could be stored."
    )
    lease = models.UUIDField(null=True, help_text="The run of the worker that has leased the zip.")
    lease_until = models.DateTimeField(
        db_default=Now(), help_text="No message about the zip is sent before this time."
    )

    objects = PackQuerySet.as_manager()

    class Meta:
        verbose_name = gettext_lazy("zip")
        verbose_name_plural = gettext_lazy("zips")
        indexes = [
            models.Index(fields=["lease_until"], name="pack_unfinished", condition=Q(ready=False)),
            models.Index(fields=["sender"], name="pack_sender", condition=~Q(sender="")),
        ]
        constraints = [models.CheckConstraint(name="pack_size", condition=Q(size_bytes__gt=0))]

    def __str__(self) -> str:
        return f"zip {self.id}"

    @property
    def stored_bytes(self) -> int:
        """How many of its bytes are stored."""
        return min(self.size_bytes, len(self.parts) * self.part_bytes)

    @property
    def key(self) -> str:
        """The key of the zip."""
        return key_under(ZIPS, self.id)
