"""Uploads get their links while the release before, which knows none, goes on writing them.

`Old` is its model of an upload: what Django makes of the migrations that it knows.
"""

import threading
import time
import uuid
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.models import F
from django.db.models.functions import Now

from support.samples import counts_every_byte, keys
from uploads import discard
from uploads.arrivals.claim import claim_upload
from uploads.arrivals.complete import complete_upload
from uploads.limits import check_claim
from uploads.links.follow import uploads_behind
from uploads.models import Installation, Kind, Link, Upload
from uploads.sweeps import housekeeping

pytestmark = pytest.mark.django_db(transaction=True)

BEFORE, DURING, ALL = "0006_turns", "0007_links", "0008_links_of_all"
((_, AFTER),) = MigrationLoader(None).graph.leaf_nodes("uploads")  # the tables as ours has them
Old = MigrationLoader(None).project_state(("uploads", BEFORE)).apps.get_model("uploads", "Upload")


def migrate_to(name: str) -> None:
    call_command("migrate", "uploads", name, verbosity=0)


@pytest.fixture
def before():
    """The tables as the release before has them; in the end they are ours again."""
    try:
        migrate_to(BEFORE)
        yield
    finally:
        migrate_to(AFTER)


def claim_old(owner=None, **kwargs):
    """As the release before announces an upload."""
    defaults = {"kind": "file", "filename": "a", "size_bytes": 4, "name": "Notes"}
    owner, ttl = owner or uuid.uuid4(), timedelta(minutes=15)
    upload = Old(owner=owner, ttl=ttl, deadline=Now() + ttl, **{**defaults, **kwargs})
    upload.save(force_insert=True)
    Installation.objects.update(used_bytes=F("used_bytes") + upload.size_bytes)
    upload.refresh_from_db()
    return upload


def complete_old(upload):
    """As the release before completes one: the whole row, as it knows it."""
    upload.state, upload.deadline, upload.expires_at = "ready", None, Now() + upload.ttl
    upload.save()
    upload.refresh_from_db()
    return upload


def check_link(upload) -> None:
    """The upload of the release before has its link, with all that it said of itself."""
    of_ours = Upload.objects.with_link().get(id=upload.id)
    upload.refresh_from_db()
    for field in ("token", "owner", "kind", "name", "ttl", "expires_at"):
        assert getattr(of_ours.link, field) == getattr(upload, field), field
    assert of_ours.expires_at == upload.expires_at


class TestWhatIsThere:
    def test_has_a_link_after_it(self, before):
        uploads = [complete_old(claim_old(kind=kind)) for kind in ("file", "file", "image")]
        uploads.append(claim_old())
        migrate_to(AFTER)
        for upload in uploads:
            check_link(upload)
        assert Link.objects.count() == 4
        live = uploads[0]
        assert uploads_behind(token=live.token, kind=Kind.FILE)[0].id == live.id

    def test_has_one_however_many_there_are(self, before, monkeypatch):
        from importlib import import_module

        monkeypatch.setattr(import_module(f"uploads.migrations.{ALL}"), "BATCH", 3)
        Old.objects.bulk_create(
            Old(kind="file", owner=uuid.uuid4(), filename="a", size_bytes=1, state="ready",
                ttl=timedelta(minutes=1), expires_at=Now()) for _ in range(10)
        )  # fmt: skip
        migrate_to(AFTER)
        assert (
            Upload.objects.count()
            == Link.objects.filter(uploads__expires_at=F("expires_at")).count()
            == 10
        )

    def test_may_be_in_somebodys_hands(self, before):
        """The migration goes on with the others, and waits for this one."""
        mine, other = complete_old(claim_old()), complete_old(claim_old())
        migrate_to(DURING)
        held, go = threading.Event(), threading.Event()

        def hold():
            from django.db import transaction

            try:
                with transaction.atomic():
                    Old.objects.select_for_update().get(id=mine.id)
                    held.set()
                    go.wait(60)
            finally:
                connection.close()

        holder = threading.Thread(target=hold)
        holder.start()
        assert held.wait(60)
        migrating = threading.Thread(target=lambda: (migrate_to(AFTER), connection.close()))
        migrating.start()
        try:
            with connection.cursor() as cursor:
                while True:
                    cursor.execute("SELECT id FROM uploads_upload WHERE link_id IS NULL")
                    if [row[0] for row in cursor.fetchall()] == [mine.id]:
                        break
                    assert migrating.is_alive()
                    time.sleep(0.01)
        finally:
            go.set()
            holder.join(60)
            migrating.join(60)
        check_link(other)
        check_link(mine)

    def test_may_be_migrated_again_after_a_migration_that_was_cut(self, before):
        upload = complete_old(claim_old())
        migrate_to(DURING)
        with connection.cursor() as cursor:  # as it leaves a cut CREATE INDEX CONCURRENTLY
            cursor.execute("CREATE INDEX uploads_upload_link_id ON uploads_upload (id)")
        migrate_to(AFTER)
        check_link(upload)


