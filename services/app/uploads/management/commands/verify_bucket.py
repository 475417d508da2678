"""`manage.py verify_bucket`: whether the bucket is and does what it must."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from uploads.bucket import rules
from uploads.errors import StorageUnavailable
from uploads.storage import S3, storage


class Command(BaseCommand):
    """Run by release."""

    help = "Name what the bucket lacks; fails for what makes uploads impossible or undeletable."

    def handle(self, *args: Any, **options: Any) -> None:
        """A warning for each finding; a failure where one is fatal."""
        s3 = storage()
        if not isinstance(s3, S3):
            return
        try:
            findings = list(rules.verify(s3))
        except StorageUnavailable as error:
            raise CommandError(f"{error} ({error.__cause__})") from error
        for finding in findings:
            if not finding.fatal:
                self.stderr.write(self.style.WARNING(f"bucket: {finding.sentence}"))
        if fatal := [finding.sentence for finding in findings if finding.fatal]:
            raise CommandError("\n".join(fatal))
