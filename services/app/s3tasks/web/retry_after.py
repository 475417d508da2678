"""When an answer says to try again."""

from django.http.response import HttpResponseBase


def set_retry_after(response: HttpResponseBase, seconds: int | None) -> None:
    """Say it, where it is known: https://www.rfc-editor.org/rfc/rfc9110#field.retry-after"""
    if seconds is not None:
        response.headers["Retry-After"] = str(seconds)
