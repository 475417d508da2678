"""Leases: one run of the worker at a time has an image, or a zip, that is to be made.

Both tables have two columns for it: `lease`, the run that has the row, and `lease_until`, before
which no other run takes it and no message about it is sent.
"""

import uuid
from datetime import timedelta
from typing import TypeVar

from django.db import transaction
from django.db.models import QuerySet
from django.db.models.functions import Now

from uploads.models import Pack, Upload

RETELL_AFTER = timedelta(seconds=30)  # after which a worker gets another message about a row

Row = TypeVar("Row", Upload, Pack)


class LeaseLost(Exception):
    """The row is gone, or another run of the worker has it."""


def take_lease(rows: QuerySet[Row], row_id: uuid.UUID, time: timedelta) -> Row | None:
    """One of the rows, leased to this run of the worker; None if it is not among them, or leased to
    another run."""
    with transaction.atomic():
        row = (
            rows.filter(id=row_id)
            .exclude(lease__isnull=False, lease_until__gt=Now())
            .select_for_update(skip_locked=True, of=("self",))
            .first()
        )
        if row is not None:
            row.lease = uuid.uuid4()
            leased = rows.model.objects.filter(id=row_id)
            leased.update(lease=row.lease, lease_until=Now() + time)
    return row


def requeue_stalled(rows: QuerySet[Row], most: int) -> list[uuid.UUID]:
    """The ids of those rows that wait longest, at most so many; each gets another message, and none
    holds a lease any more."""
    with transaction.atomic():
        free = rows.order_by("lease_until").select_for_update(skip_locked=True, of=("self",))
        ids = list(free.values_list("id", flat=True)[:most])
        stalled = rows.model.objects.filter(id__in=ids)
        stalled.update(lease=None, lease_until=Now() + RETELL_AFTER)
    return ids
