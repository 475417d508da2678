"""The bucket's marker: whatever is in it, and whoever writes it at the same time."""

import io
import threading
import uuid

import pytest

from support.samples import at_once
from uploads.bucket import marker
from uploads.errors import BucketMismatch
from uploads.models import Installation, Sweep
from uploads.sweeps import housekeeping

ODD = {
    "empty": b"",
    "blanks": b" \n",
    "a word": b"marker",
    "no UTF-8": b"\xff\xfe\x00\x80" * 9,
    "NUL": b"\x00" * 36,
    "huge": b"x" * 5_000_000,
    "an id and more": f"{uuid.uuid4()} and more".encode(),
    "nearly an id": b"0b5b2bd2-0f2a-4d1b-9d5c-2f1a7b1c4e5g",
}


def write(store, body: bytes) -> None:
    store.put("marker", io.BytesIO(body), content_type="text/plain")


@pytest.mark.django_db
@pytest.mark.parametrize("body", ODD.values(), ids=ODD)
class TestOddMarker:
    def test_a_first_start_says_what_is_in_the_way(self, store, body):
        write(store, body)
        Installation.objects.update(marker=None)
        with pytest.raises(BucketMismatch, match="no installation's id"):
            marker.pair()

    def test_a_sweep_says_so_in_its_row(self, store, body):
        write(store, body)
        with pytest.raises(BucketMismatch):
            housekeeping.sweep("reconcile")
        said = Sweep.objects.get(name="reconcile").last_error
        assert "no installation's id" in said
        assert len(said) < 1000
        assert said.isprintable()

    def test_its_owner_may_take_the_bucket(self, store, body):
        write(store, body)
        marker.pair(take=True)
        marker.check_ours()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "form", [str.upper, "{{{}}}".format, "\n{}\r\n".format, "urn:uuid:{}".format]
)
def test_an_id_is_the_same_however_it_is_written(store, form):
    write(store, form(str(Installation.objects.get().marker)).encode())
    marker.check_ours()


@pytest.mark.django_db(transaction=True)
def test_first_starts_at_once_pair_one_installation(store, monkeypatch):
    read = marker.read_marker
    for _ in range(5):
        Installation.objects.update(marker=None)
        store.delete(["marker"])
        together = threading.Barrier(4)
        waited = threading.local()

        def read_together(together=together, waited=waited):
            found = read()
            if not hasattr(waited, "once"):
                waited.once = together.wait(10)
            return found

        monkeypatch.setattr(marker, "read_marker", read_together)
        markers = at_once(marker.pair, 4)
        assert len(set(markers)) == 1
        assert read() == str(Installation.objects.get().marker)
