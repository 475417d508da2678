"""Consequences of a changed row, whoever changed it: a page, the API, the admin or a shell."""

from typing import Any

from django.db.models.signals import post_delete, post_save, pre_delete
from django.dispatch import receiver

from uploads import discard, tasks
from uploads.models import Kind, Pack, State, Upload
from uploads.quotas import lock_owner


@receiver(post_save, sender=Upload)
def follow_state(instance: Upload, **_: Any) -> None:
    """Send the worker a message about an image to make safe; discard images beyond IMAGES_KEPT when
    one turns ready."""
    if instance.kind != Kind.IMAGE:
        return
    if instance.state == State.CHECKING:
        hint: Any = tasks.make_image_safe  # a task_base.Hint
        hint.delay_on_commit(str(instance.id))
    elif instance.state == State.READY:
        discard.keep_latest_images(owner=instance.owner)


@receiver(pre_delete, sender=Upload)
def lock_before_deletion(instance: Upload, **_: Any) -> None:
    """Take the locks of a row that is deleted one by one, in their order."""
    lock_owner(instance.owner)
    discard.lock_links_of([instance.id])


@receiver(post_delete, sender=Upload)
def follow_deletion(instance: Upload, **_: Any) -> None:
    """Queue the keys of a row that was deleted by itself, in the admin or in a shell, and discard
    its link if it was the link's last upload."""
    discard.queue_keys(instance, counted=True)
    discard.discard_packs_of(links=[instance.link_id])
    discard.discard_empty_links(ids=[instance.link_id])


@receiver(post_save, sender=Pack)
def follow_pack(instance: Pack, *, created: bool, **_: Any) -> None:
    """Tell the worker of a zip to make."""
    if created:
        hint: Any = tasks.pack  # a task_base.Hint
        hint.delay_on_commit(str(instance.id))


@receiver(post_delete, sender=Pack)
def follow_pack_deletion(instance: Pack, **_: Any) -> None:
    """Queue the key of a zip that was deleted one by one, or with its link."""
    discard.queue_key(
        instance.key, size_bytes=instance.size_bytes, multipart_id=instance.multipart_id
    )
