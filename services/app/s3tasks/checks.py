"""Combinations of settings that nobody wants. A value that is wrong by itself is refused where it
is read, by `s3tasks.settings`."""

from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, register

from uploads.quotas import SENDER_UNSENT


@register()
def check_bytes_outlive_the_dyno(**_: Any) -> list[CheckMessage]:
    """An error for uploads on a dyno's disk, which is gone when the dyno restarts."""
    if settings.USE_S3 or not settings.ON_DYNO:
        return []
    return [
        checks.Error(
            "USE_S3=False on Heroku: a dyno's disk forgets uploaded files.",
            hint="Set USE_S3=True, with the keys and the name of a bucket.",
            id="s3tasks.E001",
        )
    ]


@register()
def check_proxies(**_: Any) -> list[CheckMessage]:
    """A warning for production without a trusted proxy. gunicorn has no TLS here, so every request
    would be redirected to HTTPS for ever."""
    if settings.TRUSTED_PROXIES or not settings.SECURE_SSL_REDIRECT:
        return []
    return [
        checks.Warning(
            "Every request will be redirected to HTTPS for ever: no proxy is trusted to say that it"
            " came by HTTPS.",
            hint="Set TRUSTED_PROXIES=1 behind Heroku's router or Caddy.",
            id="s3tasks.W001",
        )
    ]


@register()
def check_largest_file_fits_a_share(**_: Any) -> list[CheckMessage]:
    """A ticket for the largest file must fit into what one address may announce."""
    share = settings.MAX_TOTAL_BYTES * SENDER_UNSENT // 100
    largest = max(settings.MAX_FILE_BYTES, settings.MAX_IMAGE_BYTES)
    if largest <= share:
        return []
    return [
        checks.Warning(
            f"Browsers can't upload the largest files: {largest} bytes are more than the {share}"
            f" that one address may announce, {SENDER_UNSENT} % of MAX_TOTAL_BYTES.",
            hint="Raise MAX_TOTAL_BYTES, or lower MAX_FILE_BYTES. `curl -T` is not affected.",
            id="s3tasks.W002",
        )
    ]
