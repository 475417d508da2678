"""The Celery application: queues, the clock of the sweeps, and signs of life."""

import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

from celery import Celery, signals
from celery.beat import Scheduler
from django.conf import settings

from s3tasks import broker

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

# Health checks look at the age of these files: `celery inspect ping` costs seconds of CPU and
# fails while a worker is busy.
WORKER_ALIVE = Path(tempfile.gettempdir(), "s3tasks-worker")
BEAT_ALIVE = Path(tempfile.gettempdir(), "s3tasks-beat")


@signals.heartbeat_sent.connect
def touch_worker(**_: Any) -> None:
    """The worker's event loop turns."""
    WORKER_ALIVE.touch()


@signals.worker_process_init.connect
def warm_up(**_: Any) -> None:
    """Make the connection to storage before the first task needs it, after the fork."""
    from uploads.storage import storage

    storage()


class Beat(Scheduler):
    """Beat without a schedule file: what it would remember is older than any interval of ours."""

    def tick(self, *args: Any, **kwargs: Any) -> float:
        """Celery's tick, and the sign of life."""
        BEAT_ALIVE.touch()
        # At least every few seconds, so that the sign of life stays fresh.
        return min(super().tick(*args, **kwargs), float(settings.EXPIRE_EVERY), 5.0)
