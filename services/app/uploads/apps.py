"""The domain: uploads, what happens to them, and where their bytes are."""

from django.apps import AppConfig


class UploadsConfig(AppConfig):
    """Connects the signals and registers the system checks."""

    name = "uploads"

    def ready(self) -> None:
        """Import what registers itself."""
        from uploads import checks, signals  # noqa: F401
