"""The table of one row: the installation itself."""

from django.db import models
from django.db.models import Q


class Installation(models.Model):
    """One row: the id that pairs this database with its bucket, and the bytes reserved of the
    total."""

    ROW = 1

    id = models.PositiveSmallIntegerField(primary_key=True, default=ROW)
    marker = models.UUIDField(null=True, help_text="The id that the bucket's marker must hold.")
    used_bytes = models.BigIntegerField(default=0)
    removal_agreed = models.BooleanField(
        default=False,
        db_default=False,
        help_text="The operator agreed that reconcile may remove more than a fifth.",
    )

    class Meta:
        constraints = [models.CheckConstraint(name="installation_one_row", condition=Q(id=1))]

    def __str__(self) -> str:
        return str(self.marker)
