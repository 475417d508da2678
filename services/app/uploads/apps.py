"""The domain: uploads, what happens to them, and where their bytes are."""

from django.apps import AppConfig
from django.utils.translation import gettext_lazy


class UploadsConfig(AppConfig):
    """Connects the signals."""

    name = "uploads"
    verbose_name = gettext_lazy("Uploads")

    def ready(self) -> None:
        """Import what registers itself."""
        from uploads import signals  # noqa: F401
