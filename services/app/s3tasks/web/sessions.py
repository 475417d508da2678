"""The operator's sessions: Django's in the database, asked only for keys that it could have given.

A cookie may hold any character, and Postgres refuses a query in which one is NUL.
"""

from django.contrib.sessions.backends import db


class SessionStore(db.SessionStore):
    """Django's, whose keys are letters and digits."""

    def _validate_session_key(self, key: str | None) -> bool:
        return bool(key) and len(str(key)) >= 8 and str(key).isascii() and str(key).isalnum()
