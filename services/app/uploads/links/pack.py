"""The zip of a link's files, made by the worker in steps.

A step stores some parts of the zip and writes its progress into the row, so that the next step, in
any worker, goes on from there. A step takes a few seconds, and an image or a sweep that waits for
the slot goes before the next one. If a worker is killed, only the current part is lost; that is not
the zip's fault, and never counts as a failure.
"""

import logging
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

from django.db import DatabaseError, transaction
from django.db.models import F
from django.db.models.functions import Now

from uploads.discard import discard_packs, queue_key
from uploads.errors import StorageUnavailable
from uploads.leases import RETELL_AFTER, LeaseLost, take_lease
from uploads.links.archive import Archive
from uploads.links.zips import ZIP_TYPE, entries_of
from uploads.models import Pack, State, Upload
from uploads.storage import ANY_PARTS, NO_ANSWER, storage

log = logging.getLogger(__name__)

STEP_SECONDS = 5.0  # of one step, which then finishes its current part
# In seconds: after which a step that hangs gets an exception, and after which it is killed.
SOFT_LIMIT, LIMIT = 60, 75
# Longer than a part takes. If a part does take longer, two runs may store it with the same bytes,
# and only one of them goes on.
LEASE = timedelta(seconds=30)
FAILURES = 5  # in a row, after which the zip is discarded; the next request begins a new one


class FileVanished(Exception):
    """One of the zip's files is no longer in storage; its row goes as soon as a page checks it."""


@dataclass(frozen=True)
class Packed:
    """The progress of a zip after a step."""

    files: int
    bytes: int  # that storage has
    left: int


def pack_files(*, pack_id: uuid.UUID) -> Packed | None:
    """Take the next step of the zip; None if there was nothing to do: the zip is gone, ready or
    leased to another run, or one of its files has vanished, which discards the zip.

    Raises the error that ended the step, after which a sweep sends another message.
    """
    pack = take_lease(Pack.objects.wanted(), pack_id, LEASE)
    if pack is None:
        return None
    try:
        return take_step(pack)
    except LeaseLost:
        return None
    except FileVanished as error:
        log.warning("A zip was given up: %s has vanished", error)
        discard_packs(ids=[pack.id])
        return None
    except Exception:
        give_back(pack)
        raise


def take_step(pack: Pack) -> Packed:
    """Store the next parts of the leased zip; with the last one it is ready.

    1. Check that the files are those of the row; otherwise it would be another zip.
    2. Write the multipart upload's id into the row, before there is a part.
    3. Store each part, and write it into the row with the checksums so far, before the next.
    4. Join the parts, and turn the row ready.
    """
    uploads = files_of(pack)
    archive = Archive(entries_of(uploads))
    if archive.size_bytes != pack.size_bytes:  # another release would have made it differently
        discard_packs(ids=[pack.id])
        raise LeaseLost
    if not pack.parts:
        begin_parts(pack)
    until = time.monotonic() + STEP_SECONDS
    while pack.stored_bytes < pack.size_bytes:
        store_part(pack, archive, uploads)
        if time.monotonic() >= until and pack.stored_bytes < pack.size_bytes:
            keep_lease(pack, lease=None, lease_until=Now() + RETELL_AFTER)
            return packed(pack)
    join_parts(pack)
    finish_pack(pack)
    return packed(pack)


def files_of(pack: Pack) -> list[Upload]:
    """The zip's uploads, in its order. Raises LeaseLost if one is gone."""
    ready = Upload.objects.kept().filter(link=pack.link_id, state=State.READY)
    found = {str(upload.id): upload for upload in ready}
    if not found.keys() >= set(pack.files):
        raise LeaseLost
    return [found[upload_id] for upload_id in pack.files]


def begin_parts(pack: Pack) -> None:
    """Begin a multipart upload, and abort one that was begun without being written down."""
    if pack.multipart_id:
        storage().abort_parts(pack.key, ANY_PARTS)
    keep_lease(pack, multipart_id=ANY_PARTS)  # in case this process dies before it knows the id
    multipart_id = storage().begin_parts(pack.key, content_type=ZIP_TYPE)
    try:
        keep_lease(pack, multipart_id=multipart_id)
    except LeaseLost:
        storage().abort_parts(pack.key, multipart_id)
        raise


def store_part(pack: Pack, archive: Archive, uploads: list[Upload]) -> None:
    """Store the next part, then write it into the row."""

    def read_file(number: int, start: int, count: int) -> bytes:
        content = storage().read(uploads[number].served_key, count, start=start)
        if content is None:
            raise FileVanished(uploads[number].served_key)
        if len(content) != count:
            raise StorageUnavailable(NO_ANSWER, cause="it sent less than there is")
        return content

    at = pack.stored_bytes
    checksums = list(pack.checksums)
    content = archive.read(at, pack.part_bytes, checksums, read_file)
    number = len(pack.parts) + 1
    tag = storage().put_part(pack.key, pack.multipart_id, number, content, at=at)
    keep_lease(pack, parts=[*pack.parts, tag], checksums=checksums, failures=0)


def join_parts(pack: Pack) -> None:
    """Join the parts; also if an interrupted run has joined them already."""
    try:
        storage().join_parts(pack.key, pack.multipart_id, pack.parts)
    except StorageUnavailable:
        there = storage().head(pack.key)
        if there is None or there.size_bytes != pack.size_bytes:
            raise


def finish_pack(pack: Pack) -> None:
    """Turn the row ready. If the row went meanwhile, nobody owns the new object, and its key is
    queued."""
    try:
        keep_lease(pack, ready=True, multipart_id="", lease=None)
    except LeaseLost:
        with transaction.atomic():
            if not Pack.objects.filter(id=pack.id).exists():
                queue_key(pack.key, size_bytes=0)
        raise


def packed(pack: Pack) -> Packed:
    """How far it is."""
    left = pack.size_bytes - pack.stored_bytes
    return Packed(files=len(pack.files), bytes=pack.stored_bytes, left=left)


def keep_lease(pack: Pack, **changes: object) -> None:
    """Write the progress, and renew the lease. Raises LeaseLost."""
    values = {"lease_until": Now() + LEASE, **changes}
    if not Pack.objects.filter(id=pack.id, lease=pack.lease).update(**values):
        raise LeaseLost
    for name in changes.keys() - {"lease_until"}:
        setattr(pack, name, changes[name])


def give_back(pack: Pack) -> None:
    """End the lease, so that a worker gets another message, unless the database has failed too. A
    pack that fails too often in a row is discarded, because its parts may be gone from storage."""
    with suppress(DatabaseError):
        mine = Pack.objects.filter(id=pack.id, lease=pack.lease)
        mine.update(failures=F("failures") + 1, lease=None, lease_until=Now() + RETELL_AFTER)
        given_up = Pack.objects.filter(id=pack.id, failures__gte=FAILURES)
        discard_packs(ids=list(given_up.values_list("id", flat=True)))


def hand_back_pack(*, pack_id: uuid.UUID) -> None:
    """End the lease; a sweep sends another message. Only for the process that interrupted the
    step."""
    Pack.objects.filter(id=pack_id, lease__isnull=False).update(lease=None, lease_until=Now())
