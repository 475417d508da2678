"""Delete the queued keys from storage, and give their bytes back to the quota."""

from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F, IntegerField, Sum, Value
from django.db.models.functions import Least, Now, Power

from uploads.bucket import marker
from uploads.errors import StorageUnavailable
from uploads.models import Installation, PurgeKey
from uploads.storage import DELETE_MAX, storage
from uploads.sweeps.clocks import database_clock
from uploads.sweeps.report import Report
from uploads.sweeps.run import Run

# Longer than one DeleteObjects may take with its timeouts and its retry.
PURGE_LEASE = timedelta(seconds=30)
# After which a key that a ticket can still write is deleted again.
PURGE_AGAIN = timedelta(seconds=60)
PURGE_BACKOFF_MAX = 5  # doublings, for a key that storage will not delete


def purge(run: Run) -> int:
    """Delete the queued keys that are due from storage, and forget them; how many there were.

    Stops if the bucket is not ours or does not answer.
    """
    total = 0
    while not run.turn.over() and PurgeKey.objects.due(run.now).exists():
        marker.check_ours()
        moment = run.now or database_clock()
        leased = lease_keys(moment)
        if not leased:  # another transaction has locked them
            break
        whole = [key for key in leased if not leased[key]]
        in_parts = {key: leased[key] for key in leased if leased[key]}
        with run.report.part(""):
            total += purge_keys(whole, moment, run.report)
        with run.report.part(""):
            total += purge_parts(in_parts, moment, run)
        if run.report.error is not None:
            break
    return total


def purge_keys(keys: list[str], leased_at: datetime, report: Report) -> int:
    """Delete the keys from storage, in two requests at the same time; how many are gone."""
    halves = [half for half in (keys[::2], keys[1::2]) if half]
    with ThreadPoolExecutor(2) as pool:
        errors = {
            key: cause for stay in pool.map(storage().delete, halves) for key, cause in stay.items()
        }
    report.stays(errors)
    return forget_keys([key for key in keys if key not in errors], leased_at)


def purge_parts(parts: dict[str, str], leased_at: datetime, run: Run) -> int:
    """Abort the multipart uploads under the keys, by their ids, and delete the keys; how many are
    gone.

    One key at a time: a key that fails, or takes too long, is postponed and stops no other.
    """
    total = 0
    errors = {}
    for key, multipart_id in parts.items():
        if run.turn.over():
            break
        try:
            storage().abort_parts(key, multipart_id)
            total += purge_keys([key], leased_at, run.report)
        except StorageUnavailable as error:
            errors[key] = error.cause
    run.report.stays(errors)
    return total


def lease_keys(now: datetime) -> dict[str, str]:
    """Up to DELETE_MAX due keys, each with the id of its parts or blank; they are postponed, in
    case this process dies before it can forget them.

    Each attempt postpones a key for twice as long as the one before. Keys that were tried before
    are leased separately, and fewer at a time, because one of them may be why storage refused all.
    """
    with transaction.atomic():
        due = PurgeKey.objects.due(now).order_by("not_before")
        tried = due.values_list("attempts", flat=True).first() or 0
        count = max(1, DELETE_MAX >> 3 * min(tried, 4))
        keys = dict(
            due.filter(attempts=tried)
            .select_for_update(skip_locked=True)
            .values_list("key", "multipart_id")[:count]
        )
        doublings = Least(F("attempts"), PURGE_BACKOFF_MAX)
        leases = Power(2, doublings, output_field=IntegerField())
        PurgeKey.objects.filter(key__in=keys).update(
            not_before=now + Value(PURGE_LEASE) * leases, attempts=F("attempts") + 1
        )
    return keys


def forget_keys(keys: list[str], leased_at: datetime) -> int:
    """Forget the keys, which are gone from storage, and give their bytes back to the quota; how
    many there were.

    A key that a ticket could still write when it was leased stays queued, is deleted again later,
    and its bytes stay counted. A key that was queued again meanwhile stays due, because bytes may
    have been stored under it after its deletion. The usage row is locked first, in the same order
    as in `reserve_bytes`.
    """
    with transaction.atomic():
        installation = Installation.objects.select_for_update().get()
        mine = PurgeKey.objects.filter(key__in=keys, not_before__gt=Now()).order_by("key")
        leased = list(mine.select_for_update().values_list("key", flat=True))
        gone = PurgeKey.objects.filter(key__in=leased).exclude(until__gt=leased_at)
        gone_bytes = gone.aggregate(sum=Sum("size_bytes"))["sum"] or 0
        count = gone.delete()[0]
        PurgeKey.objects.filter(key__in=leased).update(
            not_before=Least(F("until"), leased_at + PURGE_AGAIN), attempts=0
        )
        if gone_bytes:
            installation.used_bytes = max(0, installation.used_bytes - gone_bytes)
            installation.save(update_fields=["used_bytes"])
    return count
