"""`manage.py verify_bucket`: whether the bucket is as the app needs it."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from uploads.bucket import rules
from uploads.errors import StorageUnavailable
from uploads.storage import S3, storage


class Command(BaseCommand):
    """Run by release: a warning for each fault, and a failure if one is fatal."""

    help = "Name the bucket's faults; fail if uploads would be impossible or undeletable."

    def handle(self, *args: Any, **options: Any) -> None:
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
