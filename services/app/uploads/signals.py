"""What follows from a change of a row, whoever made it: a page, the API, the admin or a shell."""

from typing import Any

from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver

from uploads import discard, tasks
from uploads.models import Kind, State, Upload


@receiver(post_save, sender=Upload)
def follow_state(instance: Upload, **_: Any) -> None:
    """Tell the worker of an image to make safe; discard what a ready one pushes out."""
    if instance.kind != Kind.IMAGE:
        return
    if instance.state == State.CHECKING:
        hint: Any = tasks.make_image_safe  # a task_base.Hint
        hint.delay_on_commit(str(instance.id))
    elif instance.state == State.READY:
        discard.keep_latest_images(owner=instance.owner)


@receiver(post_delete, sender=Upload)
def queue_keys(instance: Upload, **_: Any) -> None:
    """Queue the keys of a row that was deleted one by one: by the admin, or in a shell."""
    discard.queue_keys(instance, counted=True)
