"""Whose bucket it is: unless its marker is this database's, nothing in it is removed.

The bucket's marker and the database's are paired once, by release or the first reconcile. A fresh
database over a bucket that holds somebody's uploads must not take them for its own leftovers, and a
database must not delete what another installation stored in a bucket it was pointed at by mistake.
"""

import io
import uuid

from uploads.errors import BucketMismatch
from uploads.keys import MARKER, PREFIXES
from uploads.models import Installation
from uploads.storage import storage

NO_MARKER = "The bucket has no marker. `manage.py pair_bucket` writes one."
NO_MARKER_IN_USE = (
    "The bucket has no marker and holds uploads: nothing is removed. If they are this"
    " installation's, or nobody's, run `manage.py pair_bucket --take`."
)


def check_ours() -> None:
    """Return if the bucket answers and its marker is ours. One request.

    Raises BucketMismatch with a sentence for the sweep's row, or StorageUnavailable.
    """
    found = read_marker()
    ours = Installation.objects.get().marker
    if found is None:
        raise BucketMismatch(NO_MARKER_IN_USE if has_uploads() else NO_MARKER)
    if as_id(found) is None:
        raise BucketMismatch(
            f"The bucket's object `{MARKER}` holds no installation's id but {found!a}:"
            " nothing is removed. If the bucket is right, run `manage.py pair_bucket --take`."
        )
    if as_id(found) != ours:
        raise BucketMismatch(
            f"The bucket belongs to the installation {found}, this database is {ours}: nothing is"
            " removed. If the bucket is right, run `manage.py pair_bucket --take`."
        )


def check_not_foreign() -> None:
    """Return if the bucket answers and its marker is ours or missing.

    That is enough to believe that an object has vanished: if somebody emptied the bucket, the
    marker is gone as well. Raises BucketMismatch or StorageUnavailable.
    """
    storage().check_bucket()
    if read_marker() is not None:
        check_ours()


def read_marker() -> str | None:
    """The marker's content, whether it is an id or not; None if the bucket exists but has no
    marker."""
    body = storage().read(MARKER, 100)
    return None if body is None else body.decode(errors="replace").strip()


def as_id(marker: str | None) -> uuid.UUID | None:
    """The id of the installation in the marker; None if it is not an id."""
    try:
        return uuid.UUID(marker)
    except (ValueError, TypeError):
        return None


def pair(*, take: bool = False) -> uuid.UUID:
    """Pair the database with its bucket, and return the marker; idempotent.

    A database without a marker adopts the marker of a bucket without uploads, and otherwise makes
    its own. A bucket without a marker gets one only while it holds no uploads. `take` makes the
    bucket this installation's, whatever it holds. It is also the operator's consent to a removal
    that reconcile would otherwise refuse: objects without a row, and rows without an object, are
    then removed, however many there are. Raises BucketMismatch or StorageUnavailable.
    """
    row = Installation.objects.get()
    if row.marker is None:
        storage().prepare()
    found = read_marker()
    empty = not has_uploads()
    if row.marker is None:
        marker = (as_id(found) if empty else None) or uuid.uuid4()
        # Another process may have made its first start at the same time; both then write the same
        # marker.
        Installation.objects.filter(marker=None).update(marker=marker)
        row.marker = Installation.objects.get().marker or marker
    if take or (found is None and empty):
        body = io.BytesIO(str(row.marker).encode())
        storage().put(MARKER, body, content_type="text/plain")
    check_ours()
    if take:
        row.removal_agreed = True
        row.save(update_fields=["removal_agreed"])
    return row.marker


def has_uploads() -> bool:
    """Whether the bucket holds any object under one of our prefixes."""
    return any(next(storage().pages(prefix), []) for prefix in PREFIXES)
