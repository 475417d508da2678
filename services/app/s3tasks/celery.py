"""The Celery application, and the clock of the sweeps."""

from functools import cached_property
from typing import Any

from celery import Celery, signals
from celery.beat import Scheduler
from django.conf import settings

from s3tasks import broker, life

broker.use()


class Application(Celery):
    """Celery with a worker that stops in its own way."""

    @cached_property
    def Worker(self) -> Any:
        """What `celery worker` runs."""
        # A name, since its module reads what only a worker needs.
        return self.subclass_with_self("s3tasks.worker:Worker")  # type: ignore[arg-type]


app = Application("s3tasks", task_cls="uploads.hints:Hint")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.worker_process_init.connect
def warm_up(**_: Any) -> None:
    """Make the connection to storage before the first task needs it, after the fork."""
    from uploads.storage import storage

    storage()


class Beat(Scheduler):
    """Beat without a schedule file: what it would remember is older than any interval of ours."""

    # Celery's waits here until Redis answers; a hint goes without.
    producer: Any = None

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Celery's tick, and the sign of life."""
        life.show_or_end("beat")
        return min(super().tick(*args, **kwargs), float(settings.EXPIRE_EVERY), life.PAUSE)
