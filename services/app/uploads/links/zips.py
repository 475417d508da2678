"""The zip of a link's files: how it is requested, what is in it, and where it is downloaded.

A worker makes it: `uploads.links.pack`.
"""

import uuid
from collections.abc import Iterator
from pathlib import PurePosixPath

from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from uploads.discard import discard_packs_of
from uploads.errors import InvalidUpload, StillPacking, UploadNotFound
from uploads.leases import RETELL_AFTER
from uploads.links.archive import Archive, Entry
from uploads.links.follow import signed_seconds, uploads_behind
from uploads.links.protection import NOBODY, Opener, gone
from uploads.models import Kind, Link, Pack, State, Upload
from uploads.quotas import reserve_zip
from uploads.storage import Method, storage

ZIP_TYPE = "application/zip"
MIB = 1024 * 1024
# Two of them are in memory. S3 takes 10,000 of at least 5 MiB:
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
PART_BYTES, PART_BYTES_MAX = 8 * MIB, 64 * MIB
PARTS_MAX = 10_000


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
        seconds=signed_seconds(uploads[0]),
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
            raise UploadNotFound(gone())
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
