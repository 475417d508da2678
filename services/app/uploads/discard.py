"""Discarding: rows are deleted and their keys enter the purge queue in one statement, so that no
object is forgotten. A link is deleted with its last upload, in the same transaction.

A transaction that waits for locks takes them in this order: the owner's (`lock_owner`), links by
their ids, uploads, the usage row. Every change of an owner's uploads first takes the owner's lock.
Sweeps, which concern many owners, don't wait: they leave locked rows to the next sweep.
"""

import uuid
from datetime import datetime

from django.conf import settings
from django.db import connection, transaction

from uploads.keys import INCOMING, PREFIXES, ZIPS
from uploads.models import Kind, Link, Pack, State, Upload
from uploads.quotas import lock_owner

# If a key is queued already, the bytes of both add up, and the key is due again, so that an object
# stored since is deleted too.
QUEUED_AGAIN = """
        ON CONFLICT (key) DO UPDATE
       SET size_bytes = queued.size_bytes + excluded.size_bytes,
           multipart_id = coalesce(nullif(excluded.multipart_id, ''), queued.multipart_id),
           not_before = excluded.not_before,
           until = greatest(queued.until, excluded.until),
           sender = coalesce(nullif(excluded.sender, ''), queued.sender),
           unsent = queued.unsent OR excluded.unsent
"""
# The keys that an upload may have, and the bytes that the deletion of each gives back to the total
# quota. Those of a rejected image were queued when it was rejected.
HOMES = ", ".join(
    f"('{kind}', '{prefix}', '{home.counted or ''}')"
    for prefix, home in PREFIXES.items()
    for kind in home.owners
)
QUEUE_KEYS = f"""
    INSERT INTO uploads_purgekey AS queued
           (key, size_bytes, multipart_id, not_before, attempts, until, sender, unsent)
    SELECT prefix || '/' || gone.id,
           CASE WHEN counted = 'incoming_bytes' THEN gone.incoming_bytes
                WHEN counted = 'size_bytes' AND gone.state <> 'rejected' THEN gone.size_bytes
                ELSE 0 END,
           CASE WHEN counted = 'size_bytes' THEN gone.multipart_id ELSE '' END,
           statement_timestamp(), 0,
           CASE WHEN prefix = '{INCOMING}' THEN gone.ticket_until END,
           gone.sender,
           prefix = '{INCOMING}' AND gone.state = 'pending' AND gone.ticket_until IS NOT NULL
      FROM gone
      JOIN (VALUES {HOMES}) AS home (kind, prefix, counted) USING (kind)
     WHERE prefix <> '{INCOMING}' OR gone.kind = 'image' OR gone.ticket_until IS NOT NULL
     ORDER BY 1
    {QUEUED_AGAIN}
"""  # noqa: S608  our own words


def discard_upload(*, upload_id: uuid.UUID, owner: uuid.UUID) -> None:
    """Discard one of the owner's uploads; raises UploadNotFound if it is another's or gone."""
    with transaction.atomic():
        lock_owner(owner)
        discard_uploads(ids=[Upload.objects.of_owner(owner, upload_id).id])


def discard_link(*, link_id: uuid.UUID, owner: uuid.UUID) -> int:
    """Discard one of the owner's links with all its uploads; how many there were. Raises
    UploadNotFound if the link is another's or gone."""
    with transaction.atomic():
        lock_owner(owner)
        link = Link.objects.select_for_update().of_owner(owner, link_id)
        ids = Upload.objects.filter(link=link).values_list("id", flat=True)
        count = discard_locked_uploads(ids=list(ids), links=[link.id])
        discard_empty_links(ids=[link.id])  # also one that never had any
        return count


def clear_uploads(*, owner: uuid.UUID, kind: Kind) -> int:
    """Discard all of the owner's uploads of one kind; how many there were."""
    with transaction.atomic():
        lock_owner(owner)
        mine = Upload.objects.filter(owner=owner, kind=kind).values_list("id", flat=True)
        return discard_uploads(ids=list(mine))


def superseded_images(*, owner: uuid.UUID) -> list[Upload]:
    """The owner's images that newer ones will replace once those are ready."""
    coming = [State.CHECKING, State.READY]
    images = Upload.objects.live().filter(owner=owner, kind=Kind.IMAGE, state__in=coming)
    return list(images.order_by("-created_at", "-id")[settings.IMAGES_KEPT :])


def keep_latest_images(*, owner: uuid.UUID) -> int:
    """Discard the owner's ready images beyond the newest IMAGES_KEPT; how many there were."""
    with transaction.atomic():
        lock_owner(owner)
        ready = Upload.objects.live().filter(owner=owner, kind=Kind.IMAGE, state=State.READY)
        surplus = ready.order_by("-created_at", "-id").values_list("id", flat=True)
        return discard_uploads(ids=list(surplus[settings.IMAGES_KEPT :]))


