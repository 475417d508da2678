"""`manage.py migrate`: Django's, with the time that a migration takes."""

from typing import Any

from django.core.management.commands import migrate
from django.db import connections

# The settings' own are those of a request. While a migration waits for a table, all who come after
# wait behind it: it rather fails, and is run again.
TIMEOUTS = {
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": "5s",
}


class Command(migrate.Command):
    """Run by release, and by hand."""

    def handle(self, *args: Any, **options: Any) -> None:
        """For this connection, and until it is done."""
        with connections[options["database"]].cursor() as cursor:
            for name, value in TIMEOUTS.items():
                cursor.execute(f"SET {name} = '{value}'")
        super().handle(*args, **options)
        with connections[options["database"]].cursor() as cursor:
            for name in TIMEOUTS:
                cursor.execute(f"RESET {name}")
