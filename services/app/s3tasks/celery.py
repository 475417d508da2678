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
STUCK_SECONDS = 120  # of a full queue, after which beat logs it; one slot may just be busy

broker.use()


class Application(Celery):
    """Celery with a worker that stops in its own way."""

    @cached_property
    def Worker(self) -> Any:
        # Given as a name, because the module imports what only a worker needs.
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
    """Beat with a monotonic clock, which nobody can set, and without a schedule file: after a
    restart, anything that it remembered would be older than our longest interval.

    Celery's own scheduler uses the time of day: if the clock is set back an hour, it sends nothing
    for an hour.
    """

    # Celery's own producer waits here until Redis answers; a hint is sent without one.
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
        """Whether workers are taking these messages. Messages don't expire, so they must not pile
        up."""
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
