"""Development's error pages, without any secret that opens a database, a broker or a bucket.

Such a page quotes settings, the request and every variable on the way to the error, and a wrong
`Host` is enough to get one, so any page that a developer visits can read it:
https://en.wikipedia.org/wiki/DNS_rebinding
"""

import re
from urllib.parse import quote, unquote, urlsplit

from django.conf import settings
from django.http import HttpRequest
from django.utils.html import escape
from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

SHORTEST = 4  # characters; anything shorter is no secret, and would be found in every text


class Filter(SafeExceptionReporterFilter):
    """Django's filter, also in development, with our own names of settings that hold passwords."""

    hidden_settings = re.compile(
        f"(?i){SafeExceptionReporterFilter.hidden_settings.pattern}|DATABASE|REDIS|BROKER"
    )

    def is_active(self, request: HttpRequest | None) -> bool:
        return True


class Reporter(ExceptionReporter):
    """Django's reporter, without our secrets wherever they occur: in a variable, a message or an
    address."""

    def get_traceback_html(self) -> SafeString:
        return SafeString(without_secrets(super().get_traceback_html()))

    def get_traceback_text(self) -> SafeString:
        return SafeString(without_secrets(super().get_traceback_text()))


def without_secrets(text: str) -> str:
    """The text, with each secret of the settings replaced by stars, however it is quoted."""
    written = set()
    for secret in secrets():
        for form in (secret, repr(secret)[1:-1], quote(secret, safe="")):
            written |= {form, escape(form)}
    for form in sorted(written, key=len, reverse=True):
        text = text.replace(form, Filter.cleansed_substitute)
    return text


def secrets() -> set[str]:
    """The values that nobody may read."""
    found = {settings.SECRET_KEY, settings.AWS_SECRET_ACCESS_KEY, settings.AWS_ACCESS_KEY_ID}
    found.add(settings.AWS_SESSION_TOKEN)
    for url in (settings.DATABASE_URL, settings.REDIS_URL):
        password = urlsplit(url).password or ""
        found |= {password, unquote(password)}
    return {secret for secret in found if len(secret) >= SHORTEST}
