"""The real parts, made quick for thousands of tests that each begin with nothing."""

from contextlib import closing
from typing import Any

import psycopg2

# What the migrations wrote; all other rows are a test's.
LASTING = {"auth_permission", "django_content_type"}


def without_waiting_for_the_disk(url: str) -> None:
    """Postgres, from here on: a power cut may cost the tests their database."""
    with closing(psycopg2.connect(url)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for name in ("fsync", "full_page_writes", "synchronous_commit"):
                cursor.execute(f"ALTER SYSTEM SET {name} = off")
            cursor.execute("SELECT pg_reload_conf()")


def empty_by_deleting() -> None:
    """What follows a test with real transactions takes a millisecond; Django's TRUNCATE of all
    tables, with what migrations write into them, takes a hundred.
    """
    from django.db import connection
    from django.test import TransactionTestCase

    def empty(self: TransactionTestCase) -> None:
        names = set(connection.introspection.django_table_names(include_views=False)) - LASTING
        delete = [f'DELETE FROM "{name}"' for name in sorted(names)]  # noqa: S608  our own names
        with connection.cursor() as cursor:
            cursor.execute("; ".join(delete))  # in one transaction: rows may point to each other

    TransactionTestCase._fixture_teardown = empty


def share_clients() -> None:
    """One of boto3's for all tests with the same endpoint and patience: each takes 20 ms."""
    from uploads.storage.s3_client import shared_session

    session, made = shared_session(), {}
    make = session.resource

    def resource(name: str, *, config: Any, **options: Any) -> Any:
        key = repr((name, options, vars(config)))
        if key not in made:
            made[key] = make(name, config=config, **options)
        return made[key]

    session.resource = resource
