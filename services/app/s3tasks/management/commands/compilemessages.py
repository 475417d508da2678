"""In place of Django's command, which calls GNU gettext."""

from typing import Any

from django.core.management.base import BaseCommand

from s3tasks import translations


class Command(BaseCommand):
    """The work is s3tasks.translations'."""

    help = "Writes the catalogues that Django reads from locale/."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        for path in translations.compile_all():
            if options["verbosity"]:
                self.stdout.write(str(path))
