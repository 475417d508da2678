"""Who a visitor is: a random id in a signed cookie, and nothing else."""

import uuid
from datetime import timedelta

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

COOKIE = "visitor"
# Over HTTPS browsers take one of this name from no other host, and from no plain connection:
# https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Set-Cookie#cookie_prefixes
SECURE_COOKIE = "__Host-visitor"
# The cookie is renewed by each answer and must outlive the last upload made with it.
SPARE = timedelta(days=1)


def known(request: HttpRequest) -> uuid.UUID | None:
    """The visitor's id; None where there is no cookie, one that we did not sign, or one that is
    older than any upload made with it.

    Over HTTPS a cookie of the plain name, as earlier releases gave, is good until it is that old:
    each name has a signature of its own, and nobody gets a new one of that.
    """
    for name in [SECURE_COOKIE, COOKIE] if request.is_secure() else [COOKIE]:
        signed = request.get_signed_cookie(name, default=None, salt=name, max_age=max_age())
        if signed:
            return uuid.UUID(signed)
    return None


def recognise(request: HttpRequest) -> uuid.UUID:
    """The visitor's id, a new one where they are not known."""
    return known(request) or uuid.uuid4()


def remember(request: HttpRequest, response: HttpResponseBase, visitor: uuid.UUID) -> None:
    """Give the visitor the cookie, or renew it."""
    name = SECURE_COOKIE if request.is_secure() else COOKIE
    response.set_signed_cookie(
        name,
        str(visitor),
        salt=name,
        max_age=max_age(),
        secure=request.is_secure(),
        httponly=True,
        samesite="Lax",
    )
    if name != COOKIE and COOKIE in request.COOKIES:
        response.delete_cookie(COOKIE, samesite="Lax")


def max_age() -> int:
    """How many seconds a cookie is good for."""
    return settings.UPLOAD_TTL_MAX + int(SPARE.total_seconds())
