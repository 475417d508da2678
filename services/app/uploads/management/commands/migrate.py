"""`manage.py migrate`: Django's, with time limits for migrations."""

from typing import Any

from django.core.management.commands import migrate
from django.db import connections

# The settings' time limits are for requests. While a migration waits for a table's lock, later
# queries wait behind it, so it fails early and is run again.
TIMEOUTS = {
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": "5s",
}


class Command(migrate.Command):
    """Run by release, or by hand; the limits hold until the migrations are done."""

    def handle(self, *args: Any, **options: Any) -> None:
        with connections[options["database"]].cursor() as cursor:
            for name, value in TIMEOUTS.items():
                cursor.execute(f"SET {name} = '{value}'")
        super().handle(*args, **options)
        with connections[options["database"]].cursor() as cursor:
            for name in TIMEOUTS:
                cursor.execute(f"RESET {name}")
