"""`manage.py setup_bucket`: set the rules of a bucket on S3, once, with its owner's keys."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from uploads.bucket import rules
from uploads.errors import StorageUnavailable
from uploads.storage import S3, storage


class Command(BaseCommand):
    """Run by the deployer, with their own AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the
    environment of this one command: the app's keys may not do this."""

    help = "Set the bucket's CORS and lifecycle rules; refuse a bucket that keeps versions."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--origin",
            action="append",
            default=[],
            help="the origin of a page that uploads, such as https://drop.example.org; by"
            " default, each of ALLOWED_HOSTS",
        )

    def handle(self, *args: Any, origin: list[str], **options: Any) -> None:
        s3 = storage()
        if not isinstance(s3, S3):
            raise CommandError("USE_S3=False: there is no bucket.")
        origins = [o.rstrip("/") for o in origin] or rules.origins()
        if not origins:
            raise CommandError("Name the pages that may upload: --origin https://drop.example.org")
        try:
            for done in rules.set_rules(s3, origins):
                self.stdout.write(done)
        except StorageUnavailable as error:
            raise CommandError(f"{error} ({error.__cause__})") from error
        except ValueError as error:
            raise CommandError(str(error)) from error
