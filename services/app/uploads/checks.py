"""Combinations of settings that are allowed and yet not what anybody wants."""

from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import CheckMessage, register

from uploads.quotas import SENDER_UNSENT


@register()
def check_largest_file_fits_a_share(**_: Any) -> list[CheckMessage]:
    """A ticket for the largest file must fit into what one address may claim unsent."""
    share = settings.MAX_TOTAL_BYTES * SENDER_UNSENT // 100
    largest = max(settings.MAX_FILE_BYTES, settings.MAX_IMAGE_BYTES)
    if largest <= share:
        return []
    return [
        checks.Warning(
            f"Browsers can't upload the largest files: {largest} bytes are more than the {share}"
            f" that one address may announce, {SENDER_UNSENT} % of MAX_TOTAL_BYTES.",
            hint="Raise MAX_TOTAL_BYTES, or lower MAX_FILE_BYTES. `curl -T` is not affected.",
            id="uploads.W001",
        )
    ]
