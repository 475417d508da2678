"""The zip of a link's files: how it is requested, made by the worker in steps, and downloaded.

A step stores some parts of the zip and writes its progress into the row, so that the next step, in
any worker, goes on from there. A step takes a few seconds, and an image or a sweep that waits for
the slot goes before the next one. If a worker is killed, only the current part is lost; that is not
the zip's fault, and never counts as a failure.
"""

import logging
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import PurePosixPath

from django.db import DatabaseError, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from uploads.discard import discard_packs, discard_packs_of, queue_key
from uploads.errors import InvalidUpload, StillPacking, StorageUnavailable, UploadNotFound
from uploads.links.archive import Archive, Entry
from uploads.links.follow import uploads_behind
from uploads.links.protection import LINK_LIFE, NOBODY, Opener
from uploads.models import Kind, Link, Moment, Pack, State, Upload
from uploads.quotas import reserve_zip
from uploads.storage import ANY_PARTS, NO_ANSWER, Method, storage

log = logging.getLogger(__name__)

ZIP_TYPE = "application/zip"
STEP_SECONDS = 5.0  # of one step, which then finishes its current part
# In seconds: after which a step that hangs gets an exception, and after which it is killed.
SOFT_LIMIT, LIMIT = 60, 75
RETELL_AFTER = timedelta(seconds=30)  # after which a worker gets another message about a zip
# Longer than a part takes. If a part does take longer, two runs may store it with the same bytes,
# and only one of them goes on.
LEASE = timedelta(seconds=30)
FAILURES = 5  # in a row, after which the zip is discarded; the next request begins a new one
MIB = 1024 * 1024
# Two of them are in memory. S3 takes 10,000 of at least 5 MiB:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
PART_BYTES, PART_BYTES_MAX = 8 * MIB, 64 * MIB
PARTS_MAX = 10_000


# --- Asked for ------------------------------------------------------------------------------------


def follow_zip(*, token: str, opener: Opener = NOBODY, method: Method = "GET") -> str:
    """The signed address of the zip of all files behind a share link.

    The first request begins the zip. Raises as `uploads_behind`, StillPacking until
    it is ready, QuotaExceeded if there is no room for it, or InvalidUpload if it would be too
    large.
    """
    uploads = uploads_behind(token=token, kind=Kind.FILE, opener=opener)
    pack = Pack.objects.filter(link=uploads[0].link_id).first()
    if pack is None or pack.files != ids_of(uploads):
        pack = begin_pack(uploads[0].link_id)
    if not pack.ready:
        per_cent = 100 * pack.stored_bytes // (pack.size_bytes + 1)  # 100 is said of no part
        sentence = _("The zip is being made: %(per_cent)d %% done.")
        raise StillPacking(sentence % {"per_cent": per_cent}, per_cent=per_cent)
    return storage().url(
        pack.key,
        seconds=min(LINK_LIFE, int(uploads[0].seconds_left)),
        method=method,
        content_type=ZIP_TYPE,
        download_as=zip_name(uploads[0].link),
    )


def begin_pack(link_id: uuid.UUID) -> Pack:
    """The zip of the files that the link has now: begun here, or already under way.

    Its bytes are reserved first. Raises UploadNotFound, QuotaExceeded or InvalidUpload.
    """
    with transaction.atomic():
        link = Link.objects.kept().select_for_update().filter(id=link_id).first()
        files = Upload.objects.kept().filter(link=link_id, state=State.READY)
        uploads = list(files.order_by("created_at", "id"))
        if link is None or not uploads:
            raise UploadNotFound(_("This link has expired, or it never existed."))
        pack = Pack.objects.filter(link=link).first()  # begun by another request at the same time
        if pack is not None and pack.files == ids_of(uploads):
            return pack
        discard_packs_of(links=[link.id])
        size_bytes = Archive(entries_of(uploads)).size_bytes
        part_bytes = max(PART_BYTES, -(-size_bytes // PARTS_MAX // MIB) * MIB)
        if part_bytes > PART_BYTES_MAX:
            raise InvalidUpload(
                _("These files are too large for one zip. Download them one by one.")
            )
        reserve_zip(sender=uploads[0].sender, size_bytes=size_bytes)
        return Pack.objects.create(
            link=link,
            files=ids_of(uploads),
            size_bytes=size_bytes,
            part_bytes=part_bytes,
            sender=uploads[0].sender,
            checksums=[0] * len(uploads),
            lease_until=Now() + RETELL_AFTER,
        )


def ids_of(uploads: list[Upload]) -> list[str]:
    """The files' ids, as a pack's row holds them."""
    return [str(upload.id) for upload in uploads]


def zip_name(link: Link) -> str:
    """The download's file name: the link's name, or a neutral one."""
    name = link.name.replace("/", "_").replace("\\", "_") or _("files")
    return f"{name}.zip"


def entries_of(uploads: list[Upload]) -> list[Entry]:
    """The files with their paths in the zip; a path that another file or a folder has already is
    numbered.

    Paths that differ only in case count as equal, because they are one file on Windows and macOS.
    """
    taken = {path.casefold() for upload in uploads for path in folders_of(upload)}
    entries = []
    for upload in uploads:
        path, number = upload.path, 1
        while path.casefold() in taken:
            number += 1
            own = PurePosixPath(upload.filename)
            numbered = PurePosixPath(upload.folder, f"{own.stem} ({number}){own.suffix}")
            path = str(numbered)
        taken.add(path.casefold())
        entries.append(Entry(path, upload.size_bytes, upload.created_at))
    return entries


def folders_of(upload: Upload) -> Iterator[str]:
    """The path's folder, and all folders above it."""
    path = upload.folder
    while path:
        yield path
        path = path.rpartition("/")[0]


# --- Made by the worker ---------------------------------------------------------------------------


class LeaseLost(Exception):
    """The pack is gone, or another run of the worker has it."""


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
    pack = lease_pack(pack_id)
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


def lease_pack(pack_id: uuid.UUID) -> Pack | None:
    """The pack, leased to this run of the worker, or None if it is gone, ready or leased to another
    run."""
    with transaction.atomic():
        pack = (
            Pack.objects.wanted()
            .filter(id=pack_id)
            .exclude(lease__isnull=False, lease_until__gt=Now())
            .select_for_update(skip_locked=True, of=("self",))
            .first()
        )
        if pack is not None:
            pack.lease = uuid.uuid4()
            Pack.objects.filter(id=pack_id).update(lease=pack.lease, lease_until=Now() + LEASE)
    return pack


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


def requeue_stalled_packs(now: Moment, most: int) -> list[uuid.UUID]:
    """The packs that no worker has leased for too long, at most so many; each gets another
    message."""
    with transaction.atomic():
        forgotten = Pack.objects.unattended(now).order_by("lease_until")
        free = forgotten.select_for_update(skip_locked=True, of=("self",))
        ids = list(free.values_list("id", flat=True)[:most])
        Pack.objects.filter(id__in=ids).update(lease=None, lease_until=Now() + RETELL_AFTER)
    return ids
