"""Replaces Django's command of this name, which calls GNU gettext."""

from typing import Any

from django.core.management.base import BaseCommand

from s3tasks import translations


class Command(BaseCommand):
    """Calls s3tasks.translations, which needs no GNU gettext."""

    help = "Bring locale/ up to date with the sources, and count the messages left to translate."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        for path in translations.catalogues():
            catalogue = translations.updated(path)
            catalogue.save(str(path))
            left = len(catalogue.untranslated_entries())
            self.stdout.write(f"{path}: {len(catalogue)} messages, {left} to translate")
