"""Compare rows with storage, in both directions."""

from datetime import datetime, timedelta

from django.db import connection

from uploads.bucket import marker
from uploads.errors import StorageUnavailable
from uploads.keys import PREFIXES, prefix_of
from uploads.models import Installation, Pack, State, Upload
from uploads.storage import storage
from uploads.sweeps.clocks import database_clock, storage_clock
from uploads.sweeps.run import Run
from uploads.sweeps.walk import Reconciled, Walk

# Younger rows and objects may still be on their way.
GRACE = timedelta(seconds=60)


def reconcile(run: Run) -> Reconciled:
    """Compare rows with storage, in both directions.

    1. List each prefix beside its rows. A long listing pauses if others wait, and goes on from
       there in its next turn.
    2. Queue the keys of objects that no row owns, and discard rows whose objects have vanished.
    3. Abort forgotten multipart uploads, and recount the stored bytes.

    Each of these that fails is said in its row and stops no other. Nothing is removed from a bucket
    that is not ours or does not answer; of rows, or of objects, not where it would be too much,
    unless its operator agreed to that (`pair_bucket --take`): once, or where there is more than one
    pass removes, until it is done.
    """
    report = run.report
    marker.pair()
    walked = Walk.resume()
    # Rows are dated by the database's clock, objects by storage's.
    rows_before = (run.now or database_clock()) - GRACE
    objects_before = (run.now or storage_clock()) - GRACE
    while walked.prefixes and not run.turn.over():
        with report.part(f"{walked.prefixes[0]}/"):
            walked.go_on(rows_before, objects_before, run.turn)
            continue
        walked.next_prefix()
    agreed = Installation.objects.get().removal_agreed
    if not walked.prefixes:
        with report.part("objects"):
            walked.queue_orphans(agreed, report)
        with report.part("rows"):
            walked.discard_missing(agreed, run.turn, report)
    if not walked.unfinished:
        with report.part("parts"):
            walked.done.aborted = abort_forgotten_parts(objects_before, run)
        with report.part("bytes"):
            recount_bytes()
        if agreed and walked.orphans.all_kept and walked.missing.all_kept:
            Installation.objects.update(removal_agreed=False)
    walked.well = report.well = walked.well and report.error is None
    walked.rest()
    return walked.done


def abort_forgotten_parts(settled_before: datetime, run: Run) -> int:
    """Abort multipart uploads that no row names; how many there were.

    A process that dies after it began one, and before it wrote the id into its row, leaves one
    behind.
    """
    total = 0
    errors = {}
    for page in storage().list_parts():
        ours = [
            parts
            for parts in page
            if parts.begun_at <= settled_before and prefix_of(parts.key) in PREFIXES
        ]
        ids = [parts.multipart_id for parts in ours]
        arriving = Upload.objects.filter(state=State.PENDING, multipart_id__in=ids)
        packed = Pack.objects.filter(ready=False, multipart_id__in=ids)
        named = {
            *arriving.values_list("multipart_id", flat=True),
            *packed.values_list("multipart_id", flat=True),
        }
        for parts in ours:
            if parts.multipart_id not in named and not run.turn.over():
                try:
                    storage().abort_parts(parts.key, parts.multipart_id)
                    total += 1
                except StorageUnavailable as error:
                    errors[parts.key] = error.cause
    run.report.stays(errors)
    return total


def recount_bytes() -> None:
    """Set the usage row to the sum of the rows' and the queued keys' bytes.

    One statement sees the sums and the usage row at the same moment, and adds the difference to the
    row as it is when the sums are done, so nobody waits for the summing.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            UPDATE uploads_installation
               SET used_bytes = greatest(0, uploads_installation.used_bytes + seen.missing)
              FROM (SELECT (SELECT coalesce(sum(size_bytes), 0) FROM uploads_upload
                             WHERE state <> 'rejected')
                         + (SELECT coalesce(sum(incoming_bytes), 0) FROM uploads_upload)
                         + (SELECT coalesce(sum(size_bytes), 0) FROM uploads_pack)
                         + (SELECT coalesce(sum(size_bytes), 0) FROM uploads_purgekey)
                         - used_bytes AS missing
                      FROM uploads_installation) AS seen
             WHERE seen.missing <> 0
            """
        )
