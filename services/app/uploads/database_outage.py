"""Outages of Postgres: it does not answer, or refuses for now, which is no error in the program."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DatabaseError, InterfaceError, OperationalError
from django.utils.translation import gettext as _

from uploads.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

# SQLSTATEs that Django takes for errors in the program although they are outages: the database is
# read-only (a failover), or it ended the session.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
PASSING = {"25006", "25P03", "25P04"}
# A statement that exceeds Postgres's own limits will not work in a minute either.
PROGRAM_LIMITS = "54"


def is_outage(error: BaseException) -> bool:
    """Whether the error means that the database can't answer now, but may in a minute."""
    if isinstance(error, InterfaceError):
        return True
    if not isinstance(error, DatabaseError):
        return False
    code = getattr(error.__cause__, "pgcode", None) or ""
    if isinstance(error, OperationalError):
        return not code.startswith(PROGRAM_LIMITS)
    # Without a code, it is psycopg2's own error for a connection that was lost in the middle.
    return code in PASSING or (type(error) is DatabaseError and not code)


def unavailable(error: BaseException) -> DatabaseUnavailable:
    """The error with a sentence for the visitor; the cause goes into the log."""
    log.error("the database does not answer: %s", error)
    return DatabaseUnavailable(
        _("The database is not responding at the moment. Please try again in a minute.")
    )


@contextmanager
def database_answering() -> Iterator[None]:
    """Turn an outage into DatabaseUnavailable."""
    try:
        yield
    except (DatabaseError, InterfaceError) as error:
        if not is_outage(error):
            raise
        raise unavailable(error) from error
