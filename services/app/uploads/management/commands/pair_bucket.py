"""`manage.py pair_bucket`: pair the bucket and the database by the marker."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from uploads.bucket import marker
from uploads.errors import BucketMismatch, StorageUnavailable


class Command(BaseCommand):
    """Run by release; idempotent."""

    help = "Pair the database with its bucket by the marker in it; see uploads/bucket/marker.py."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--take",
            action="store_true",
            help="make the bucket this installation's, and agree to remove its objects without a"
            " row here, and rows without an object there, however many there are",
        )

    def handle(self, *args: Any, take: bool, **options: Any) -> None:
        """A foreign bucket doesn't stop a release, because nothing is removed from it."""
        try:
            paired = marker.pair(take=take)
        except BucketMismatch as error:
            self.stderr.write(self.style.WARNING(str(error)))
        except StorageUnavailable as error:
            raise CommandError(f"{error} ({error.__cause__})") from error
        else:
            self.stdout.write(f"The bucket is paired with this database: {paired}")
