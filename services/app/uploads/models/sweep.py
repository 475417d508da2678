"""The table of the sweeps: why one stopped, and when each last succeeded."""

from django.db import models
from django.utils.translation import gettext_lazy


class Sweep(models.Model):
    """A sweep's report of its last runs."""

    name = models.CharField(gettext_lazy("name"), max_length=20, primary_key=True)
    last_ok = models.DateTimeField(gettext_lazy("last success"), null=True)
    last_error_at = models.DateTimeField(gettext_lazy("last failure"), null=True)
    last_error = models.TextField(gettext_lazy("last error"), blank=True)
    backlog = models.BigIntegerField(
        gettext_lazy("backlog"), default=0, help_text="How much the last run left for the next one."
    )
    told_until = models.DateTimeField(
        null=True,
        help_text="A message was sent to the worker; the next one is not sent before this time.",
    )
    progress = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text="Where the sweep goes on, if it paused.",
    )

    class Meta:
        verbose_name = gettext_lazy("sweep")
        verbose_name_plural = gettext_lazy("sweeps")

    def __str__(self) -> str:
        return self.name
