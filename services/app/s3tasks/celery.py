"""The Celery application, and the clock of the sweeps."""

import logging
import time
from functools import cached_property
from typing import Any

from celery import Celery, signals
from celery.beat import Scheduler

from s3tasks.worker import broker, heartbeat

log = logging.getLogger(__name__)

WAITING_MAX = 20  # messages in the queue of the sweeps, above which none is added
STUCK_SECONDS = 120  # without room there, after which beat says so; a worker's one slot may be busy

broker.use()


class Application(Celery):
    """Celery with a worker that stops in its own way."""

    @cached_property
    def Worker(self) -> Any:
        # A name, since its module reads what only a worker needs.
        return self.subclass_with_self("s3tasks.worker.shutdown:Worker")  # type: ignore[arg-type]


app = Application("s3tasks", task_cls="uploads.task_base:Hint")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@signals.worker_process_init.connect
def warm_up(**_: Any) -> None:
    """Make the connection to storage before the first task needs it, after the fork."""
    from uploads.storage import storage

    storage()


class Beat(Scheduler):
    """Beat by a clock that nobody can set, and without a schedule file: what it would remember is
    older than any interval of ours.

    Celery's goes by the time of day: set back an hour, it sends nothing for that hour.
    """

    # Celery's waits here until Redis answers; a hint goes without.
    producer: Any = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.due: dict[str, float] = {}
        self.stuck_since: float | None = None
        super().__init__(*args, **kwargs)

    def tick(self, *args: Any, **kwargs: Any) -> float:
        heartbeat.touch_or_exit("beat")
        now = time.monotonic()
        entries: dict[str, Any] = self.schedule
        for name, entry in entries.items():
            if self.due.get(name, now) <= now:
                self.due[name] = now + entry.schedule.seconds
                if self.is_taken(entry):
                    self.apply_entry(entry)
        return max(0.0, min(now + heartbeat.PAUSE, *self.due.values()) - time.monotonic())

    def install_default_entries(self, data: Any) -> None:
        pass  # there are no results to tidy up

    def is_taken(self, entry: Any) -> bool:
        """Whether a worker takes such messages. They do not expire, so there must not be many."""
        from uploads.redis import RedisUnavailable, redis_answering

        queue = self.app.conf.task_default_queue
        try:
            with redis_answering(), self.app.producer_or_acquire() as producer:
                waiting = producer.channel.client.llen(queue)
        except RedisUnavailable:
            return False
        if waiting < WAITING_MAX:
            self.stuck_since = None
            return True
        now = time.monotonic()
        self.stuck_since = self.stuck_since or now
        if now - self.stuck_since >= STUCK_SECONDS:
            self.stuck_since = now  # and not each time
            log.error("%d messages wait in %s, no more is sent: is there a worker?", waiting, queue)
        return False
