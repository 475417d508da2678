"""Who a visitor is: a random id in a signed cookie, and nothing else."""

import uuid
from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

COOKIE = "visitor"
# The cookie is renewed by each answer and must outlive the last upload made with it.
SPARE = timedelta(days=1)


def known(request: HttpRequest) -> uuid.UUID | None:
    """The visitor's id; None where there is no cookie, or one that we did not sign."""
    signed = request.get_signed_cookie(COOKIE, default=None, salt=COOKIE)
    return uuid.UUID(signed) if signed else None


def recognise(request: HttpRequest) -> uuid.UUID:
    """The visitor's id, a new one where they are not known."""
    return known(request) or uuid.uuid4()


def remember(request: HttpRequest, response: HttpResponseBase, visitor: uuid.UUID) -> None:
    """Give the visitor the cookie, or renew it."""
    response.set_signed_cookie(
        COOKIE,
        str(visitor),
        salt=COOKIE,
        max_age=settings.UPLOAD_TTL_MAX + int(SPARE.total_seconds()),
        secure=request.is_secure(),
        httponly=True,
        samesite="Lax",
    )
