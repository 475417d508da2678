"""`manage.py release`: all that must happen before the other processes start."""

from contextlib import suppress
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from uploads.errors import StorageUnavailable
from uploads.sweeps import clocks, report


class Command(BaseCommand):
    """Run by `bin/release`. One command instead of four, because each start of Django takes a
    second."""

    help = (
        "Check the settings, migrate the database, pair it with the bucket, and verify the bucket."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        """Safe to run again; whatever fails stops the deployment."""
        call_command("check", databases=["default"])
        call_command("migrate", interactive=False)
        report.begin()
        with suppress(StorageUnavailable):  # pair_bucket reports it next
            if sentence := clocks.difference():
                self.stderr.write(self.style.WARNING(sentence))
        call_command("pair_bucket")
        call_command("verify_bucket", stdout=self.stdout, stderr=self.stderr)