def discard_uploads(*, ids: list[uuid.UUID]) -> int:
    """Delete the rows and queue their keys; how many there were. Links that are then empty are
    deleted too.

    It bypasses the signals, so that a thousand cost as much as one.
    """
    with transaction.atomic():
        return discard_locked_uploads(ids=ids, links=lock_links_of(ids)) if ids else 0


def discard_locked_uploads(*, ids: list[uuid.UUID], links: list[uuid.UUID]) -> int:
    """As `discard_uploads`, in a transaction that has locked the uploads' links."""
    if not ids:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH gone AS (
                DELETE FROM uploads_upload WHERE id = ANY(%s)
                RETURNING id, kind, state, size_bytes, multipart_id, incoming_bytes,
                          ticket_until, sender
            ), queued AS ({QUEUE_KEYS})
            SELECT count(*) FROM gone
            """,  # noqa: S608  our own words
            [ids],
        )
        count = int(cursor.fetchone()[0])
    discard_packs_of(links=links)
    discard_empty_links(ids=links)
    return count


def lock_links_of(upload_ids: list[uuid.UUID]) -> list[uuid.UUID]:
    """The ids of the uploads' links, each locked until the transaction ends: nothing joins them
    meanwhile."""
    of_these = Upload.objects.filter(id__in=upload_ids).values("link_id")
    links = Link.objects.filter(id__in=of_these).order_by("id").select_for_update()
    return list(links.values_list("id", flat=True))


def discard_empty_links(*, ids: list[uuid.UUID]) -> int:
    """Delete those of the locked links that have no upload; how many there were.

    It is a statement of its own, after the locks, so that it sees uploads that joined a link before
    them.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            """
            DELETE FROM uploads_link AS link
             WHERE id = ANY(%s)
               AND NOT EXISTS (SELECT FROM uploads_upload WHERE link_id = link.id)
            """,
            [ids],
        )
        return int(cursor.rowcount)


def discard_packs_of(*, links: list[uuid.UUID]) -> None:
    """Discard the zips of these locked links, ready or not, because their files have changed."""
    if links:
        discard_packs(ids=list(Pack.objects.filter(link__in=links).values_list("id", flat=True)))


def discard_packs(*, ids: list[uuid.UUID]) -> int:
    """Discard these zips with their parts; how many there were."""
    if not ids:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH gone AS (
                DELETE FROM uploads_pack WHERE id = ANY(%s)
                RETURNING '{ZIPS}/' || id AS key, size_bytes, multipart_id
            )
            INSERT INTO uploads_purgekey AS queued
                   (key, size_bytes, multipart_id, not_before, attempts, until, sender, unsent)
            SELECT key, size_bytes, multipart_id, statement_timestamp(), 0, NULL, '', false
              FROM gone ORDER BY 1
            {QUEUED_AGAIN}
            """,  # noqa: S608  our own words
            [ids],
        )
        return int(cursor.rowcount)


def queue_keys(upload: Upload, *, counted: bool) -> None:
    """Queue all keys that the upload may have; `counted`: whether its bytes are still in the
    quota."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH gone (id, kind, state, size_bytes, multipart_id, incoming_bytes, ticket_until,
                       sender)
                AS (VALUES (%s::uuid, %s, %s, %s::bigint, %s, %s::bigint, %s::timestamptz, %s))
            {QUEUE_KEYS}
            """,
            [
                upload.id,
                upload.kind,
                upload.state if counted else State.REJECTED,
                upload.size_bytes,
                upload.multipart_id,
                upload.incoming_bytes if counted else 0,
                upload.ticket_until,
                upload.sender,
            ],
        )


def release_incoming(upload: Upload) -> None:
    """Queue its incoming key, and the bytes that are reserved for it: what arrived is no longer
    needed. Until its ticket is over, more may."""
    if upload.incoming_key != upload.served_key:
        queue_key(upload.incoming_key, size_bytes=upload.incoming_bytes, until=upload.ticket_until)
        upload.incoming_bytes = 0


def queue_key(
    key: str, *, size_bytes: int, until: datetime | None = None, multipart_id: str = ""
) -> None:
    """Queue one key, whose deletion gives `size_bytes` back to the total quota; `until`: when the
    last may be written under it; `multipart_id`: of parts that are aborted first."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            INSERT INTO uploads_purgekey AS queued
                   (key, size_bytes, multipart_id, not_before, attempts, until, sender, unsent)
            VALUES (%s, %s, %s, statement_timestamp(), 0, %s, '', false)
            {QUEUED_AGAIN}
            """,  # noqa: S608  our own words
            [key, size_bytes, multipart_id, until],
        )
