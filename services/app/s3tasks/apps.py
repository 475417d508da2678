"""The project as an application of its own."""

from django.apps import AppConfig


class S3TasksConfig(AppConfig):
    """Registers the system checks."""

    name = "s3tasks"

    def ready(self) -> None:
        from s3tasks import checks  # noqa: F401  registers what it holds