class TestTheReleaseBefore:
    """Goes on: between the two migrations, and beside the release after them."""

    @pytest.fixture(params=[DURING, AFTER])
    def at(self, request, before):
        early = claim_old()  # announced before, completed here
        migrate_to(request.param)
        yield early
        migrate_to(AFTER)

    def test_completes_what_was_announced_before_and_here(self, at):
        late = claim_old()
        uploads = [complete_old(at), complete_old(late)]
        migrate_to(AFTER)
        for upload in uploads:
            check_link(upload)

    def test_saves_the_whole_row_again(self, at):
        upload = complete_old(claim_old(kind="image"))
        before = upload.expires_at
        upload.content_type = "image/png"
        upload.save()
        upload.refresh_from_db()
        assert upload.expires_at == before
        migrate_to(AFTER)
        check_link(upload)

    def test_deletes_rows_whose_links_go_later(self, at):
        """It leaves the links; ours go with the time that they had, or after an hour."""
        begun = complete_old(claim_old())
        Old.objects.all().delete()
        migrate_to(AFTER)
        housekeeping.sweep("expire")
        assert set(Link.objects.values_list("id", flat=True)) >= {begun.id}
        housekeeping.sweep("expire", now=Now() + timedelta(minutes=61))
        assert not Link.objects.exists()


class TestBesideTheReleaseBefore:
    """After the migrations, while both run."""

    def test_it_completes_what_ours_announced(self, s3, before, owner):
        migrate_to(AFTER)
        ours = claim_upload(
            check_claim(owner=owner, kind=Kind.FILE, filename="a", size_bytes=4, name="Notes")
        )
        old = Old.objects.get(id=ours.id)
        assert (old.token, old.name, old.ttl) == (ours.link.token, "Notes", ours.link.ttl)
        complete_old(old)
        check_link(old)

    def test_ours_completes_what_it_announced(self, s3, before, owner):
        import io

        migrate_to(AFTER)
        old = claim_old(owner)
        s3.put(f"files/{old.id}", io.BytesIO(b"1234"), content_type="x/y")
        upload = complete_upload(upload_id=old.id, owner=owner)
        check_link(old)
        assert uploads_behind(token=old.token, kind=Kind.FILE)[0] == upload

    def test_of_several_files_it_finds_the_link_and_keeps_its_end(self, s3, before, owner, receive):
        migrate_to(AFTER)
        first = receive("file", b"1")
        second = claim_upload(
            check_claim(
                owner=owner, kind=Kind.FILE, filename="b", size_bytes=4, link_id=first.link_id
            )
        )
        Link.objects.update(expires_at=Now() + timedelta(seconds=99))
        old = complete_old(Old.objects.get(id=second.id))
        assert old.token == first.link.token
        assert old.expires_at == Link.objects.get().expires_at

    def test_ours_discards_what_it_announced_with_the_link(self, s3, before, owner):
        migrate_to(AFTER)
        complete_old(claim_old(owner))
        assert discard.clear_uploads(owner=owner, kind=Kind.FILE) == 1
        housekeeping.sweep("purge")
        assert (Link.objects.count(), keys(s3), counts_every_byte()) == (0, set(), True)

    def test_it_comes_back_after_a_release_that_was_taken_back(self, s3, before, owner, receive):
        migrate_to(AFTER)
        first = receive("file", b"1", name="Notes")
        second = receive("file", b"2", link_id=first.link_id)
        other = receive("file", b"3")
        migrate_to(BEFORE)
        tokens = dict(Old.objects.values_list("id", "token"))
        assert len(set(tokens.values())) == 3
        assert first.link.token in {tokens[first.id], tokens[second.id]}
        assert tokens[other.id] == other.link.token
        assert Old.objects.get(id=first.id).name == "Notes"


def test_none_is_lost_while_the_release_before_goes_on(before):
    """Four of its processes announce, complete and delete, all the time."""
    stop, told, alive = threading.Event(), [], []

    def live():
        try:
            while not stop.is_set():
                upload = claim_old()
                told.append(upload)
                complete_old(upload)
                if len(told) % 3 == 0:
                    Old.objects.filter(id=upload.id).delete()
                else:
                    alive.append(upload)
        except Exception as error:  # noqa: BLE001  the test asks which
            alive.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=live) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for name in (BEFORE, DURING, AFTER):
            seen = len(told) + 20
            while len(told) < seen and any(thread.is_alive() for thread in threads):
                time.sleep(0.01)
            migrate_to(name)
        seen = len(told) + 20
        while len(told) < seen and any(thread.is_alive() for thread in threads):
            time.sleep(0.01)
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert not [one for one in alive if isinstance(one, Exception)]
    assert Upload.objects.count() == len(alive) >= 20
    for upload in alive:
        check_link(upload)
