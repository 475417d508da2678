"""`manage.py pair_bucket`: make the bucket and the database know each other."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from uploads.bucket import marker
from uploads.errors import BucketMismatch, StorageUnavailable


class Command(BaseCommand):
    """Run by release; idempotent."""

    help = "Pair the database with its bucket by the marker in it; see uploads/bucket/marker.py."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """`--take`."""
        parser.add_argument(
            "--take",
            action="store_true",
            help="make the bucket this installation's: what has no row here is removed from it, and"
            " what has no object in it from here, however much that is",
        )

    def handle(self, *args: Any, take: bool, **options: Any) -> None:
        """Pair, or say why not. Another's bucket does not stop a release: nothing is removed."""
        try:
            paired = marker.pair(take=take)
        except BucketMismatch as error:
            self.stderr.write(self.style.WARNING(str(error)))
        except StorageUnavailable as error:
            raise CommandError(f"{error} ({error.__cause__})") from error
        else:
            self.stdout.write(f"The bucket is paired with this database: {paired}")
