"""A task that is a hint: losing one message, or all, loses nothing but time."""

from threading import Lock
from typing import Any

from celery.contrib.django.task import DjangoTask
from celery.result import AsyncResult

from uploads.redis import RedisUnavailable, redis_answering

_making_the_pool = Lock()


class Hint(DjangoTask):  # type: ignore[type-arg]  # not subscriptable at run time
    """A task whose sending may fail in silence: a sweep tells the worker again."""

    def apply_async(  # type: ignore[override]  # nobody asks for the result of a hint
        self, *args: Any, **kwargs: Any
    ) -> AsyncResult[Any] | None:
        """Celery's `apply_async`; None where Redis did not answer."""
        try:
            with redis_answering():
                with _making_the_pool:  # in two steps, between which nobody may take from it
                    _ = self.app.amqp.producer_pool
                return super().apply_async(*args, **kwargs)
        except RedisUnavailable:
            return None
