"""Replaces Django's command of this name, which calls GNU gettext."""

from typing import Any

from django.core.management.base import BaseCommand

from s3tasks import translations


class Command(BaseCommand):
    """Calls s3tasks.translations, which needs no GNU gettext."""

    help = "Writes the catalogues that Django reads from locale/."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        for path in translations.compile_all():
            if options["verbosity"]:
                self.stdout.write(str(path))
