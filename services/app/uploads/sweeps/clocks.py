"""The clocks of the database and of storage, and whether this machine's agrees with storage's: each
signature holds a time that storage compares with its own."""

from datetime import UTC, datetime, timedelta

from django.db import connection

from uploads.storage import storage

TOLERATED = 5  # seconds; an address lives for up to 60
# https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html RequestTimeTooSkewed
REFUSED = 15 * 60  # seconds


def difference() -> str:
    """A sentence if the clocks differ, else blank. One request; raises StorageUnavailable."""
    ahead = storage().seconds_ahead()
    if abs(ahead) <= TOLERATED:
        return ""
    which = "ahead of" if ahead > 0 else "behind"
    if abs(ahead) >= REFUSED:
        then = "it refuses whatever is signed here"
    elif ahead > 0:
        then = "an address signed here works that much longer than its upload lives"
    else:
        then = "an address signed here ends that much too soon"
    return f"The clock here is {abs(ahead):.0f} s {which} storage's: {then}. Set both by NTP."


def database_clock() -> datetime:
    """Postgres's time, which decides when an upload expires."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement_timestamp()")
        moment: datetime = cursor.fetchone()[0]
    return moment


def storage_clock() -> datetime:
    """Storage's time, by which it dates objects."""
    return datetime.now(UTC) - timedelta(seconds=storage().seconds_ahead())
