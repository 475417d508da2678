"""The base of tasks whose messages are hints: losing one, or all of them, costs only time."""

from threading import Lock
from typing import Any

from celery.contrib.django.task import DjangoTask
from celery.result import AsyncResult

from uploads.redis import RedisUnavailable, redis_answering

_making_the_pool = Lock()


class Hint(DjangoTask):  # type: ignore[type-arg]  # not subscriptable at run time
    """A task whose sending may fail silently, because a sweep sends the message again."""

    def apply_async(  # type: ignore[override]  # nobody asks for the result of a hint
        self, *args: Any, **kwargs: Any
    ) -> AsyncResult[Any] | None:
        """Celery's `apply_async`; None if Redis did not answer."""
        try:
            with redis_answering():
                # Celery makes the pool in two steps, and nobody may use it in between.
                with _making_the_pool:
                    _ = self.app.amqp.producer_pool
                return super().apply_async(*args, **kwargs)
        except RedisUnavailable:
            return None

    def room(self, most: int) -> int:
        """How many messages its queue may still take before there are `most` in it; 0 if Redis did
        not answer. Asked over the connection that sends."""
        queue = self.app.amqp.router.route({}, self.name)["queue"].name
        try:
            with redis_answering():
                with _making_the_pool:
                    _ = self.app.amqp.producer_pool
                with self.app.producer_or_acquire() as producer:
                    waiting: int = producer.channel.queue_declare(queue=queue).message_count
        except RedisUnavailable:
            return 0
        return max(0, most - waiting)
