"""The operator's sessions: Django's in the database, which is asked only for keys that Django could
have made.

A cookie may hold any character, and Postgres fails on a query with a NUL in it.
"""

from django.contrib.sessions.backends import db


class SessionStore(db.SessionStore):
    """Django's store, for keys of letters and digits only."""

    def _validate_session_key(self, key: str | None) -> bool:
        return bool(key) and len(str(key)) >= 8 and str(key).isascii() and str(key).isalnum()
