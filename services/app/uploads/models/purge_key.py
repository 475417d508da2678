"""The queue of keys to delete from storage."""

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils.translation import gettext_lazy

from uploads.models.moment import Moment


class PurgeKeyQuerySet(models.QuerySet["PurgeKey"]):
    """Reads, named."""

    def due(self, now: Moment | None = None) -> "PurgeKeyQuerySet":
        """Keys to delete from storage now."""
        return self.filter(not_before__lte=now or Now())


class PurgeKey(models.Model):
    """A key to delete from storage; the row is deleted once storage confirms that the object is
    gone."""

    key = models.CharField(gettext_lazy("key"), max_length=200, primary_key=True)
    size_bytes = models.BigIntegerField(
        gettext_lazy("bytes"),
        default=0,
        help_text="The bytes that its deletion gives back to the total quota.",
    )
    multipart_id = models.CharField(
        max_length=1000,
        blank=True,
        default="",
        db_default="",
        help_text="A multipart upload under the key, which is aborted first.",
    )
    not_before = models.DateTimeField(gettext_lazy("not before"), db_default=Now())
    attempts = models.PositiveIntegerField(gettext_lazy("attempts"), default=0)
    until = models.DateTimeField(
        null=True,
        blank=True,
        help_text="Until then a ticket can write the key: it is deleted again; its bytes count.",
    )
    sender = models.CharField(
        max_length=32,
        blank=True,
        default="",
        db_default="",
        help_text="The discarded upload's sender, in whose share its bytes count.",
    )
    unsent = models.BooleanField(
        default=False,
        db_default=False,
        help_text="Whether its upload was announced and never sent.",
    )

    objects = PurgeKeyQuerySet.as_manager()

    class Meta:
        verbose_name = gettext_lazy("purge key")
        verbose_name_plural = gettext_lazy("purge keys")
        indexes = [
            models.Index(fields=["not_before"], name="purgekey_not_before"),
            models.Index(fields=["sender"], name="purgekey_sender", condition=~Q(sender="")),
            models.Index(fields=["key"], name="purgekey_unsent", condition=Q(unsent=True)),
        ]

    def __str__(self) -> str:
        return self.key
