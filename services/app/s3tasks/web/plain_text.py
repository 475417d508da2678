"""Answers of one line, for people in a terminal."""

from django.http import HttpRequest, HttpResponse

from s3tasks.web.retry_after import set_retry_after
from uploads.errors import UploadError

TEXT = "text/plain; charset=utf-8"


def line(status: int, sentence: str, *, retry_after: int | None = None) -> HttpResponse:
    """The sentence as a line of text, with Retry-After where that is known."""
    response = HttpResponse(f"{sentence}\n", content_type=TEXT, status=status)
    set_retry_after(response, retry_after)
    return response


def line_of(error: UploadError) -> HttpResponse:
    """The domain's error as a line of text."""
    return line(error.status, error.sentence, retry_after=error.retry_after)


def prefers_html(request: HttpRequest) -> bool:
    """Whether the answer is read in a browser: it asks for HTML by name, curl and wget do not."""
    return any(
        (kind.main_type, kind.sub_type) == ("text", "html") and kind.quality > 0
        for kind in request.accepted_types
    )
