"""The table of the sweeps: why one stopped, and when each last succeeded."""

from django.db import models
from django.utils.translation import gettext_lazy


class Sweep(models.Model):
    """A sweep's report of its last runs."""

    name = models.CharField(gettext_lazy("name"), max_length=20, primary_key=True)
    last_ok = models.DateTimeField(gettext_lazy("last did well"), null=True)
    last_error_at = models.DateTimeField(gettext_lazy("last stopped"), null=True)
    last_error = models.TextField(gettext_lazy("what stopped it"), blank=True)
    backlog = models.BigIntegerField(
        gettext_lazy("backlog"), default=0, help_text="What the last run left for the next."
    )
    told_until = models.DateTimeField(
        null=True, help_text="A worker was told of it, and until then is not told again."
    )
    progress = models.TextField(
        blank=True,
        default="",
        db_default="",
        help_text="How far it has come, where it took a rest.",
    )

    class Meta:
        verbose_name = gettext_lazy("sweep")
        verbose_name_plural = gettext_lazy("sweeps")

    def __str__(self) -> str:
        return self.name
