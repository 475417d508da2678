"""How the worker stops: it finishes the tasks that have begun, and hands back those that take too
long."""

import os
import signal
from typing import Any

from celery.apps.worker import Worker as CeleryWorker
from celery.platforms import EX_FAILURE, EX_OK
from celery.worker import state

HARD = 5  # seconds that the cold shutdown may take; a task in C code gets no signal until it ends
SOFT = (signal.SIGTERM, signal.SIGINT)  # from the platform, and from Ctrl-C


class Worker(CeleryWorker):
    """Celery's worker, whose soft shutdown ends with the last task.

    Celery's own soft shutdown sleeps all of `worker_soft_shutdown_timeout` as soon as one task
    runs, and then counts finished tasks as interrupted. Here a signal begins the warm shutdown (no
    new tasks; those that run may finish), and an alarm turns it into the cold one, which cancels
    each task that still runs and reports it to `on_retry`.
    """

    def install_platform_tweaks(self, worker: Any) -> None:
        super().install_platform_tweaks(worker)
        self.cold: Any = signal.getsignal(signal.SIGQUIT)
        signal.signal(signal.SIGALRM, self.stop_coldly)
        for number in SOFT:
            signal.signal(number, self.stop_softly)

    def stop_softly(self, *_: Any) -> None:
        """Stop within the soft shutdown's time; a second signal doesn't start that time anew."""
        for number in SOFT:
            signal.signal(number, signal.SIG_IGN)
        signal.alarm(int(self.app.conf.worker_soft_shutdown_timeout))
        state.should_stop = EX_OK  # type: ignore[assignment]  # the stubs know no value

    def stop_coldly(self, *args: Any) -> None:
        """Hand back the tasks that still run, then end; the pool's processes are killed with this
        one."""
        signal.signal(signal.SIGALRM, lambda *_: os._exit(EX_FAILURE))
        signal.alarm(HARD)
        self.cold(*args)

    def wait_for_soft_shutdown(self) -> None:  # type: ignore[override]  # the stubs say bool
        pass  # the wait is over when the cold shutdown begins
