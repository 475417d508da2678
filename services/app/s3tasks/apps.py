"""The project as an application of its own, for the checks of how it is set up."""

from typing import Any

from django.apps import AppConfig
from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, register


class S3TasksConfig(AppConfig):
    """Registers the checks by being imported."""

    name = "s3tasks"


@register()
def check_proxies(**_: Any) -> list[CheckMessage]:
    """A warning for production without a trusted proxy. gunicorn has no TLS here, so every request
    would be redirected to HTTPS for ever."""
    if settings.SECURE_SSL_REDIRECT and not settings.TRUSTED_PROXIES:
        return [
            checks.Warning(
                "Every request will be redirected to HTTPS for ever: no proxy is trusted to say"
                " that it came by HTTPS.",
                hint="Set TRUSTED_PROXIES=1 behind Heroku's router or Caddy.",
                id="s3tasks.W001",
            )
        ]
    return []
