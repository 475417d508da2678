"""`manage.py release`: what comes before the other processes start; `bin/release` runs it."""

from contextlib import suppress
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from uploads.errors import StorageUnavailable
from uploads.sweeps import clocks, report


class Command(BaseCommand):
    """One command rather than three: each start of Django takes a second."""

    help = "Check the settings, migrate the database, pair the bucket with it, and verify that."

    def handle(self, *args: Any, **options: Any) -> None:
        """Safe to run again; whatever fails stops the deployment."""
        call_command("check", databases=["default"])
        call_command("migrate", interactive=False)
        report.begin()
        with suppress(StorageUnavailable):  # whom pair_bucket asks next
            if sentence := clocks.difference():
                self.stderr.write(self.style.WARNING(sentence))
        call_command("pair_bucket")
        call_command("verify_bucket", stdout=self.stdout, stderr=self.stderr)
