"""`manage.py setup_bucket`: what a bucket on S3 must be told once, by whoever owns it."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from uploads.bucket import rules
from uploads.errors import StorageUnavailable
from uploads.storage import S3, storage


class Command(BaseCommand):
    """Run by the deployer, whose credentials stand in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY
    for this one command: the app's own may not do this."""

    help = "Set the bucket's CORS and lifecycle rules; refuses one that keeps versions."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """`--origin`."""
        parser.add_argument(
            "--origin",
            action="append",
            default=[],
            help="a page's origin, as https://drop.example.org; default: each of ALLOWED_HOSTS",
        )

    def handle(self, *args: Any, origin: list[str], **options: Any) -> None:
        """Set what is to be set, and say so."""
        s3 = storage()
        if not isinstance(s3, S3):
            raise CommandError("USE_S3=False: there is no bucket.")
        origins = [o.rstrip("/") for o in origin] or rules.origins()
        if not origins:
            raise CommandError("Which pages may upload? --origin https://drop.example.org")
        try:
            for done in rules.set_rules(s3, origins):
                self.stdout.write(done)
        except StorageUnavailable as error:
            raise CommandError(f"{error} ({error.__cause__})") from error
        except ValueError as error:
            raise CommandError(str(error)) from error
