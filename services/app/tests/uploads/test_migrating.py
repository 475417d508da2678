"""What a migration may take, by every door: as long as it needs, but nobody waits behind it."""

import psycopg2
import pytest
from django.core.management import call_command
from django.db import OperationalError, connection

pytestmark = pytest.mark.django_db(transaction=True)

TIMEOUTS = ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"]


def shown() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT " + ", ".join(f"current_setting('{name}')" for name in TIMEOUTS))
        return list(cursor.fetchone())


@pytest.fixture
def migration(monkeypatch):
    """What a migration does, in place of ours: a test's function."""

    def run(what):
        from django.core.management.commands import migrate

        monkeypatch.setattr(migrate.Command, "handle", lambda self, *args, **options: what())

    return run


@pytest.mark.parametrize("door", [["migrate"], ["release"]], ids=["by hand", "release"])
def test_a_migration_may_take_longer_than_a_request(s3, migration, door):
    seen = []
    migration(lambda: seen.append(shown()))
    call_command(*door)
    assert seen == [["0", "5s", "0"]]


def test_what_comes_after_it_has_the_limits_of_a_request(migration):
    before = shown()
    assert before[0] != "0"
    call_command("migrate", verbosity=0)
    assert shown() == before


def test_a_migration_that_would_block_everybody_gives_up(migration):
    """Whoever asks for the table after it waits behind it, and not behind who holds it."""
    other = psycopg2.connect(**connection.get_connection_params() | {"cursor_factory": None})
    with other.cursor() as cursor:
        cursor.execute("SELECT * FROM uploads_sweep")  # in a transaction that stays open

    def alter():
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE uploads_sweep ADD COLUMN x integer")

    migration(alter)
    try:
        with pytest.raises(OperationalError, match="lock timeout"):
            call_command("migrate")
    finally:
        other.close()
